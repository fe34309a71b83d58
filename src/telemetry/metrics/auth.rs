//! Tokens, and the keys that verify them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge};

use super::Register;

/// Decisions about tokens.
#[derive(Clone)]
pub struct AuthMetrics {
    accepted: Counter,
    refused: Arc<HashMap<&'static str, Counter>>,
    /// Tokens that needed no signature check.
    pub remembered: Counter,
    /// Tokens that were looked up in vain.
    pub not_remembered: Counter,
}

impl AuthMetrics {
    pub(super) fn new(register: &Register<'_>, refusals: &[&'static str]) -> Self {
        let decisions = |outcome| {
            let help = "Decisions about requests' tokens: accepted, or the reason of the refusal.";
            register.counter("shoutback_auth_total", help, &[("outcome", outcome)])
        };
        let look_ups = |result| {
            let help = "Look-ups of tokens that were accepted before.";
            register.counter("shoutback_token_cache_total", help, &[("result", result)])
        };
        Self {
            accepted: decisions("accepted"),
            refused: Arc::new(
                refusals
                    .iter()
                    .map(|reason| (*reason, decisions(reason)))
                    .collect(),
            ),
            remembered: look_ups("hit"),
            not_remembered: look_ups("miss"),
        }
    }

    /// Counts a decision: `None` for a request that was let in.
    pub fn decided(&self, refusal: Option<&str>) {
        let counter = refusal.map_or(Some(&self.accepted), |reason| self.refused.get(reason));
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }
}

/// One pool's keys.
pub struct KeyMetrics {
    succeeded: Counter,
    failed: Counter,
    last_success: Gauge,
    keys: Gauge,
}

impl KeyMetrics {
    pub(super) fn new(register: &Register<'_>, pool: &str) -> Self {
        let refreshes = |outcome| {
            let help = "Fetches of a pool's key set.";
            register.counter(
                "shoutback_jwks_refresh_total",
                help,
                &[("pool", pool), ("outcome", outcome)],
            )
        };
        Self {
            succeeded: refreshes("success"),
            failed: refreshes("failure"),
            last_success: register.gauge(
                "shoutback_jwks_last_success_timestamp_seconds",
                "When a pool's key set was last fetched, in seconds since 1970; 0 if never.",
                &[("pool", pool)],
            ),
            keys: register.gauge(
                "shoutback_jwks_keys",
                "Usable keys in a pool's key set.",
                &[("pool", pool)],
            ),
        }
    }

    /// A set of `keys` usable keys was fetched at `now`, since 1970.
    pub fn refreshed(&self, keys: usize, now: Duration) {
        self.succeeded.increment(1);
        self.last_success.set(now.as_secs_f64());
        self.keys.set(keys as f64);
    }

    /// A fetch failed.
    pub fn refresh_failed(&self) {
        self.failed.increment(1);
    }
}
