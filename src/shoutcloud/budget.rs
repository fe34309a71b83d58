//! What retries are paid from: calls fill it, retries empty it. While everything fails, SHOUTCLOUD gets a fifth more
//! attempts than there are calls, instead of four times as many.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Gauge;

use crate::config::Ratio;

const A_RETRY: u64 = 1_000_000;

/// A bucket of retries, in millionths of one.
pub(super) struct Budget {
    left: AtomicU64,
    most: u64,
    a_call: u64,
    gauge: Gauge,
}

impl Budget {
    /// Starts with `reserve` retries and never holds more; a call adds `a_call` of one.
    pub(super) fn new(reserve: u32, a_call: Ratio, gauge: Gauge) -> Self {
        let most = u64::from(reserve) * A_RETRY;
        gauge.set(f64::from(reserve));
        Self {
            left: AtomicU64::new(most),
            most,
            a_call: a_call.millionths().into(),
            gauge,
        }
    }

    /// A call is made.
    pub(super) fn earn(&self) {
        let add = |left: u64| Some((left + self.a_call).min(self.most));
        _ = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        self.show();
    }

    /// Whether a retry can be paid; if so, it has been.
    pub(super) fn pay(&self) -> bool {
        let take = |left: u64| left.checked_sub(A_RETRY);
        let is_paid = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .is_ok();
        self.show();
        is_paid
    }

    fn show(&self) {
        let left = self.left.load(Ordering::Acquire);
        self.gauge.set(left as f64 / A_RETRY as f64);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{Budget, Gauge, Ratio};

    const A_FIFTH: Ratio = Ratio::from_millionths(200_000);

    #[test]
    fn the_reserve_is_there_at_once_and_five_calls_earn_a_retry() {
        let budget = Budget::new(2, A_FIFTH, Gauge::noop());
        assert!(budget.pay() && budget.pay() && !budget.pay());
        for _ in 0..4 {
            budget.earn();
            assert!(!budget.pay());
        }
        budget.earn();
        assert!(budget.pay() && !budget.pay());
    }

    #[test]
    fn it_never_holds_more_than_the_reserve() {
        let budget = Budget::new(1, A_FIFTH, Gauge::noop());
        for _ in 0..100 {
            budget.earn();
        }
        assert!(budget.pay() && !budget.pay());
        let none = Budget::new(0, A_FIFTH, Gauge::noop());
        none.earn();
        assert!(!none.pay());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn retries_are_at_most_the_reserve_and_a_fifth_of_the_calls(calls in any::<Vec<bool>>()) {
            let budget = Budget::new(10, A_FIFTH, Gauge::noop());
            let (mut made, mut paid) = (0, 0);
            for is_call in calls {
                if is_call {
                    budget.earn();
                    made += 1;
                } else if budget.pay() {
                    paid += 1;
                }
                assert!(paid * 5 <= 50 + made);
            }
        }
    }
}
