//! The body of a request, as the server passes it to the routes.
//!
//! Unlike hyper's body, it records whether all of it was read, and it ends with [`ShutdownInterrupted`] once a shutdown
//! no longer waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http::{Request, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};

use super::connection_state::ConnectionState;
use crate::lifecycle::Drain;

/// Time allowed to read body bytes that are already in the socket buffer, on a busy machine.
const BUFFERED_BODY_GRACE: Duration = Duration::from_millis(100);

/// The error of a body that was still incomplete when the shutdown's closing deadline passed.
#[derive(Debug, thiserror::Error)]
#[error("the shutdown interrupted the request body")]
pub(in super::super) struct ShutdownInterrupted;

pin_project! {
    pub(super) struct RequestBody<I> {
        body: Incoming,
        // `None` once the body has ended, and on HTTP/2.
        state: Option<ConnectionState>,
        // `None` once it has completed or the body has ended.
        #[pin]
        interruption: Option<I>,
    }
}

/// Wraps the body of `request`. On HTTP/1.1, the rest of an unread body precedes the next request head.
pub(super) fn wrap(
    request: Request<Incoming>,
    state: &ConnectionState,
    drain: &Drain,
) -> Request<RequestBody<impl Future<Output = ()> + Send + use<>>> {
    let has_body = !request.body().is_end_stream();
    let is_awaited = has_body && request.version() <= Version::HTTP_11;
    if is_awaited {
        state.set_awaits_body(true);
    }
    let state = is_awaited.then(|| state.clone());
    let interruption = has_body.then(|| interruption(drain.clone()));
    request.map(|body| RequestBody {
        body,
        state,
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
        let Poll::Ready(frame) = Pin::new(&mut *this.body).poll_frame(cx) else {
            if let Some(state) = this.state {
                state.body_pending();
            }
            if let Some(interruption) = this.interruption.as_mut().as_pin_mut() {
                ready!(interruption.poll(cx));
                this.interruption.set(None);
            }
            return Poll::Ready(Some(Err(ShutdownInterrupted.into())));
        };
        if frame.is_none() || this.body.is_end_stream() {
            this.interruption.set(None);
            if let Some(state) = this.state.take() {
                state.set_awaits_body(false);
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
