//! How often one client may call: a token bucket a client, and a person where the token belongs to one.
//!
//! Counted on this replica alone: a shared counter would put a network round trip and one more outage into every request.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::auth::Principal;
use crate::config::RateLimit;

type Buckets = RateLimiter<Principal, DashMapStateStore<Principal>, DefaultClock, StateInformationMiddleware>;

/// How often a bucket that is full again is forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// Every client's quota.
pub struct Quotas {
    buckets: Buckets,
    replenish_one: Duration,
    burst: NonZeroU32,
}

/// What the quota says to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// `None` if the request may go on, else how long to wait.
    pub wait: Option<Duration>,
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Until the bucket is full again, if nothing follows.
    pub full_in: Duration,
}

impl Quotas {
    /// Full buckets for everybody.
    pub fn new(config: &RateLimit) -> Self {
        let quota = Quota::with_period(config.replenish_one)
            .expect("a rate has a number of requests and a time above zero")
            .allow_burst(config.burst);
        Self {
            buckets: RateLimiter::dashmap(quota).with_middleware(),
            replenish_one: config.replenish_one,
            burst: config.burst,
        }
    }

    /// Takes one request out of the bucket of `principal`.
    pub fn take(&self, principal: &Principal) -> Decision {
        let (wait, remaining) = match self.buckets.check_key(principal) {
            Ok(snapshot) => (None, snapshot.remaining_burst_capacity()),
            Err(not_until) => (Some(not_until.wait_time_from(DefaultClock::default().now())), 0),
        };
        Decision {
            wait,
            remaining,
            full_in: self.replenish_one * (self.burst.get() - remaining),
        }
    }

    /// Requests that a quiet client may make at once.
    pub fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// Time in which an empty bucket fills.
    pub fn window(&self) -> Duration {
        self.replenish_one * self.burst.get()
    }

    /// Forgets full buckets, again and again, until dropped.
    pub async fn forget_idle(self: Arc<Self>) {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            sweep.tick().await;
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Quotas;
    use crate::auth::Principal;
    use crate::config::RateLimit;

    fn principal(client: &str, person: Option<&str>) -> Principal {
        Principal {
            client_id: client.into(),
            person: person.map(Into::into),
        }
    }

    #[test]
    fn every_client_and_every_person_has_a_bucket_of_its_own() {
        let hour = Duration::from_secs(3600);
        let quotas = Quotas::new(&RateLimit {
            replenish_one: hour,
            burst: 2.try_into().expect("above zero"),
        });
        assert_eq!(quotas.window(), 2 * hour);
        let everybody = [
            principal("a", None),
            principal("b", None),
            principal("a", Some("ada")),
            principal("a", Some("bob")),
        ];
        for principal in &everybody {
            let first = quotas.take(principal);
            assert_eq!(
                (first.wait, first.remaining, first.full_in),
                (None, 1, hour),
                "{principal:?}"
            );
            assert_eq!(quotas.take(principal).remaining, 0, "{principal:?}");
            let third = quotas.take(principal);
            assert!(
                third.wait.is_some_and(|wait| wait <= hour),
                "{principal:?}: {third:?}"
            );
            assert_eq!(third.full_in, 2 * hour, "{principal:?}");
        }
    }
}
