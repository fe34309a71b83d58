//! Coalescing under interleavings of its tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future::{block_on, spawn};

use super::{CallOutcome, InFlightCalls, Join, Key, SharedCall};
use crate::sync::Mutex;
use crate::sync::scheduled::explore;

const INTERLEAVINGS: usize = 2_000;

fn key() -> Key {
    Key {
        client: "ada".into(),
        text: "hi".into(),
    }
}

/// The requests of a test: calls return their number, and the cache, if there is one, stores it.
#[derive(Clone, Default)]
struct Requests {
    calls: InFlightCalls,
    started: Arc<AtomicUsize>,
    cache: Option<Arc<Mutex<Option<String>>>>,
}

impl Requests {
    /// Makes a request and returns the number of the call whose result it gets.
    async fn request(&self) -> usize {
        let cached = || self.cache.as_ref()?.lock().expect("not poisoned").clone();
        let (started, cache) = (Arc::clone(&self.started), self.cache.clone());
        let call = |_| async move {
            let number = started.fetch_add(1, Ordering::Relaxed).to_string();
            if let Some(cache) = cache {
                *cache.lock().expect("not poisoned") = Some(number.clone());
            }
            CallOutcome {
                result: Ok(number.into()),
                stored: true,
                shared: false,
                timed_out: false,
            }
        };
        match self.calls.join_or_start(&key(), cached, call) {
            Join::Leader(call) | Join::Follower(call) => result(call).await,
            Join::Cached(number) => number.parse().expect("a number"),
        }
    }
}

async fn result(mut call: SharedCall) -> usize {
    let outcome = call.outcome(&|| ()).await.expect("no panic");
    outcome.result.expect("a shout").parse().expect("a number")
}

#[test]
fn a_request_after_a_result_does_not_join_the_call_that_has_ended() {
    explore(INTERLEAVINGS, || {
        let requests = Requests::default();
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let requests = requests.clone();
                spawn(async move {
                    let first = requests.request().await;
                    assert!(requests.request().await > first);
                })
            })
            .collect();
        for task in tasks {
            block_on(task).expect("no panic");
        }
        assert_eq!(requests.calls.count(), 0);
    });
}

#[test]
fn requests_share_one_call_or_its_cached_result() {
    explore(INTERLEAVINGS, || {
        let requests = Requests {
            cache: Some(Arc::default()),
            ..Requests::default()
        };
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let requests = requests.clone();
                spawn(async move { requests.request().await })
            })
            .collect();
        for task in tasks {
            assert_eq!(block_on(task).expect("no panic"), 0);
        }
        assert_eq!(requests.started.load(Ordering::Relaxed), 1);
        assert_eq!(requests.calls.count(), 0);
    });
}
