//! Work that takes too long for a worker of the runtime.

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
    block_in_place(work)
}

/// `block_in_place` panics on a runtime of a single thread, such as that of a unit test.
fn has_other_workers() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{MAX_INLINE_BYTES, run};

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

    #[tokio::test]
    async fn work_runs_on_a_single_thread_too() {
        assert_eq!(run(MAX_INLINE_BYTES + 1, || 1), 1);
    }

    #[test]
    fn work_runs_without_a_runtime() {
        assert_eq!(run(MAX_INLINE_BYTES + 1, || 1), 1);
    }
}
