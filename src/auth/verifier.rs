//! Runs all checks of a token, in the order that `docs/api.md` documents.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use tokio::time::interval;

use super::claims::ClaimsPolicy;
use super::key_source::{KeyError, KeySource, Telemetry};
use super::token::{Unverified, bearer};
use super::token_cache::{CachedToken, TokenCache};
use super::{AuthError, Principal};
use crate::config::Cognito;
use crate::outbound;
use crate::telemetry::metrics::{AuthMetrics, Metrics};
use crate::telemetry::trace::Tracing;

/// How often invalid tokens are evicted from the cache, to free memory; a look-up never returns one in between.
const EVICTION_INTERVAL: Duration = Duration::from_secs(60);

/// Authenticates and authorizes requests by their access tokens.
pub struct Verifier {
    key_sources: Vec<Arc<KeySource>>,
    policy: ClaimsPolicy,
    token_cache: TokenCache,
    refresh_interval: Duration,
    metrics: AuthMetrics,
}

impl Verifier {
    /// Creates a verifier without keys; [`Verifier::keep_fresh`] has to run to fetch them.
    pub fn new(config: &Cognito, metrics: &Metrics, tracing: &Tracing) -> Result<Self, reqwest::Error> {
        let http = outbound::client().build()?;
        let key_sources = config
            .pools
            .iter()
            .map(|pool| {
                let telemetry = Telemetry {
                    metrics: metrics.keys(&pool.id),
                    tracing: tracing.clone(),
                };
                KeySource::new(pool, http.clone(), config.max_stale, telemetry)
            })
            .collect();
        Ok(Self {
            key_sources,
            policy: ClaimsPolicy {
                client_ids: config.client_ids.clone(),
                audiences: config.audiences.clone(),
                required_scopes: config.required_scopes.clone(),
                allowed_groups: config.allowed_groups.clone(),
                leeway: config.leeway.as_secs_f64(),
            },
            token_cache: TokenCache::new(),
            refresh_interval: config.refresh,
            metrics: metrics.auth.clone(),
        })
    }

    /// Refreshes the keys of all pools and evicts invalid tokens until dropped. Returns only if a refresh task panics.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut tasks = tokio::task::JoinSet::new();
        for source in &self.key_sources {
            tasks.spawn(Arc::clone(source).keep_fresh(self.refresh_interval));
        }
        let mut eviction = interval(EVICTION_INTERVAL);
        loop {
            tokio::select! {
                _ = eviction.tick() => self.token_cache.evict_invalid(&self.key_sources, now()),
                // Only a panic ends a refresh task. Returning reports it to the caller.
                _ = tasks.join_next() => return,
            }
        }
    }

    /// Returns the first issuers of the pools whose keys were never loaded.
    pub fn pools_without_keys(&self) -> impl Iterator<Item = &str> {
        self.key_sources
            .iter()
            .filter(|source| !source.had_keys())
            .map(|source| source.issuer.as_str())
    }

    /// Returns the scopes that a token needs, for the `scope` parameter of a `www-authenticate` challenge.
    pub fn required_scopes(&self) -> &[String] {
        &self.policy.required_scopes
    }

    /// Authenticates the sender of a request by its headers and counts the outcome.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Principal, AuthError> {
        let verified = self.verify_uncounted(headers).await;
        self.metrics
            .record_decision(verified.as_ref().err().map(AuthError::reason));
        verified
    }

    async fn verify_uncounted(&self, headers: &HeaderMap) -> Result<Principal, AuthError> {
        let token = bearer(headers)?;
        let digest = TokenCache::digest(token);
        if let Some(principal) = self.token_cache.get(&digest, &self.key_sources, now()) {
            self.metrics.cache_hits.increment(1);
            return Ok(principal);
        }
        self.metrics.cache_misses.increment(1);
        let token = Unverified::parse(token)?;
        let issuer = token.claims.iss.as_ref().and_then(serde_json::Value::as_str);
        let (index, source) = self
            .key_sources
            .iter()
            .enumerate()
            .find(|(_, source)| issuer.is_some_and(|issuer| source.is_of(issuer)))
            .ok_or(AuthError::UnknownIssuer)?;
        let key = source
            .key_or_fetch(&token.kid)
            .await
            .map_err(|error| match error {
                KeyError::Unknown => AuthError::UnknownKey,
                KeyError::Unavailable { retry_after } => AuthError::KeysUnavailable { retry_after },
            })?;
        if !key.verifies(token.message, token.signature) {
            return Err(AuthError::BadSignature);
        }
        let verified = self.policy.check(&token.claims, now())?;
        self.token_cache.insert(
            digest,
            CachedToken {
                principal: verified.principal.clone(),
                exp: verified.exp,
                key_source: index,
                kid: token.kid,
                fingerprint: key.fingerprint,
            },
        );
        Ok(verified.principal)
    }
}

/// Returns seconds since 1970.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
