//! The circuit breaker: when too many attempts fail or are slow, it rejects all attempts for a while, then accepts a
//! few probes, which close it or open it again.
//!
//! It sits below the retries, so that it counts each attempt, and above the attempt, so that reading the body counts.
//! The lock is held while counting, never during an attempt. Every invalid response is a failure except a permanent 4xx:
//! it concerns one request and shows that the upstream works, so it counts as a success. A client whose text is rejected
//! must not open the breaker for all others, and an upstream that rejects every text must not keep it half open.

mod circuit;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use tokio::time::Instant;

use self::circuit::{Circuit, Generation, Outcome};
use super::attempt_error::AttemptError;
use super::error::{Error, InvalidResponse};
use crate::config;
use crate::telemetry::metrics::{BreakerTransition, LabelValue as _, UpstreamMetrics};
use crate::telemetry::redact::without_addresses;

/// A breaker that all calls share.
pub(super) struct Breaker {
    circuit: Mutex<Circuit>,
    attempt_timeout: Duration,
    metrics: Arc<UpstreamMetrics>,
}

impl Breaker {
    pub(super) fn new(
        config: config::Breaker,
        attempt_timeout: Duration,
        metrics: Arc<UpstreamMetrics>,
    ) -> Self {
        Self {
            circuit: Mutex::new(Circuit::new(config, Instant::now())),
            attempt_timeout,
            metrics,
        }
    }

    /// Fails if an attempt would be rejected now. Changes no state.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.circuit().rejection(Instant::now()) {
            Some(left) => Err(Error::BreakerOpen { left }),
            None => Ok(()),
        }
    }

    /// Accepts an attempt, or fails with the time for which attempts are rejected.
    fn try_acquire(&self) -> Result<AttemptGuard<'_>, Error> {
        let now = Instant::now();
        let mut circuit = self.circuit();
        let (generation, transition) = circuit.try_acquire(now);
        self.report(transition, &circuit, None);
        drop(circuit);
        let generation = generation.map_err(|left| Error::BreakerOpen { left })?;
        Ok(AttemptGuard {
            breaker: self,
            generation: Some(generation),
            started: now,
        })
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs and counts a transition after an attempt that ended with `error`. The circuit is locked: the gauge has to end at the
    /// latest state.
    fn report(&self, transition: Option<BreakerTransition>, circuit: &Circuit, error: Option<&Error>) {
        if let Some(transition) = transition {
            self.metrics.record_transition(transition);
            let (from, to) = (transition.from().as_str(), transition.to().as_str());
            let counts = (transition == BreakerTransition::Opened).then(|| circuit.counts());
            tracing::warn!(
                event.action = "breaker",
                event.kind = "event",
                shoutback.breaker.from = from,
                shoutback.breaker.to = to,
                shoutback.breaker.reason = reason(transition, circuit, error),
                shoutback.breaker.calls = counts.map(|counts| counts.calls),
                shoutback.breaker.failed = counts.map(|counts| counts.failed),
                shoutback.breaker.slow = counts.map(|counts| counts.slow),
                shoutback.breaker.failure_percent =
                    counts.and_then(|counts| percent(counts.failed, counts.calls)),
                shoutback.breaker.slow_percent = counts.and_then(|counts| percent(counts.slow, counts.calls)),
                "error.type" = error.map(Error::cause),
                error.message = error.map(|error| without_addresses(&error.to_string())),
                "the circuit breaker of SHOUTCLOUD changed from {from} to {to}"
            );
        }
    }

    /// Returns how the circuit counts an attempt that ended with `result` after `duration`.
    fn classify(&self, result: Result<(), &Error>, duration: Duration) -> Outcome {
        match result {
            Ok(()) => Outcome::Succeeded,
            Err(Error::InvalidResponse(InvalidResponse::Status(status))) if status.is_client_error() => {
                Outcome::Succeeded
            }
            // The deadline ended the attempt: a failure if it had at least 90% of the attempt timeout.
            Err(Error::DeadlinePassed) if duration < self.attempt_timeout.mul_f64(0.9) => Outcome::Cancelled,
            Err(_) => Outcome::Failed,
        }
    }
}

/// Returns `part` as a rounded percentage of `calls`.
fn percent(part: u64, calls: u64) -> Option<u64> {
    (part * 100 + calls / 2).checked_div(calls)
}

/// Returns why the state changed.
fn reason(transition: BreakerTransition, circuit: &Circuit, error: Option<&Error>) -> &'static str {
    match (transition, error) {
        (BreakerTransition::Opened, _) if circuit.reaches_failure_rate() => "failure_rate",
        (BreakerTransition::Opened, _) => "slow_rate",
        (BreakerTransition::HalfOpened, _) => "open_time_passed",
        (BreakerTransition::Reopened, Some(_)) => "probe_failed",
        (BreakerTransition::Reopened, None) => "probe_slow",
        (BreakerTransition::Closed, _) => "probes_succeeded",
    }
}

/// An accepted attempt. Dropped without [`AttemptGuard::end`], it releases its permit and counts as nothing.
struct AttemptGuard<'a> {
    breaker: &'a Breaker,
    /// `None` once the attempt's end is recorded.
    generation: Option<Generation>,
    started: Instant,
}

impl AttemptGuard<'_> {
    fn end(mut self, result: Result<(), &Error>) {
        let now = Instant::now();
        let duration = now - self.started;
        let outcome = self.breaker.classify(result, duration);
        if let Some(generation) = self.generation.take() {
            // ±10% of the open time, so that replicas that opened together do not probe together.
            let jitter = rand::random_range(0.9..=1.1);
            let mut circuit = self.breaker.circuit();
            let transition = circuit.record(generation, now, duration, outcome, jitter);
            self.breaker.report(transition, &circuit, result.err());
        }
    }
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        if let Some(generation) = self.generation.take() {
            self.breaker.circuit().release(generation);
        }
    }
}

/// Passes attempts through the breaker.
pub(super) struct BreakerMiddleware(pub(super) Arc<Breaker>);

#[async_trait::async_trait]
impl Middleware for BreakerMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let guard = self.0.try_acquire().map_err(AttemptError::from)?;
        match next.run(request, extensions).await {
            Ok(response) => {
                guard.end(Ok(()));
                Ok(response)
            }
            Err(error) => {
                let error = AttemptError::from(error);
                guard.end(Err(&error.error));
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::{Breaker, BreakerTransition, Error, InvalidResponse, percent, reason};
    use crate::config::{self, Environment};
    use crate::shoutcloud::error::Transient;
    use crate::telemetry::metrics::Metrics;

    /// A breaker that opens for ten seconds at the first failure.
    fn breaker() -> Breaker {
        let environment = Environment::from([("AUTH_MODE", "disabled"), ("BREAKER_MIN_CALLS", "1")]);
        let config = config::Config::load(&environment)
            .expect("valid")
            .config
            .shoutcloud;
        let metrics = Metrics::new(&[]).upstream("api.shoutcloud.io", 80, &[]);
        Breaker::new(config.breaker, config.attempt_timeout, metrics.into())
    }

    fn rejected_for(breaker: &Breaker) -> Option<Duration> {
        match breaker.check() {
            Err(Error::BreakerOpen { left }) => Some(left),
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_open_time_varies_by_ten_percent() {
        let open_times: Vec<_> = (0..1_000)
            .map(|_| {
                let breaker = breaker();
                let attempt = breaker.try_acquire().expect("closed");
                attempt.end(Err(&Error::from(Transient::Timeout)));
                rejected_for(&breaker).expect("open").as_secs_f64()
            })
            .collect();
        assert!(open_times.iter().all(|time| (9.0..=11.0).contains(time)));
        // The probability that 1,000 samples leave a tenth of the range empty is 0.9^1000.
        assert!(open_times.iter().any(|time| *time < 9.2));
        assert!(open_times.iter().any(|time| *time > 10.8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_4xx_counts_as_a_success_and_any_other_invalid_response_as_a_failure() {
        let permanent_4xx = InvalidResponse::Status(StatusCode::NOT_FOUND);
        for (invalid, opens) in [
            (permanent_4xx, false),
            (InvalidResponse::Status(StatusCode::NOT_IMPLEMENTED), true),
            (InvalidResponse::Status(StatusCode::FOUND), true),
            (InvalidResponse::Unreadable, true),
        ] {
            let breaker = breaker();
            let attempt = breaker.try_acquire().expect("closed");
            attempt.end(Err(&Error::from(invalid.clone())));
            assert_eq!(rejected_for(&breaker).is_some(), opens, "{invalid:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_attempt_releases_its_permit() {
        let breaker = breaker();
        let attempt = breaker.try_acquire().expect("closed");
        attempt.end(Err(&Error::from(Transient::Timeout)));
        tokio::time::advance(Duration::from_secs(11)).await;
        let probes: Vec<_> = (0..5).map(|_| breaker.try_acquire().expect("a probe")).collect();
        assert!(rejected_for(&breaker).is_some(), "the probes are in flight");
        drop(probes);
        assert_eq!(rejected_for(&breaker), None);
    }
    #[tokio::test(start_paused = true)]
    async fn the_deadline_fails_an_attempt_that_had_most_of_its_time() {
        for (share, opens) in [(0.0, false), (0.89, false), (0.9, true), (1.0, true)] {
            let breaker = breaker();
            let attempt = breaker.try_acquire().expect("closed");
            tokio::time::advance(breaker.attempt_timeout.mul_f64(share)).await;
            attempt.end(Err(&Error::DeadlinePassed));
            assert_eq!(rejected_for(&breaker).is_some(), opens, "{share} of the timeout");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_transition_has_its_reason() {
        let error = Error::from(Transient::Timeout);
        let failing = breaker();
        failing.try_acquire().expect("closed").end(Err(&error));
        let slow = breaker();
        slow.try_acquire().expect("closed").end(Ok(()));
        for (breaker, transition, error, expected) in [
            (&failing, BreakerTransition::Opened, Some(&error), "failure_rate"),
            (&slow, BreakerTransition::Opened, None, "slow_rate"),
            (&slow, BreakerTransition::HalfOpened, None, "open_time_passed"),
            (&slow, BreakerTransition::Reopened, Some(&error), "probe_failed"),
            (&slow, BreakerTransition::Reopened, None, "probe_slow"),
            (&slow, BreakerTransition::Closed, None, "probes_succeeded"),
        ] {
            assert_eq!(reason(transition, &breaker.circuit(), error), expected);
        }
    }

    #[test]
    fn percentages_are_rounded() {
        assert_eq!(percent(5, 8), Some(63));
        assert_eq!(percent(1, 3), Some(33));
        assert_eq!(percent(0, 0), None);
    }
}
