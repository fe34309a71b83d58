//! Remembers accepted tokens, so that a client that calls often costs one signature check, not one a call.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;

use super::Principal;
use super::pool::Pool;

/// About 300 bytes a token: 3 MiB when full. Beyond it a token costs one signature check more now and then.
const MAX_TOKENS: usize = 10_000;

/// Accepted tokens by the SHA-256 of the whole token; never the token.
pub(super) struct Memory {
    tokens: Cache<[u8; 32], Arc<Remembered>>,
}

/// An accepted token.
pub(super) struct Remembered {
    pub(super) principal: Principal,
    /// Seconds since 1970. The leeway is for clocks that differ, not for remembering.
    pub(super) exp: f64,
    /// The pool whose key it is, as an index.
    pub(super) pool: usize,
    pub(super) kid: String,
    /// Of the key's modulus: a key that changes under its `kid` takes its tokens along.
    pub(super) fingerprint: [u8; 32],
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            tokens: Cache::new(MAX_TOKENS),
        }
    }

    pub(super) fn digest(token: &str) -> [u8; 32] {
        digest(&SHA256, token.as_bytes())
            .as_ref()
            .try_into()
            .expect("SHA-256 has 32 bytes")
    }

    /// The principal of a token that was accepted before and still would be.
    pub(super) fn recall(&self, token: &[u8; 32], pools: &[Arc<Pool>], now: f64) -> Option<Principal> {
        let remembered = self.tokens.get(token)?;
        if remembered.holds(pools, now) {
            return Some(remembered.principal.clone());
        }
        self.tokens.remove(token);
        None
    }

    pub(super) fn remember(&self, token: [u8; 32], accepted: Remembered) {
        self.tokens.insert(token, Arc::new(accepted));
    }

    /// Drops what has expired or lost its key.
    pub(super) fn forget_stale(&self, pools: &[Arc<Pool>], now: f64) {
        self.tokens.retain(|_, remembered| remembered.holds(pools, now));
    }
}

impl Remembered {
    fn holds(&self, pools: &[Arc<Pool>], now: f64) -> bool {
        let key = pools.get(self.pool).and_then(|pool| pool.known(&self.kid));
        now < self.exp && key.is_some_and(|key| key.fingerprint == self.fingerprint)
    }
}
