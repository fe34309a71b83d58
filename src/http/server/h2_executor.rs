//! The tasks of HTTP/2 streams, each of which ends when its client does not read the response in time.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

tokio::task_local! {
    /// When the response on this task's stream must have been sent; `None` until it is ready.
    static SEND_DEADLINE: Cell<Option<Instant>>;
}

/// Sets the deadline of the current task's stream to `timeout` from now. Does nothing on HTTP/1.1, which has no such
/// task: there the idle timeout bounds the response.
pub(super) fn set_send_timeout(timeout: Duration) {
    _ = SEND_DEADLINE.try_with(|deadline| deadline.set(Some(Instant::now() + timeout)));
}

/// Spawns the tasks of HTTP/2 streams.
#[derive(Clone, Copy)]
pub(super) struct H2Executor;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for H2Executor {
    fn execute(&self, stream: F) {
        // Boxed, because the futures around it would hold it twice.
        tokio::spawn(SEND_DEADLINE.scope(Cell::new(None), with_send_deadline(Box::pin(stream))));
    }
}

/// Runs `stream` and drops it, which resets it, at its send deadline. The response body cannot do this: it is not
/// polled while the client's window is closed.
async fn with_send_deadline(mut stream: Pin<Box<impl Future<Output = ()>>>) {
    let deadline = poll_fn(|cx| match stream.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => match SEND_DEADLINE.with(Cell::get) {
            None => Poll::Pending,
            deadline => Poll::Ready(deadline),
        },
    })
    .await;
    if let Some(deadline) = deadline {
        // Boxed, because few streams get here.
        let timed_out = Box::pin(sleep_until(deadline));
        tokio::select! {
            biased;
            () = stream => {}
            () = timed_out => {}
        }
    }
}
