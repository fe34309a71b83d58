//! The schedule of fetches, and the limit of requests that wait for one.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::SpanContext;
use tokio::time::Instant;

use super::fixture::key_source;
use super::{FIRST_BACKOFF, KeyError, MAX_BACKOFF, Schedule};
use crate::outbound;
use crate::telemetry::metrics::Metrics;

const REFRESH: Duration = Duration::from_secs(600);

/// Asserts that delays fill the range from `share` of `longest` to `longest`. The probability that 1,000 samples leave a tenth
/// of it empty is 0.9^1000.
fn assert_jitter(longest: Duration, share: f64, mut delay: impl FnMut() -> Duration) {
    let shortest = longest.mul_f64(share);
    let tenth = (longest - shortest) / 10;
    let delays: Vec<_> = (0..1_000).map(|_| delay()).collect();
    assert!(delays.iter().all(|delay| (shortest..=longest).contains(delay)));
    assert!(delays.iter().any(|delay| *delay < shortest + tenth));
    assert!(delays.iter().any(|delay| *delay > longest - tenth));
}

fn after_failures(number: usize) -> Schedule {
    let mut schedule = Schedule::new(REFRESH);
    for _ in 0..number {
        schedule.delay(false);
    }
    schedule
}

#[test]
fn the_refresh_has_jitter() {
    let mut schedule = after_failures(3);
    assert_jitter(REFRESH, 0.9, || schedule.delay(true));
    assert_jitter(FIRST_BACKOFF, 0.5, || {
        schedule.delay(true);
        schedule.delay(false)
    });
}

#[test]
fn the_backoff_doubles_up_to_its_maximum_and_has_jitter() {
    assert_jitter(FIRST_BACKOFF, 0.5, || after_failures(0).delay(false));
    assert_jitter(FIRST_BACKOFF * 2, 0.5, || after_failures(1).delay(false));
    assert_jitter(FIRST_BACKOFF * 4, 0.5, || after_failures(2).delay(false));
    assert_jitter(MAX_BACKOFF, 0.5, || after_failures(30).delay(false));
}

#[test]
fn the_backoff_is_never_longer_than_the_refresh() {
    let refresh = FIRST_BACKOFF / 2;
    assert_jitter(refresh, 0.5, || Schedule::new(refresh).delay(false));
}

#[test]
fn a_request_that_ends_lets_another_wait() {
    let http = outbound::client().build().expect("a client");
    let source = key_source(&Metrics::new(&[]), &http, &Arc::default());
    let _in_flight = source.fetch_state().start(SpanContext::NONE);
    let wait = || source.join_or_start("unknown", Instant::now()).map(drop);
    let waiting: Vec<_> = (0..256)
        .map(|_| {
            source
                .join_or_start("unknown", Instant::now())
                .expect("waits for the fetch")
        })
        .collect();
    assert!(matches!(wait(), Err(KeyError::Unavailable { .. })));
    drop(waiting);
    assert_eq!(wait(), Ok(()));
}
