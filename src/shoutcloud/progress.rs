//! How far a call is, for those who wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;

/// Tells those who wait for a call, each with a deadline of their own, what a deadline that passes now has cut short.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicBool>);

impl Progress {
    /// The call has left the queue.
    pub(super) fn calling(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Why there is no shout, if the deadline passes now.
    pub fn deadline_passed(&self) -> Error {
        if self.0.load(Ordering::Acquire) {
            Error::DeadlinePassed
        } else {
            Error::Overloaded
        }
    }
}
