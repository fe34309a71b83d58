//! Tasks that run as long as the process, critical and best-effort ones.

use std::collections::HashMap;

use tokio::runtime::Handle;
use tokio::task::{self, JoinSet};

/// The error of a task that ended, by a panic or otherwise, although it runs as long as the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task ended unexpectedly: {0}")]
pub struct TaskEnded(pub &'static str);

/// The background tasks. They are aborted when this is dropped.
#[derive(Default)]
pub(super) struct Background {
    tasks: JoinSet<()>,
    names: HashMap<task::Id, (&'static str, Importance)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Importance {
    /// The service degrades without the task.
    Critical,
    /// Telemetry is incomplete without the task, which is no reason to shut down.
    BestEffort,
}

impl Background {
    /// Spawns a critical task.
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&Handle::current(), name, task);
    }

    /// Spawns a critical task on `runtime`.
    pub(super) fn spawn_on(
        &mut self,
        runtime: &Handle,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = self.tasks.spawn_on(task, runtime).id();
        self.names.insert(id, (name, Importance::Critical));
    }

    /// Spawns a task on `runtime` whose end is only logged.
    pub(super) fn spawn_best_effort(
        &mut self,
        runtime: &Handle,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = self.tasks.spawn_on(task, runtime).id();
        self.names.insert(id, (name, Importance::BestEffort));
    }

    /// Waits until a critical task ends.
    pub(super) async fn critical_task_ended(&mut self) -> TaskEnded {
        loop {
            let ended = match self.tasks.join_next_with_id().await {
                Some(Ok((id, ()))) => self.names.remove(&id),
                Some(Err(error)) => self.names.remove(&error.id()),
                None => std::future::pending().await,
            };
            match ended {
                Some((name, Importance::Critical)) => return TaskEnded(name),
                Some((name, Importance::BestEffort)) => {
                    let error = TaskEnded(name);
                    tracing::error!(
                        event.action = "stop",
                        event.kind = "event",
                        error.message = %error,
                        "telemetry is incomplete until a restart"
                    );
                }
                None => {}
            }
        }
    }

    /// Waits until the critical task `name` has ended.
    pub(super) async fn finished(&mut self, name: &'static str) {
        while self.names.values().any(|(running, _)| *running == name) {
            self.critical_task_ended().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::{Background, TaskEnded};

    #[tokio::test]
    async fn only_the_end_of_a_critical_task_is_returned() {
        let mut background = Background::default();
        background.spawn("runs", std::future::pending());
        background.spawn("panics", async { panic!("on purpose") });
        assert_eq!(background.critical_task_ended().await, TaskEnded("panics"));
        let runtime = Handle::current();
        background.spawn_best_effort(&runtime, "best effort", async { panic!("on purpose") });
        background.spawn("returns", async { tokio::task::yield_now().await });
        assert_eq!(background.critical_task_ended().await, TaskEnded("returns"));
    }
}
