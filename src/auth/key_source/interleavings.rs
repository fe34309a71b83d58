//! Look-ups of an unknown `kid` under interleavings of the requests and the fetch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future::{block_on, spawn};

use super::KeyError;
use super::fixture::key_source;
use crate::outbound;
use crate::sync::scheduled::explore;
use crate::telemetry::metrics::Metrics;

const INTERLEAVINGS: usize = 1_000;
const REQUESTS: usize = 3;

/// Asserts that concurrent requests for `kid` cause one fetch, whenever it ends, and that all get `expected`.
fn assert_one_fetch(kid: &'static str, expected: Result<(), KeyError>) {
    let metrics = Metrics::new(&[]);
    let http = outbound::client().build().expect("a client");
    explore(INTERLEAVINGS, move || {
        let fetches = Arc::new(AtomicUsize::new(0));
        let source = key_source(&metrics, &http, &fetches);
        let requests: Vec<_> = (0..REQUESTS)
            .map(|_| {
                let source = Arc::clone(&source);
                spawn(async move { source.key_or_fetch(kid).await.map(drop) })
            })
            .collect();
        for request in requests {
            assert_eq!(block_on(request).expect("no panic"), expected);
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
        assert!(source.fetch_state().in_flight().is_none());
    });
}

#[test]
fn requests_for_a_new_key_share_one_fetch_and_all_get_the_key() {
    assert_one_fetch("published", Ok(()));
}

#[test]
fn requests_for_an_unknown_key_share_one_fetch_and_its_cooldown() {
    assert_one_fetch("unknown", Err(KeyError::Unknown));
}
