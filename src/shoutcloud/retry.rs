//! Retries: which errors are retried, when, and how retries are counted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Extensions;
use reqwest::Response;
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{
    Jitter, RetryDecision, RetryPolicy, RetryTransientMiddleware, Retryable, RetryableStrategy,
};

use super::attempt_error;
use super::breaker::Breaker;
use super::budget::Budget;
use super::error::Error;
use crate::telemetry::metrics::{RetryReason, UpstreamMetrics};

/// Upper bound of the backoff before the first retry; doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Returns the middleware that retries transient errors with full jitter while the budget lasts.
pub(super) fn middleware(
    max_retries: u32,
    budget: Arc<Budget>,
    breaker: Arc<Breaker>,
) -> RetryTransientMiddleware<BudgetedBackoff, TransientErrors> {
    let policy = BudgetedBackoff::new(max_retries, budget);
    RetryTransientMiddleware::new_with_policy_and_strategy(policy, TransientErrors { breaker })
}

/// A backoff that withdraws each retry from the budget.
pub(super) struct BudgetedBackoff {
    backoff: ExponentialBackoff,
    budget: Arc<Budget>,
}

impl BudgetedBackoff {
    fn new(max_retries: u32, budget: Arc<Budget>) -> Self {
        let backoff = ExponentialBackoff::builder()
            .retry_bounds(INITIAL_BACKOFF, MAX_BACKOFF)
            .base(2)
            .jitter(Jitter::Full)
            .build_with_max_retries(max_retries);
        Self { backoff, budget }
    }
}

impl RetryPolicy for BudgetedBackoff {
    fn should_retry(&self, started: SystemTime, retries: u32) -> RetryDecision {
        match self.backoff.should_retry(started, retries) {
            // After the backoff's decision, so that only retries that are made are withdrawn.
            RetryDecision::Retry { execute_after } if self.budget.withdraw() => {
                RetryDecision::Retry { execute_after }
            }
            _ => RetryDecision::DoNotRetry,
        }
    }
}

/// Retries transient errors, and only while the breaker accepts attempts: a retry that it would reject needs neither
/// backoff nor budget.
pub(super) struct TransientErrors {
    breaker: Arc<Breaker>,
}

impl RetryableStrategy for TransientErrors {
    fn handle(&self, outcome: &reqwest_middleware::Result<Response>) -> Option<Retryable> {
        let error = attempt_error::peek(outcome.as_ref().err()?)?;
        let is_retryable = error.is_retryable && self.breaker.check().is_ok();
        is_retryable.then_some(Retryable::Transient)
    }
}

/// The failure of the previous attempt, in the request's extensions.
#[derive(Clone, Copy)]
struct PreviousError(RetryReason);

/// Counts an attempt that starts now as a retry, if an earlier one of the same call failed.
pub(super) fn count_retry(metrics: &UpstreamMetrics, extensions: &mut Extensions) {
    if let Some(PreviousError(reason)) = extensions.remove() {
        metrics.record_retry(reason);
    }
}

/// Stores the error of a failed attempt as the reason of the next one.
pub(super) fn record_error(error: &Error, extensions: &mut Extensions) {
    if let Error::Unavailable { cause, .. } = error {
        extensions.insert(PreviousError(cause.retry_reason()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest_retry::{RetryDecision, RetryPolicy as _};

    use super::{Budget, BudgetedBackoff};
    use crate::config::Ratio;

    fn policy(max_retries: u32, reserve: u32) -> BudgetedBackoff {
        let budget = Budget::new(reserve, Ratio::from_millionths(0), metrics::Gauge::noop());
        BudgetedBackoff::new(max_retries, budget.into())
    }

    fn backoff(policy: &BudgetedBackoff, retries: u32) -> Option<Duration> {
        let now = SystemTime::now();
        match policy.should_retry(now, retries) {
            RetryDecision::Retry { execute_after } => {
                Some(execute_after.duration_since(now).unwrap_or_default())
            }
            RetryDecision::DoNotRetry => None,
        }
    }

    #[test]
    fn the_backoff_has_full_jitter_below_a_bound_that_doubles_up_to_a_second() {
        let policy = policy(100, 1_000_000);
        for (retries, bound) in [(0, 50), (1, 100), (2, 200), (4, 800), (5, 1_000), (99, 1_000)] {
            let bound = Duration::from_millis(bound);
            let backoffs: Vec<_> = (0..1_000)
                .map(|_| backoff(&policy, retries).expect("a retry"))
                .collect();
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

    #[test]
    fn retries_are_limited_per_call_and_by_the_budget() {
        let policy = policy(2, 3);
        assert!(backoff(&policy, 0).is_some() && backoff(&policy, 1).is_some());
        assert_eq!(backoff(&policy, 2), None, "a third retry");
        assert!(
            backoff(&policy, 0).is_some(),
            "the rejected retry was not withdrawn"
        );
        assert_eq!(backoff(&policy, 0), None, "the budget is exhausted");
    }
}
