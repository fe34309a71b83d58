//! Authentication and the keys that verify tokens.

use std::sync::Arc;
use std::time::Duration;

use enum_map::EnumMap;
use metrics::{Counter, Gauge};

use super::Registry;
use super::labels::{AuthRejection, LabelValue as _};

/// Metrics of authentication.
#[derive(Clone)]
pub struct AuthMetrics {
    accepted: Counter,
    rejected: Arc<EnumMap<AuthRejection, Counter>>,
    /// Tokens found in the token cache, which skips the signature check.
    pub cache_hits: Counter,
    /// Tokens not found in the token cache.
    pub cache_misses: Counter,
}

impl AuthMetrics {
    pub(super) fn new(registry: &Registry<'_>) -> Self {
        let decisions = |outcome| {
            let help = "Authentication decisions: accepted, or the reason for the rejection.";
            registry.counter("shoutback_auth_total", help, &[("outcome", outcome)])
        };
        let lookups = |result| {
            let help = "Lookups in the cache of verified tokens.";
            registry.counter("shoutback_token_cache_total", help, &[("result", result)])
        };
        Self {
            accepted: decisions("accepted"),
            rejected: Arc::new(EnumMap::from_fn(|reason: AuthRejection| {
                decisions(reason.as_str())
            })),
            cache_hits: lookups("hit"),
            cache_misses: lookups("miss"),
        }
    }

    /// Counts a decision; `rejection` is `None` for an accepted request.
    pub fn record_decision(&self, rejection: Option<AuthRejection>) {
        let counter = rejection.map_or(&self.accepted, |reason| &self.rejected[reason]);
        counter.increment(1);
    }
}

/// Metrics of one user pool's keys.
pub struct KeyMetrics {
    succeeded: Counter,
    failed: Counter,
    last_success: Gauge,
    keys: Gauge,
}

impl KeyMetrics {
    pub(super) fn new(registry: &Registry<'_>, pool: &str) -> Self {
        let refreshes = |outcome| {
            let help = "Fetches of a user pool's key set, by outcome.";
            registry.counter(
                "shoutback_jwks_refresh_total",
                help,
                &[("pool", pool), ("outcome", outcome)],
            )
        };
        Self {
            succeeded: refreshes("success"),
            failed: refreshes("failure"),
            last_success: registry.gauge(
                "shoutback_jwks_last_success_timestamp_seconds",
                "Unix time of the last successful fetch of a user pool's key set; 0 if there was none.",
                &[("pool", pool)],
            ),
            keys: registry.gauge(
                "shoutback_jwks_keys",
                "Usable keys in a user pool's key set.",
                &[("pool", pool)],
            ),
        }
    }

    /// Records a fetch at `now` (time since the Unix epoch) of a set with `keys` usable keys.
    pub fn record_refresh(&self, keys: usize, now: Duration) {
        self.succeeded.increment(1);
        self.last_success.set(now.as_secs_f64());
        self.keys.set(keys as f64);
    }

    /// Records a failed fetch.
    pub fn record_refresh_failure(&self) {
        self.failed.increment(1);
    }
}
