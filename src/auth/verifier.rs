//! Asks everything that has to hold of a token, in the contract's order.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use tokio::time::interval;

use super::claims::Rules;
use super::memory::{Memory, Remembered};
use super::pool::{NoKey, Pool, Watched};
use super::token::{Unverified, bearer};
use super::{Principal, Refusal};
use crate::config::Cognito;
use crate::outbound;
use crate::telemetry::metrics::{AuthMetrics, Metrics};
use crate::telemetry::trace::Tracing;

/// How often remembered tokens that no longer hold are dropped; they are refused from the first moment all the same.
const SWEEP: Duration = Duration::from_secs(60);

/// Decides whether a token is let in.
pub struct Verifier {
    pools: Vec<Arc<Pool>>,
    rules: Rules,
    memory: Memory,
    refresh: Duration,
    metrics: AuthMetrics,
}

impl Verifier {
    /// A verifier that knows no key until [`Verifier::keep_fresh`] runs.
    pub fn new(config: &Cognito, metrics: &Metrics, tracing: &Tracing) -> Result<Self, reqwest::Error> {
        let http = outbound::client().build()?;
        let pools = config
            .pools
            .iter()
            .map(|pool| {
                let watched = Watched {
                    metrics: metrics.keys(&pool.id),
                    tracing: tracing.clone(),
                };
                Pool::new(pool, http.clone(), config.max_stale, watched)
            })
            .collect();
        Ok(Self {
            pools,
            rules: Rules {
                client_ids: config.client_ids.clone(),
                required_scopes: config.required_scopes.clone(),
                allowed_groups: config.allowed_groups.clone(),
                leeway: config.leeway.as_secs_f64(),
            },
            memory: Memory::new(),
            refresh: config.refresh,
            metrics: metrics.auth.clone(),
        })
    }

    /// Fetches every pool's keys, again and again, until dropped; ends only by a fault.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut tasks = tokio::task::JoinSet::new();
        for pool in &self.pools {
            tasks.spawn(Arc::clone(pool).keep_fresh(self.refresh));
        }
        let mut sweep = interval(SWEEP);
        loop {
            tokio::select! {
                _ = sweep.tick() => self.memory.forget_stale(&self.pools, now()),
                // They end by a panic alone, of which whoever runs this should hear.
                _ = tasks.join_next() => return,
            }
        }
    }

    /// Issuers of which no key was ever loaded yet.
    pub fn awaited(&self) -> impl Iterator<Item = &str> {
        self.pools
            .iter()
            .filter(|pool| !pool.had_keys())
            .map(|pool| pool.issuer.as_str())
    }

    /// The scopes that a token needs, as a challenge names them.
    pub fn required_scopes(&self) -> &[String] {
        &self.rules.required_scopes
    }

    /// Lets the sender of `headers` in, or says why not.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let verified = self.verify_uncounted(headers).await;
        self.metrics
            .record_decision(verified.as_ref().err().map(Refusal::reason));
        verified
    }

    async fn verify_uncounted(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let token = bearer(headers)?;
        let digest = Memory::digest(token);
        if let Some(principal) = self.memory.recall(&digest, &self.pools, now()) {
            self.metrics.cache_hits.increment(1);
            return Ok(principal);
        }
        self.metrics.cache_misses.increment(1);
        let token = Unverified::parse(token)?;
        let issuer = token.claims.iss.as_ref().and_then(serde_json::Value::as_str);
        let (index, pool) = self
            .pools
            .iter()
            .enumerate()
            .find(|(_, pool)| Some(pool.issuer.as_str()) == issuer)
            .ok_or(Refusal::UnknownIssuer)?;
        let key = pool.key(&token.kid).await.map_err(|no_key| match no_key {
            NoKey::Unknown => Refusal::UnknownKey,
            NoKey::Unavailable { retry_after } => Refusal::KeysUnavailable { retry_after },
        })?;
        if !key.verifies(token.message, token.signature) {
            return Err(Refusal::BadSignature);
        }
        let accepted = self.rules.check(&token.claims, now())?;
        self.memory.remember(
            digest,
            Remembered {
                principal: accepted.principal.clone(),
                exp: accepted.exp,
                pool: index,
                kid: token.kid,
                fingerprint: key.fingerprint,
            },
        );
        Ok(accepted.principal)
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
