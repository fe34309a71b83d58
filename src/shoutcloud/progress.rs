//! How far a call is, for those who wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::Error;

/// Tells those who wait for a call, each with a deadline of their own, what a deadline that passes now has cut short.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_calling: AtomicBool,
    attempts: AtomicU32,
}

impl Progress {
    /// The call has left the queue.
    pub(super) fn calling(&self) {
        self.0.is_calling.store(true, Ordering::Release);
    }

    /// An attempt begins.
    pub(super) fn attempting(&self) {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// How many attempts have begun.
    pub fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    /// Why there is no shout, if the deadline passes now.
    pub fn deadline_passed(&self) -> Error {
        if self.0.is_calling.load(Ordering::Acquire) {
            Error::DeadlinePassed
        } else {
            Error::Overloaded
        }
    }
}
