//! The retry budget: each call deposits a part of a retry, each retry withdraws a whole one. With the default deposit
//! of a fifth, an outage causes 1.2 attempts per call instead of 4.
//!
//! A retry is withdrawn before its backoff, so that calls without budget fail at once, and refunded if it is not sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metrics::Gauge;

use crate::config::Ratio;

const RETRY_COST: u64 = 1_000_000;

/// A balance of retries, in millionths.
pub(super) struct Budget {
    balance: AtomicU64,
    capacity: u64,
    deposit_per_call: u64,
    gauge: Gauge,
}

impl Budget {
    /// Creates a budget that starts with `reserve` retries, its capacity.
    pub(super) fn new(reserve: u32, deposit_per_call: Ratio, gauge: Gauge) -> Self {
        let capacity = u64::from(reserve) * RETRY_COST;
        gauge.set(f64::from(reserve));
        Self {
            balance: AtomicU64::new(capacity),
            capacity,
            deposit_per_call: deposit_per_call.millionths().into(),
            gauge,
        }
    }

    /// Adds the deposit of one call, up to the capacity.
    pub(super) fn deposit(&self) {
        let add = |balance: u64| Some((balance + self.deposit_per_call).min(self.capacity));
        _ = self
            .balance
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        self.update_gauge();
    }

    /// Withdraws one retry; returns `None` if the balance is too low.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        self.withdraw().then(|| Reservation {
            budget: Arc::clone(self),
            is_sent: AtomicBool::new(false),
        })
    }

    fn withdraw(&self) -> bool {
        let take = |balance: u64| balance.checked_sub(RETRY_COST);
        let is_withdrawn = self
            .balance
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .is_ok();
        self.update_gauge();
        is_withdrawn
    }

    fn refund(&self) {
        let add = |balance: u64| Some((balance + RETRY_COST).min(self.capacity));
        _ = self
            .balance
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        self.update_gauge();
    }

    fn update_gauge(&self) {
        let balance = self.balance.load(Ordering::Acquire);
        self.gauge.set(balance as f64 / RETRY_COST as f64);
    }
}

/// A retry that was withdrawn. Refunds it on drop, unless it was sent.
pub(super) struct Reservation {
    budget: Arc<Budget>,
    is_sent: AtomicBool,
}

impl Reservation {
    /// Records that the retry is sent.
    pub(super) fn record_sent(&self) {
        self.is_sent.store(true, Ordering::Release);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_sent.load(Ordering::Acquire) {
            self.budget.refund();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{Budget, Gauge, Ratio};

    const FIFTH: Ratio = Ratio::from_millionths(200_000);

    #[test]
    fn it_starts_with_the_reserve_and_five_calls_deposit_one_retry() {
        let budget = Budget::new(2, FIFTH, Gauge::noop());
        assert!(budget.withdraw() && budget.withdraw() && !budget.withdraw());
        for _ in 0..4 {
            budget.deposit();
            assert!(!budget.withdraw());
        }
        budget.deposit();
        assert!(budget.withdraw() && !budget.withdraw());
    }

    #[test]
    fn the_balance_never_exceeds_the_reserve() {
        let budget = Budget::new(1, FIFTH, Gauge::noop());
        for _ in 0..100 {
            budget.deposit();
        }
        assert!(budget.withdraw() && !budget.withdraw());
        let none = Budget::new(0, FIFTH, Gauge::noop());
        none.deposit();
        assert!(!none.withdraw());
    }

    #[test]
    fn a_retry_that_is_not_sent_is_refunded_up_to_the_reserve() {
        let budget = Arc::new(Budget::new(1, FIFTH, Gauge::noop()));
        let reservation = budget.reserve().expect("in the budget");
        assert!(budget.reserve().is_none(), "the budget is exhausted");
        budget.deposit();
        drop(reservation);
        let reservation = budget.reserve().expect("refunded");
        reservation.record_sent();
        drop(reservation);
        assert!(budget.reserve().is_none(), "the retry was sent");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn retries_are_at_most_the_reserve_and_a_fifth_of_the_calls(events in any::<Vec<bool>>()) {
            let budget = Budget::new(10, FIFTH, Gauge::noop());
            let (mut calls, mut retries) = (0, 0);
            for is_call in events {
                if is_call {
                    budget.deposit();
                    calls += 1;
                } else if budget.withdraw() {
                    retries += 1;
                }
                assert!(retries * 5 <= 50 + calls);
            }
        }
    }
}
