//! Work that takes too long for a worker of the runtime.

use std::cell::Cell;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Texts above this length take more than a millisecond to reverse, parse or compare. Most texts are far below the default
/// of `MAX_BODY_BYTES`, and to hand over a worker costs more than to process them.
const MAX_INLINE_BYTES: usize = 256 * 1024;

/// Runs `work` on `bytes` bytes. If they are many, the other tasks of this worker continue on another thread, so that
/// health probes and timers do not wait for it.
///
/// Unlike `spawn_blocking` it borrows its input, and work in progress ends with its request.
pub(crate) fn run<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= MAX_INLINE_BYTES || !has_other_workers() {
        return work();
    }
    block_in_place(|| {
        let _running = Running::begin();
        work()
    })
}

/// Asserts, in builds with debug assertions, that work on `bytes` bytes does not hold up a worker: that it is short, or that
/// [`run`] runs it.
pub(crate) fn assert_not_on_worker(bytes: usize) {
    debug_assert!(
        bytes <= MAX_INLINE_BYTES || !has_other_workers() || IS_RUNNING.get(),
        "{bytes} bytes are processed on a worker of the runtime"
    );
}

thread_local! {
    /// Whether [`run`] has handed over this thread's worker.
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Sets [`IS_RUNNING`] until it is dropped.
struct Running {
    was_running: bool,
}

impl Running {
    fn begin() -> Self {
        Self {
            was_running: IS_RUNNING.replace(true),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        IS_RUNNING.set(self.was_running);
    }
}

/// `block_in_place` panics on a runtime of a single thread, such as that of a unit test.
fn has_other_workers() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{MAX_INLINE_BYTES, assert_not_on_worker, run};

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_run_during_work_on_a_long_text() {
        let (sender, receiver) = mpsc::channel();
        let work = tokio::spawn(async move {
            // Runs on the only worker, after this task has begun its work.
            tokio::spawn(async move { sender.send("other task").expect("the work waits for it") });
            run(MAX_INLINE_BYTES + 1, move || {
                receiver.recv().expect("the other task sends")
            })
        });
        assert_eq!(work.await.expect("no panic"), "other task");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn long_work_on_a_worker_is_an_error() {
        let work = |bytes| tokio::spawn(async move { assert_not_on_worker(bytes) });
        assert!(work(MAX_INLINE_BYTES).await.is_ok());
        assert!(work(MAX_INLINE_BYTES + 1).await.is_err());
        let handed_over = tokio::spawn(async {
            run(MAX_INLINE_BYTES + 1, || {
                assert_not_on_worker(MAX_INLINE_BYTES + 1);
            });
        });
        assert!(handed_over.await.is_ok());
    }

    #[tokio::test]
    async fn work_runs_on_a_single_thread_too() {
        assert_eq!(run(MAX_INLINE_BYTES + 1, || 1), 1);
    }

    #[test]
    fn work_runs_without_a_runtime() {
        assert_eq!(run(MAX_INLINE_BYTES + 1, || 1), 1);
    }
}
