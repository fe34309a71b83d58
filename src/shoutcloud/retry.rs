//! Retries: which failed attempts are retried, when, and how retries are paid for and counted.
//!
//! reqwest-retry's middleware has the loop and the backoff, but its policy sees neither the error nor the request's
//! extensions. So [`RetryGate`], below it, decides: a retry is paid for before its waits, and refunded unless an attempt
//! records that it was sent. The breaker may have rejected it in the meantime, or the call may have been cancelled.

use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{Jitter, RetryTransientMiddleware, Retryable, RetryableStrategy};
use tokio::time::{Instant, sleep_until};

use super::attempt_error::{self, AttemptError};
use super::breaker::Breaker;
use super::budget::Budget;
use super::call::{Call, PendingRetry};
use super::error::Error;
use crate::telemetry::metrics::UpstreamMetrics;

/// Upper bound of the backoff before the first retry; doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Returns the middleware that sends the retries that [`RetryGate`] allows, with full jitter.
pub(super) fn middleware(max_retries: u32) -> RetryTransientMiddleware<ExponentialBackoff, Allowed> {
    RetryTransientMiddleware::new_with_policy_and_strategy(backoff(max_retries), Allowed)
}

fn backoff(max_retries: u32) -> ExponentialBackoff {
    ExponentialBackoff::builder()
        .retry_bounds(INITIAL_BACKOFF, MAX_BACKOFF)
        .base(2)
        .jitter(Jitter::Full)
        .build_with_max_retries(max_retries)
}

/// Retries the errors that [`RetryGate`] marks as retryable.
pub(super) struct Allowed;

impl RetryableStrategy for Allowed {
    fn handle(&self, outcome: &reqwest_middleware::Result<Response>) -> Option<Retryable> {
        let error = attempt_error::peek(outcome.as_ref().err()?)?;
        error.is_retryable.then_some(Retryable::Transient)
    }
}

/// Decides after each attempt whether it is retried, and delays the retry by the response's `retry-after`.
pub(super) struct RetryGate {
    pub(super) max_retries: u32,
    pub(super) budget: Arc<Budget>,
    pub(super) breaker: Arc<Breaker>,
}

impl RetryGate {
    /// Pays for a retry after `error`. Returns `None` if there are no retries left, `retry-after` exceeds the deadline,
    /// the breaker would reject the retry, or the budget is exhausted.
    fn reserve(&self, error: &Error, call: &mut Call) -> Option<PendingRetry> {
        let Error::Unavailable { cause, retry_after } = error else {
            return None;
        };
        if call.retries >= self.max_retries {
            return None;
        }
        let not_before = match retry_after {
            Some(wait) => {
                let end = Instant::now().checked_add(*wait);
                Some(end.filter(|instant| *instant < call.deadline)?)
            }
            None => None,
        };
        self.breaker.check().ok()?;
        // Last, so that only a retry that is then made is paid for.
        let reservation = self.budget.reserve()?;
        call.retries += 1;
        Some(PendingRetry {
            reservation: reservation.into(),
            reason: cause.retry_reason(),
            not_before,
        })
    }
}

#[async_trait::async_trait]
impl Middleware for RetryGate {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let pending = Call::of(extensions).pending_retry.as_ref();
        if let Some(instant) = pending.and_then(|retry| retry.not_before) {
            sleep_until(instant).await;
        }
        let result = next.run(request, extensions).await;
        let call = Call::of(extensions);
        // Still there if the breaker rejected the retry: refunds it.
        call.pending_retry = None;
        let mut error = match result {
            Ok(response) => return Ok(response),
            Err(error) => AttemptError::from(error),
        };
        call.pending_retry = self.reserve(&error.error, call);
        error.is_retryable = call.pending_retry.is_some();
        Err(error.into())
    }
}

/// If the attempt that starts now is a retry, counts it and keeps it from being refunded.
pub(super) fn record_sent(metrics: &UpstreamMetrics, call: &mut Call) {
    if let Some(PendingRetry {
        reservation, reason, ..
    }) = call.pending_retry.take()
    {
        reservation.record_sent();
        metrics.record_retry(reason);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest_retry::{RetryDecision, RetryPolicy as _};

    #[test]
    fn the_backoff_has_full_jitter_below_a_bound_that_doubles_up_to_a_second() {
        let policy = super::backoff(100);
        let backoff = |retries: u32| {
            let now = SystemTime::now();
            match policy.should_retry(now, retries) {
                RetryDecision::Retry { execute_after } => {
                    execute_after.duration_since(now).unwrap_or_default()
                }
                RetryDecision::DoNotRetry => panic!("no retry"),
            }
        };
        for (retries, bound) in [(0, 50), (1, 100), (2, 200), (4, 800), (5, 1_000), (99, 1_000)] {
            let bound = Duration::from_millis(bound);
            let backoffs: Vec<_> = (0..1_000).map(|_| backoff(retries)).collect();
            // Time passes between the two readings of the clock.
            let slack = Duration::from_millis(20);
            assert!(
                backoffs.iter().all(|backoff| *backoff <= bound + slack),
                "{retries}"
            );
            // With 1,000 samples, the probability that the lowest or the highest tenth is empty is 2 × 0.9^1000.
            assert!(
                backoffs.iter().any(|backoff| *backoff < bound / 10 + slack / 10),
                "{retries}"
            );
            assert!(
                backoffs.iter().any(|backoff| *backoff > bound * 9 / 10),
                "{retries}"
            );
        }
    }
}
