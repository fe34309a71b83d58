//! Token buckets in memory: each replica counts on its own, without a dependency.

use std::num::NonZeroU32;
use std::time::Duration;

use foldhash::fast::RandomState;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::decision::Decision;
use crate::auth::Principal;
use crate::config::RateLimit;

type Buckets = RateLimiter<
    Principal,
    DashMapStateStore<Principal, RandomState>,
    DefaultClock,
    StateInformationMiddleware,
>;

/// How often full buckets are evicted, to free memory.
const EVICTION_INTERVAL: Duration = Duration::from_secs(60);

/// The token buckets of all principals.
pub(super) struct LocalQuotas {
    buckets: Buckets,
    replenish_one: Duration,
    burst: NonZeroU32,
}

impl LocalQuotas {
    /// Creates quotas with full buckets.
    pub(super) fn new(config: &RateLimit) -> Self {
        let quota = Quota::with_period(config.replenish_one)
            .expect("the configuration accepts only rates whose period is above zero")
            .allow_burst(config.burst);
        Self {
            buckets: RateLimiter::dashmap_with_clock_and_hasher(
                quota,
                DefaultClock::default(),
                RandomState::default(),
            )
            .with_middleware(),
            replenish_one: config.replenish_one,
            burst: config.burst,
        }
    }

    /// Takes one token from the bucket of `principal`.
    pub(super) fn take(&self, principal: &Principal) -> Decision {
        let (retry_after, remaining) = match self.buckets.check_key(principal) {
            Ok(snapshot) => (None, snapshot.remaining_burst_capacity()),
            Err(not_until) => (Some(not_until.wait_time_from(DefaultClock::default().now())), 0),
        };
        Decision {
            retry_after,
            remaining,
            reset_after: self.replenish_one * (self.burst.get() - remaining),
        }
    }

    /// Evicts full buckets periodically until dropped.
    pub(super) async fn evict_idle(&self) {
        let mut eviction = tokio::time::interval(EVICTION_INTERVAL);
        loop {
            eviction.tick().await;
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::LocalQuotas;
    use crate::auth::Principal;
    use crate::config::RateLimit;

    fn principal(client: &str, subject: Option<&str>) -> Principal {
        Principal {
            client_id: client.into(),
            subject: subject.map(Into::into),
        }
    }

    #[test]
    fn each_client_and_each_user_has_a_separate_bucket() {
        let hour = Duration::from_secs(3600);
        let quotas = LocalQuotas::new(&RateLimit {
            replenish_one: hour,
            burst: 2.try_into().expect("above zero"),
        });
        let principals = [
            principal("a", None),
            principal("b", None),
            principal("a", Some("ada")),
            principal("a", Some("bob")),
        ];
        for principal in &principals {
            let first = quotas.take(principal);
            assert_eq!(
                (first.retry_after, first.remaining, first.reset_after),
                (None, 1, hour),
                "{principal:?}"
            );
            assert_eq!(quotas.take(principal).remaining, 0, "{principal:?}");
            let third = quotas.take(principal);
            assert!(
                third.retry_after.is_some_and(|wait| wait <= hour),
                "{principal:?}: {third:?}"
            );
            assert_eq!(third.reset_after, 2 * hour, "{principal:?}");
        }
    }
}
