//! Caches verified tokens, so that a client that sends one token with many requests costs one signature check.
//!
//! A cached token is checked against the current key set at each look-up: a revoked or replaced key invalidates its
//! tokens at once.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;

use super::Principal;
use super::key_source::KeySource;

/// About 300 bytes per token: 3 MiB when full. A token that was evicted costs another signature check.
const MAX_TOKENS: usize = 10_000;

/// Verified tokens by the SHA-256 of the whole token; never the token itself.
pub(super) struct TokenCache {
    tokens: Cache<[u8; 32], Arc<CachedToken>>,
}

/// A token that was accepted.
pub(super) struct CachedToken {
    pub(super) principal: Principal,
    /// Seconds since 1970. The leeway allows for clock differences and does not extend the time in the cache.
    pub(super) exp: f64,
    /// Index of the key source whose key signed the token.
    pub(super) key_source: usize,
    pub(super) kid: String,
    /// Fingerprint of the modulus: a key that is replaced under the same `kid` invalidates its tokens.
    pub(super) fingerprint: [u8; 32],
}

impl TokenCache {
    pub(super) fn new() -> Self {
        Self {
            tokens: Cache::new(MAX_TOKENS),
        }
    }

    pub(super) fn digest(token: &str) -> [u8; 32] {
        digest(&SHA256, token.as_bytes())
            .as_ref()
            .try_into()
            .expect("a SHA-256 digest has 32 bytes")
    }

    /// Returns the principal of a cached token that is still valid; evicts one that is not.
    pub(super) fn get(
        &self,
        token: &[u8; 32],
        key_sources: &[Arc<KeySource>],
        now: f64,
    ) -> Option<Principal> {
        let cached = self.tokens.get(token)?;
        if cached.is_valid(key_sources, now) {
            return Some(cached.principal.clone());
        }
        self.tokens.remove(token);
        None
    }

    pub(super) fn insert(&self, token: [u8; 32], cached: CachedToken) {
        self.tokens.insert(token, Arc::new(cached));
    }

    /// Evicts tokens that have expired or whose key is no longer usable.
    pub(super) fn evict_invalid(&self, key_sources: &[Arc<KeySource>], now: f64) {
        self.tokens.retain(|_, cached| cached.is_valid(key_sources, now));
    }
}

impl CachedToken {
    /// Returns whether the token has not expired and its key is still in a key set that is not stale.
    fn is_valid(&self, key_sources: &[Arc<KeySource>], now: f64) -> bool {
        let key = key_sources
            .get(self.key_source)
            .and_then(|source| source.key_unless_stale(&self.kid));
        now < self.exp && key.is_some_and(|key| key.fingerprint == self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::key_source::fixture::key_source;
    use crate::outbound;
    use crate::telemetry::metrics::Metrics;

    const EXPIRY: f64 = 1000.0;

    async fn sources() -> Vec<Arc<KeySource>> {
        let http = outbound::client().build().expect("a client");
        let source = key_source(&Metrics::new(&[]), &http, &Arc::default());
        source.key_or_fetch("published").await.expect("a key");
        vec![source]
    }

    fn cached(sources: &[Arc<KeySource>], exp: f64) -> CachedToken {
        let key = sources[0].key_unless_stale("published").expect("a key");
        CachedToken {
            principal: Principal::anonymous(),
            exp,
            key_source: 0,
            kid: "published".to_owned(),
            fingerprint: key.fingerprint,
        }
    }

    #[tokio::test]
    async fn a_token_is_invalid_from_its_expiry_on() {
        let sources = sources().await;
        let tokens = TokenCache::new();
        tokens.insert([1; 32], cached(&sources, EXPIRY));
        assert!(tokens.get(&[1; 32], &sources, EXPIRY - 0.001).is_some());
        assert!(tokens.get(&[1; 32], &sources, EXPIRY).is_none());
    }

    #[tokio::test]
    async fn eviction_frees_the_memory_of_invalid_tokens_only() {
        let sources = sources().await;
        let tokens = TokenCache::new();
        tokens.insert([1; 32], cached(&sources, EXPIRY));
        tokens.insert([2; 32], cached(&sources, EXPIRY + 1.0));
        tokens.evict_invalid(&sources, EXPIRY);
        assert_eq!(tokens.tokens.len(), 1);
        assert!(tokens.get(&[2; 32], &sources, EXPIRY).is_some());
    }
}
