//! Request coalescing (single-flight): requests with equal keys wait for one shared call.
//!
//! A shared call runs in a task of its own, so it continues when the request that started it is cancelled. Each request
//! waits until its own deadline.

#[cfg(test)]
mod interleavings;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use opentelemetry::Context;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use quick_cache::DefaultHashBuilder;
use tokio::sync::watch;

use super::cache::Key;
use crate::shoutcloud::{self, Progress};
use crate::sync::{Mutex, MutexGuard, spawn};

/// How a call ended.
#[derive(Debug, Clone)]
pub(super) struct CallOutcome {
    pub(super) result: Result<Arc<str>, shoutcloud::Error>,
    /// Whether the cache has the result now.
    pub(super) stored: bool,
    /// Whether the result comes from the cache that replicas share.
    pub(super) shared: bool,
    /// Whether the call ended by its own deadline, which may be earlier than that of a follower.
    pub(super) timed_out: bool,
}

/// The calls in flight, by key.
#[derive(Clone, Default)]
pub(super) struct InFlightCalls(Arc<Mutex<Map>>);

type Map = HashMap<Key, SharedCall, DefaultHashBuilder>;

/// A handle to a call in flight, for each request that waits for it.
#[derive(Clone)]
pub(super) struct SharedCall {
    outcome: watch::Receiver<Option<CallOutcome>>,
    progress: Progress,
    /// The span of the request that started the call.
    pub(super) leader_span: SpanContext,
}

/// Result of [`InFlightCalls::join_or_start`].
pub(super) enum Join<T> {
    /// This request started the call.
    Leader(SharedCall),
    /// An equal call was in flight.
    Follower(SharedCall),
    /// An equal call has just ended and its result is cached.
    Cached(T),
}

impl InFlightCalls {
    /// Joins the call for `key`. If there is none and `cached` returns nothing, starts `call`.
    pub(super) fn join_or_start<T, C>(
        &self,
        key: &Key,
        cached: impl FnOnce() -> Option<T>,
        call: impl FnOnce(Progress) -> C,
    ) -> Join<T>
    where
        C: Future<Output = CallOutcome> + Send + 'static,
    {
        let mut map = self.lock();
        if let Some(shared) = map.get(key) {
            return Join::Follower(shared.clone());
        }
        // A call stores its result before it leaves the map, so a miss in both, in this order, means there is none.
        if let Some(found) = cached() {
            return Join::Cached(found);
        }
        let (sender, outcome) = watch::channel(None);
        let progress = Progress::default();
        let shared = SharedCall {
            outcome,
            progress: progress.clone(),
            leader_span: Context::map_current(|trace| trace.span().span_context().clone()),
        };
        map.insert(key.clone(), shared.clone());
        // Unlock before spawning: a runtime that is shutting down drops the task at once, and its guard locks the map.
        drop(map);
        let guard = LeaderGuard {
            entry: EntryGuard {
                calls: self.clone(),
                key: key.clone(),
            },
            sender,
        };
        let call = call(progress);
        spawn(async move { guard.complete(call.await) }.with_current_context());
        Join::Leader(shared)
    }

    /// Locks the map. Ignores poisoning: nothing that panics can leave the map half changed.
    fn lock(&self) -> MutexGuard<'_, Map> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }
}

impl SharedCall {
    /// Waits until the call ends; returns `None` if it panicked. Calls `on_wait` once the call waits for the upstream.
    pub(super) async fn outcome(&mut self, on_wait: &(dyn Fn() + Sync)) -> Option<CallOutcome> {
        let outcome = async { self.outcome.wait_for(Option::is_some).await.ok()?.clone() };
        self.progress.observe(outcome, on_wait).await
    }

    /// Returns how many attempts have started.
    pub(super) fn attempts(&self) -> u32 {
        self.progress.attempts()
    }

    /// Returns the error for a request whose deadline passes now.
    pub(super) fn deadline_passed(&self) -> shoutcloud::Error {
        self.progress.deadline_passed()
    }
}

/// Removes the entry before publishing the outcome, even on panic, so that a restart never joins the finished call.
struct LeaderGuard {
    entry: EntryGuard,
    sender: watch::Sender<Option<CallOutcome>>,
}

impl LeaderGuard {
    fn complete(self, outcome: CallOutcome) {
        let Self { entry, sender } = self;
        drop(entry);
        sender.send_replace(Some(outcome));
    }
}

/// Removes a call's entry from the map on drop.
struct EntryGuard {
    calls: InFlightCalls,
    key: Key,
}

impl Drop for EntryGuard {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::{CallOutcome, InFlightCalls, Join, Key};

    fn key() -> Key {
        Key {
            client: "ada".into(),
            text: "hi".into(),
        }
    }

    #[tokio::test]
    async fn no_call_starts_when_the_result_is_cached() {
        let calls = InFlightCalls::default();
        let join = calls.join_or_start(&key(), || Some("IH"), |_| async { panic!("started") });
        assert!(matches!(join, Join::Cached("IH")));
        assert_eq!(calls.count(), 0);
    }

    #[tokio::test]
    async fn the_cache_is_not_read_when_a_call_is_in_flight() {
        let calls = InFlightCalls::default();
        let first = calls.join_or_start(&key(), || None::<()>, |_| pending());
        assert!(matches!(first, Join::Leader(_)));
        let second = calls.join_or_start(&key(), || -> Option<()> { panic!("cache read") }, |_| pending());
        assert!(matches!(second, Join::Follower(_)));
        assert_eq!(calls.count(), 1);
    }

    #[test]
    fn runtime_shutdown_neither_deadlocks_nor_leaks_entries() {
        let calls = InFlightCalls::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        let before = {
            let _inside = handle.enter();
            calls.join_or_start(&key(), || None::<()>, |_| pending())
        };
        drop(runtime);
        assert_eq!(calls.count(), 0, "the call in flight is removed");
        let _inside = handle.enter();
        let after = calls.join_or_start(&key(), || None::<()>, |_| pending::<CallOutcome>());
        assert!(matches!((before, after), (Join::Leader(_), Join::Leader(_))));
        assert_eq!(calls.count(), 0, "the call that could not start is removed");
    }
}
