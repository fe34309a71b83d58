//! The progress of a call, shared with the requests that wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::Error;

/// Shows requests that wait for a call how far it is. Each has its own deadline, and the error when that passes depends
/// on whether the call is still queued.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_dequeued: AtomicBool,
    attempts: AtomicU32,
}

impl Progress {
    /// Records that the call has left the queue.
    pub(super) fn record_dequeued(&self) {
        self.0.is_dequeued.store(true, Ordering::Release);
    }

    /// Records the start of an attempt.
    pub(super) fn record_attempt(&self) {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
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
