//! Which attempts are followed by another, and when.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{
    Jitter, RetryDecision, RetryPolicy, RetryTransientMiddleware, Retryable, RetryableStrategy,
};

use super::breaker::Breaker;
use super::budget::Budget;
use super::failure;

/// Before the first retry, at most; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Retries what may pass, with full jitter, as long as the budget pays.
pub(super) fn retries(
    max_retries: u32,
    budget: Arc<Budget>,
    breaker: Arc<Breaker>,
) -> RetryTransientMiddleware<PaidBackoff, WhatMayPass> {
    let backoff = ExponentialBackoff::builder()
        .retry_bounds(FIRST_WAIT, LONGEST_WAIT)
        .base(2)
        .jitter(Jitter::Full)
        .build_with_max_retries(max_retries);
    let policy = PaidBackoff { backoff, budget };
    RetryTransientMiddleware::new_with_policy_and_strategy(policy, WhatMayPass { breaker })
}

/// A backoff whose every retry is paid for.
pub(super) struct PaidBackoff {
    backoff: ExponentialBackoff,
    budget: Arc<Budget>,
}

impl RetryPolicy for PaidBackoff {
    fn should_retry(&self, began: SystemTime, retries: u32) -> RetryDecision {
        match self.backoff.should_retry(began, retries) {
            // Last: what is not retried anyway costs nothing.
            RetryDecision::Retry { execute_after } if self.budget.pay() => {
                RetryDecision::Retry { execute_after }
            }
            _ => RetryDecision::DoNotRetry,
        }
    }
}

/// Only what an attempt called unavailable, and only while the breaker would let another attempt through: what it refuses
/// is not waited or paid for.
pub(super) struct WhatMayPass {
    breaker: Arc<Breaker>,
}

impl RetryableStrategy for WhatMayPass {
    fn handle(&self, outcome: &reqwest_middleware::Result<Response>) -> Option<Retryable> {
        let failure = failure::peek(outcome.as_ref().err()?)?;
        let may_pass = failure.may_pass && self.breaker.check().is_ok();
        may_pass.then_some(Retryable::Transient)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use reqwest_retry::{RetryDecision, RetryPolicy as _};

    use super::{Budget, PaidBackoff};
    use crate::config::Ratio;

    fn policy(max_retries: u32, reserve: u32) -> PaidBackoff {
        let budget = Arc::new(Budget::new(
            reserve,
            Ratio::from_millionths(0),
            metrics::Gauge::noop(),
        ));
        PaidBackoff {
            backoff: reqwest_retry::policies::ExponentialBackoff::builder()
                .retry_bounds(super::FIRST_WAIT, super::LONGEST_WAIT)
                .base(2)
                .jitter(reqwest_retry::Jitter::Full)
                .build_with_max_retries(max_retries),
            budget,
        }
    }

    fn wait(policy: &PaidBackoff, retries: u32) -> Option<Duration> {
        let now = SystemTime::now();
        match policy.should_retry(now, retries) {
            RetryDecision::Retry { execute_after } => {
                Some(execute_after.duration_since(now).unwrap_or_default())
            }
            RetryDecision::DoNotRetry => None,
        }
    }

    #[test]
    fn a_wait_is_anything_up_to_a_bound_that_doubles_to_a_second() {
        let policy = policy(100, 1_000_000);
        for (retries, bound) in [(0, 50), (1, 100), (2, 200), (4, 800), (5, 1_000), (99, 1_000)] {
            let bound = Duration::from_millis(bound);
            let waits: Vec<_> = (0..1_000)
                .map(|_| wait(&policy, retries).expect("paid"))
                .collect();
            // Time passes between the two looks at the clock.
            let slack = Duration::from_millis(20);
            assert!(waits.iter().all(|wait| *wait <= bound + slack), "{retries}");
            // With 1,000 draws, the chance that a tenth at either end stays empty is 2 × 0.9^1000.
            assert!(
                waits.iter().any(|wait| *wait < bound / 10 + slack / 10),
                "{retries}"
            );
            assert!(waits.iter().any(|wait| *wait > bound * 9 / 10), "{retries}");
        }
    }

    #[test]
    fn neither_more_than_the_most_nor_more_than_is_paid() {
        let policy = policy(2, 3);
        assert!(wait(&policy, 0).is_some() && wait(&policy, 1).is_some());
        assert_eq!(wait(&policy, 2), None, "a third retry");
        assert!(wait(&policy, 0).is_some(), "the third retry was not paid");
        assert_eq!(wait(&policy, 0), None, "the budget is used up");
    }
}
