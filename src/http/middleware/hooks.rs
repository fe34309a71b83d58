//! A layer from a function that inspects the request and returns a callback for the response.
//!
//! Unlike axum's `from_fn` it stores nothing of the request while the response is pending and boxes nothing: six layers made with
//! `from_fn` took 12 KiB per waiting request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Makes a layer that calls `on_request` for every request. The callback that it returns sees the response, or is dropped if the
/// client disconnects before; an error becomes the response, and inner layers do not see the request.
pub(in super::super) fn hook<E, L, R>(on_request: E) -> HookLayer<E>
where
    E: Fn(&mut Request) -> Result<L, R>,
    L: FnOnce(&mut Response),
    R: IntoResponse,
{
    HookLayer { on_request }
}

#[derive(Clone)]
pub(in super::super) struct HookLayer<E> {
    on_request: E,
}

impl<E: Clone, S> Layer<S> for HookLayer<E> {
    type Service = HookService<E, S>;

    fn layer(&self, inner: S) -> Self::Service {
        HookService {
            on_request: self.on_request.clone(),
            inner,
        }
    }
}

#[derive(Clone)]
pub(in super::super) struct HookService<E, S> {
    on_request: E,
    inner: S,
}

impl<E, L, R, S> Service<Request> for HookService<E, S>
where
    E: Fn(&mut Request) -> Result<L, R>,
    L: FnOnce(&mut Response),
    R: IntoResponse,
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, L, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match (self.on_request)(&mut request) {
            Ok(on_response) => ResponseFuture::Forwarded {
                response: self.inner.call(request),
                on_response: Some(on_response),
            },
            Err(rejection) => ResponseFuture::Rejected {
                rejection: Some(rejection),
            },
        }
    }
}

pin_project! {
    #[project = Projected]
    pub(in super::super) enum ResponseFuture<F, L, R> {
        Forwarded {
            #[pin]
            response: F,
            on_response: Option<L>,
        },
        Rejected {
            rejection: Option<R>,
        },
    }
}

impl<F, L, R, E> Future for ResponseFuture<F, L, R>
where
    F: Future<Output = Result<Response, E>>,
    L: FnOnce(&mut Response),
    R: IntoResponse,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Forwarded {
                response,
                on_response,
            } => {
                let mut response = ready!(response.poll(cx))?;
                if let Some(on_response) = on_response.take() {
                    on_response(&mut response);
                }
                Poll::Ready(Ok(response))
            }
            Projected::Rejected { rejection } => {
                let rejection = rejection.take().expect("polled after completion");
                Poll::Ready(Ok(rejection.into_response()))
            }
        }
    }
}
