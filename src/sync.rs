//! Locks, atomics and tasks of the modules whose interleavings are tested.
//!
//! They are those of std and tokio. In unit tests each operation is also a point at which shuttle, while it runs a test, may switch
//! to another task.

#[cfg(test)]
pub(crate) mod scheduled;

#[cfg(test)]
pub(crate) use self::scheduled::{Mutex, MutexGuard, atomic};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

/// Runs `task` concurrently.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    #[cfg(test)]
    if scheduled::is_exploring() {
        drop(shuttle::future::spawn(task));
        return;
    }
    tokio::spawn(task);
}
