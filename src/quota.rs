//! Rate limits: one token bucket per client, or per client and user if the token belongs to a user.
//!
//! Without Valkey each replica counts on its own (`local`). With it the replicas share one bucket, of which each leases
//! small parts ahead of need, so that a request normally waits for no round trip (`shared`).

mod decision;
mod local;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Principal;
use crate::config::RateLimit;
use crate::valkey::Valkey;

pub use self::decision::Decision;

use self::local::LocalQuotas;
use self::shared::SharedQuotas;

/// The quotas of all principals.
pub struct Quotas {
    buckets: Buckets,
    burst: u32,
    window: Duration,
}

enum Buckets {
    Local(LocalQuotas),
    Shared(SharedQuotas),
}

impl Quotas {
    /// Creates quotas with full buckets, which replicas share if there is a `valkey`.
    pub fn new(config: &RateLimit, valkey: Option<&Valkey>) -> Self {
        let burst = config.burst.get();
        Self {
            buckets: match valkey {
                None => Buckets::Local(LocalQuotas::new(config)),
                Some(valkey) => Buckets::Shared(SharedQuotas::new(config, valkey.clone())),
            },
            burst,
            window: config.replenish_one * burst,
        }
    }

    /// Takes one request from the quota of `principal`. Waits at most `VALKEY_TIMEOUT`, and only if no lease is left.
    pub async fn take(&self, principal: &Principal) -> Decision {
        match &self.buckets {
            Buckets::Local(buckets) => buckets.take(principal),
            Buckets::Shared(buckets) => match buckets.take_leased(principal) {
                Some(decision) => decision,
                // Boxed, so that requests that do not wait need no memory for it.
                None => Box::pin(buckets.take(principal)).await,
            },
        }
    }

    /// Returns the size of a bucket.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Returns the time in which an empty bucket fills.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Evicts idle clients and returns leases that they do not need, periodically until dropped.
    pub async fn upkeep(self: Arc<Self>) {
        match &self.buckets {
            Buckets::Local(buckets) => buckets.evict_idle().await,
            Buckets::Shared(buckets) => buckets.upkeep().await,
        }
    }

    /// Returns all leases, before the process exits.
    pub async fn release(&self) {
        if let Buckets::Shared(buckets) = &self.buckets {
            buckets.release().await;
        }
    }
}
