//! The thread of telemetry: exports spans, aggregates metrics, and serves the admin listener.
//!
//! Each of these computes for a millisecond or more at a time. On the runtime of the requests, every request of that worker would
//! wait for it; here they compete for a CPU only.

use std::io;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;

/// A thread with a runtime. It ends, with its tasks, when this is dropped.
pub(super) struct TelemetryThread {
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

impl TelemetryThread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        // The runtime is dropped by its own thread, because dropping it blocks.
        std::thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || _ = runtime.block_on(stopped))?;
        Ok(Self {
            runtime: handle,
            _stop: stop,
        })
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Until the guard is dropped, what this thread binds or connects belongs to the runtime of telemetry.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::TelemetryThread;

    #[tokio::test]
    async fn a_task_runs_while_the_thread_of_the_requests_is_busy() {
        let telemetry = TelemetryThread::start().expect("a thread");
        let (done, result) = std::sync::mpsc::channel();
        telemetry.runtime().spawn(async move {
            tokio::task::yield_now().await;
            _ = done.send(std::thread::current().name().map(str::to_owned));
        });
        // Blocks this runtime, which has no other thread.
        assert_eq!(result.recv(), Ok(Some("telemetry".to_owned())));
    }

    #[tokio::test]
    async fn its_tasks_end_when_it_is_dropped() {
        let telemetry = TelemetryThread::start().expect("a thread");
        let (held, ended) = oneshot::channel::<()>();
        telemetry.runtime().spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(telemetry);
        assert!(ended.await.is_err(), "dropped with its task");
    }
}
