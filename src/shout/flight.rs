//! Calls that are shared: equal ones that come while one is under way wait for that one.
//!
//! A call runs in a task of its own, so it goes on when the caller that began it is gone. Who waits decides for how long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::Context;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use quick_cache::DefaultHashBuilder;
use tokio::sync::watch;

use super::cache::Key;
use crate::shoutcloud::{self, Progress};

/// How a call ended.
#[derive(Debug, Clone)]
pub(super) struct Landing {
    pub(super) answer: Result<Arc<str>, shoutcloud::Error>,
    /// Whether the cache has it now.
    pub(super) stored: bool,
    /// Ended by its own deadline, which may be earlier than that of somebody who waits.
    pub(super) cut_short: bool,
}

/// The calls that are under way.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<Aloft>>);

type Aloft = HashMap<Key, Flight, DefaultHashBuilder>;

/// A call that is under way, for one who waits for it.
#[derive(Clone)]
pub(super) struct Flight {
    landing: watch::Receiver<Option<Landing>>,
    progress: Progress,
    /// The span of the request that began it.
    pub(super) begun_by: SpanContext,
}

/// What became of somebody who needs a call.
pub(super) enum Boarding<T> {
    /// An equal call was under way.
    Joined(Flight),
    /// This is the first one.
    Started(Flight),
    /// There is no need any more.
    Unneeded(T),
}

impl Flights {
    /// Joins the call for `key` or starts `call`, unless `unneeded` says that a call has just ended.
    pub(super) fn board<T, C>(
        &self,
        key: &Key,
        unneeded: impl FnOnce() -> Option<T>,
        call: impl FnOnce(Progress) -> C,
    ) -> Boarding<T>
    where
        C: Future<Output = Landing> + Send + 'static,
    {
        let mut aloft = self.lock();
        if let Some(flight) = aloft.get(key) {
            return Boarding::Joined(flight.clone());
        }
        // A call stores before it leaves the map: whoever finds it neither here nor there is the first.
        if let Some(found) = unneeded() {
            return Boarding::Unneeded(found);
        }
        let (landed, landing) = watch::channel(None);
        let progress = Progress::default();
        let flight = Flight {
            landing,
            progress: progress.clone(),
            begun_by: Context::map_current(|trace| trace.span().span_context().clone()),
        };
        aloft.insert(key.clone(), flight.clone());
        // A runtime that is shutting down drops the task at once, and with it the pilot, who needs the lock.
        drop(aloft);
        let pilot = Pilot {
            seat: Seat {
                flights: self.clone(),
                key: key.clone(),
            },
            landed,
        };
        let call = call(progress);
        tokio::spawn(async move { pilot.land(call.await) }.with_current_context());
        Boarding::Started(flight)
    }

    /// Nothing that can panic runs under the lock, so a poisoned map is a whole one.
    fn lock(&self) -> MutexGuard<'_, Aloft> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }
}

impl Flight {
    /// How the call ended, once it has; `None` if it ended in a panic.
    pub(super) async fn landing(&mut self) -> Option<Landing> {
        let landing = self.landing.wait_for(Option::is_some).await.ok()?;
        landing.clone()
    }

    /// How many attempts have begun.
    pub(super) fn attempts(&self) -> u32 {
        self.progress.attempts()
    }

    /// Why there is no shout for one whose time is over now.
    pub(super) fn deadline_passed(&self) -> shoutcloud::Error {
        self.progress.deadline_passed()
    }
}

/// Sees to it that a call leaves the map however it ends, and first of all: who starts over must not meet it again.
struct Pilot {
    seat: Seat,
    landed: watch::Sender<Option<Landing>>,
}

impl Pilot {
    fn land(self, landing: Landing) {
        let Self { seat, landed } = self;
        drop(seat);
        landed.send_replace(Some(landing));
    }
}

/// A call's place in the map.
struct Seat {
    flights: Flights,
    key: Key,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::{Boarding, Flights, Key, Landing};

    fn key() -> Key {
        Key {
            client: "ada".into(),
            text: "hi".into(),
        }
    }

    #[tokio::test]
    async fn no_call_is_begun_if_one_has_just_ended() {
        let flights = Flights::default();
        let boarding = flights.board(&key(), || Some("IH"), |_| async { panic!("begun") });
        assert!(matches!(boarding, Boarding::Unneeded("IH")));
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test]
    async fn who_can_join_is_not_asked_whether_there_is_a_need() {
        let flights = Flights::default();
        let first = flights.board(&key(), || None::<()>, |_| pending());
        assert!(matches!(first, Boarding::Started(_)));
        let second = flights.board(&key(), || -> Option<()> { panic!("asked") }, |_| pending());
        assert!(matches!(second, Boarding::Joined(_)));
        assert_eq!(flights.count(), 1);
    }

    #[test]
    fn a_runtime_that_shuts_down_takes_no_lock_along() {
        let flights = Flights::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        let begun = {
            let _inside = handle.enter();
            flights.board(&key(), || None::<()>, |_| pending())
        };
        drop(runtime);
        assert_eq!(flights.count(), 0, "what was under way is gone");
        let _inside = handle.enter();
        let late = flights.board(&key(), || None::<()>, |_| pending::<Landing>());
        assert!(matches!(
            (begun, late),
            (Boarding::Started(_), Boarding::Started(_))
        ));
        assert_eq!(flights.count(), 0, "what could not begin is gone too");
    }
}
