//! The progress of a call, shared with the requests that wait for it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::SetOnce;

use super::Error;

/// Shows requests that wait for a call how far it is. Each has its own deadline, and the error when that passes depends
/// on whether the call is still queued.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_dequeued: AtomicBool,
    attempts: AtomicU32,
    waits: SetOnce<()>,
}

impl Progress {
    /// Records that the call has left the queue.
    pub(super) fn record_dequeued(&self) {
        self.0.is_dequeued.store(true, Ordering::Release);
    }

    /// Records the start of an attempt.
    pub(super) fn record_attempt(&self) {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        self.record_wait();
    }

    /// Awaits `queued`, the end of the time in the queue. Records that the call waits unless it leaves the queue at once.
    pub(super) async fn wait_in_queue<T>(&self, queued: impl Future<Output = T>) -> T {
        let mut queued = pin!(queued);
        poll_fn(|cx| {
            let polled = queued.as_mut().poll(cx);
            if polled.is_pending() {
                self.record_wait();
            }
            polled
        })
        .await
    }

    /// Records that the call waits for the upstream, in the queue or for a response.
    fn record_wait(&self) {
        // An error means that it was recorded before.
        _ = self.0.waits.set(());
    }

    /// Awaits `outcome`, and calls `on_wait` once the call waits for the upstream. A call that is rejected at once, by an
    /// open breaker for example, does not.
    pub async fn observe<T>(&self, outcome: impl Future<Output = T>, on_wait: &(dyn Fn() + Sync)) -> T {
        let mut outcome = pin!(outcome);
        tokio::select! {
            biased;
            outcome = &mut outcome => return outcome,
            _ = self.0.waits.wait() => on_wait(),
        }
        outcome.await
    }

    /// Returns how many attempts have started.
    pub fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    /// Returns the error for a request whose deadline passes now.
    pub fn deadline_passed(&self) -> Error {
        if self.0.is_dequeued.load(Ordering::Acquire) {
            Error::DeadlinePassed
        } else {
            Error::Overloaded
        }
    }
}
