//! The body of a request, as the server passes it to the routes.
//!
//! Unlike hyper's body, it records whether all of it was read, and it ends with [`ShutdownInterrupted`] once a shutdown
//! no longer waits for it. What has arrived of the body of a rejected request is read by [`UnreadBody`].

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use hyper::body::{Body, Frame, Incoming};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};

use super::connection_state::ConnectionState;
use crate::lifecycle::Drain;
use crate::sync::Mutex;

/// Time allowed to read body bytes that are already in the socket buffer, on a busy machine.
const BUFFERED_BODY_GRACE: Duration = Duration::from_millis(100);

/// The largest part of a rejected request's body that is read, in bytes.
const MAX_UNREAD: usize = 64 * 1024;

/// The error of a body that was still incomplete when the shutdown's closing deadline passed.
#[derive(Debug, thiserror::Error)]
#[error("the shutdown interrupted the request body")]
pub(in super::super) struct ShutdownInterrupted;

pin_project! {
    pub(super) struct RequestBody<I> {
        // `None` only while it is dropped.
        body: Option<Incoming>,
        // `None` once the body has ended, and on HTTP/2.
        state: Option<ConnectionState>,
        // `None` if an unread body is of no use.
        unread: Option<UnreadBody>,
        // `None` once it has completed or the body has ended.
        #[pin]
        interruption: Option<I>,
    }

    impl<I> PinnedDrop for RequestBody<I> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.state.is_some() && let Some(unread) = this.unread {
                *unread.0.lock().expect("no panic while it is locked") = this.body.take();
            }
        }
    }
}

/// The body of an HTTP/1.1 connection's last request, if the request was rejected before all of it was read.
#[derive(Clone, Default)]
pub(super) struct UnreadBody(Arc<Mutex<Option<Incoming>>>);

impl UnreadBody {
    /// Reads what has arrived of it, and returns whether that was all. hyper does so, too, but only after the response:
    /// then nothing tells whether the bytes that follow the body, which are the next request head, are in hyper's buffer.
    pub(super) async fn drain_arrived(&self, state: &ConnectionState) -> bool {
        if !state.awaits_body() {
            return true;
        }
        let Some(mut body) = self.0.lock().expect("no panic while it is locked").take() else {
            return false;
        };
        let mut length = 0;
        let is_complete = poll_fn(|cx| {
            loop {
                match Pin::new(&mut body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) if !body.is_end_stream() => {
                        length += frame.data_ref().map_or(0, Bytes::len);
                        if length >= MAX_UNREAD {
                            return Poll::Ready(false);
                        }
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(_) => return Poll::Ready(true),
                    // hyper reads once the body has been polled.
                    Poll::Pending if !state.is_buffer_empty() => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(false),
                }
            }
        })
        .await;
        if is_complete {
            state.set_awaits_body(false);
        }
        is_complete
    }
}

/// Wraps the body of `request`, and keeps it in `unread` if it is not read to its end. On HTTP/1.1, the rest of an unread
/// body precedes the next request head.
pub(super) fn wrap(
    request: Request<Incoming>,
    state: &ConnectionState,
    unread: &UnreadBody,
    drain: &Drain,
) -> Request<RequestBody<impl Future<Output = ()> + Send + use<>>> {
    let has_body = !request.body().is_end_stream();
    let is_awaited = has_body && request.version() <= Version::HTTP_11;
    if is_awaited {
        state.set_awaits_body(true);
    }
    let state = is_awaited.then(|| state.clone());
    // To read the body of a request with `expect: 100-continue` is to ask for it.
    let unread = (is_awaited && !request.headers().contains_key(EXPECT)).then(|| unread.clone());
    let interruption = has_body.then(|| interruption(drain.clone()));
    request.map(|body| RequestBody {
        body: Some(body),
        state,
        unread,
        interruption,
    })
}

/// Waits until the shutdown interrupts a body. From the first poll on, the request counts as incomplete.
async fn interruption(drain: Drain) {
    let _incomplete = drain.count_incomplete();
    // A request that was complete in the socket may not have been read until now, because it waited for a signing key.
    let grace_end = Instant::now() + BUFFERED_BODY_GRACE;
    drain.closing_deadline_passed().await;
    sleep_until(grace_end).await;
}

impl<I: Future<Output = ()>> Body for RequestBody<I> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(body) = this.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
            if let Some(state) = this.state {
                state.body_pending();
            }
            if let Some(interruption) = this.interruption.as_mut().as_pin_mut() {
                ready!(interruption.poll(cx));
                this.interruption.set(None);
            }
            return Poll::Ready(Some(Err(ShutdownInterrupted.into())));
        };
        if frame.is_none() || body.is_end_stream() {
            this.interruption.set(None);
            if let Some(state) = this.state.take() {
                state.set_awaits_body(false);
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::{BUFFERED_BODY_GRACE, interruption};
    use crate::lifecycle::Drain;

    const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_body_is_interrupted_at_the_closing_deadline_but_not_within_the_grace() {
        let drain = Drain::new(CLOSING_TIMEOUT);
        let _pending = drain.count_pending();
        let mut interrupted = Box::pin(interruption(drain.clone()));
        let hour = Duration::from_secs(3600);
        assert!(timeout(hour, &mut interrupted).await.is_err(), "no shutdown");
        assert_eq!(drain.complete_pending(), 0, "incomplete while it is awaited");

        let began = Instant::now();
        drain.begin_closing();
        interrupted.await;
        assert!(began.elapsed() >= CLOSING_TIMEOUT);
        assert!(began.elapsed() < CLOSING_TIMEOUT + BUFFERED_BODY_GRACE);
        assert_eq!(drain.complete_pending(), 1, "no longer awaited");

        let began = Instant::now();
        interruption(drain).await;
        assert!(began.elapsed() >= BUFFERED_BODY_GRACE, "it is past the deadline");
    }
}
