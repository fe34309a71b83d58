//! The users of the emulated pool, and the grants between a user's sign-in and the issued tokens.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::random;

/// Lifetime of an authorization code, as in Cognito.
const CODE_LIFETIME: Duration = Duration::from_secs(300);

/// A user of the pool, who signs in without a password.
#[derive(Debug, PartialEq)]
pub(super) struct User {
    pub(super) username: &'static str,
    pub(super) sub: &'static str,
    pub(super) groups: &'static [&'static str],
    /// Whether a requested scope of the API is granted: in Cognito a Lambda trigger can suppress it.
    pub(super) may_shout: bool,
    pub(super) description: &'static str,
}

/// All users of the pool.
pub(super) const USERS: [User; 3] = [
    User {
        username: "ada",
        sub: "7d1f0c52-90b1-4f3e-8d3c-2b9a5e6f0a01",
        groups: &["admin"],
        may_shout: true,
        description: "in the group admin",
    },
    User {
        username: "alan",
        sub: "7d1f0c52-90b1-4f3e-8d3c-2b9a5e6f0a02",
        groups: &[],
        may_shout: true,
        description: "in no group",
    },
    User {
        username: "grace",
        sub: "7d1f0c52-90b1-4f3e-8d3c-2b9a5e6f0a03",
        groups: &[],
        may_shout: false,
        description: "whose tokens lack the scope",
    },
];

/// A user's sign-in and the scopes granted to the client.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) user: &'static User,
    pub(super) scopes: Vec<String>,
    /// Seconds since the Unix epoch.
    pub(super) signed_in_at: u64,
}

/// A grant that waits for its client to redeem the authorization code, and what the code is bound to.
#[derive(Debug)]
pub(super) struct PendingGrant {
    pub(super) grant: Grant,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
    pub(super) issued: Instant,
}

impl PendingGrant {
    fn matches(&self, redirect_uri: &str, verifier: &str) -> bool {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        self.issued.elapsed() < CODE_LIFETIME
            && self.redirect_uri == redirect_uri
            && self.challenge == challenge
    }
}

/// The unused authorization codes and all refresh tokens.
#[derive(Debug, Default)]
pub(super) struct GrantStore {
    codes: Mutex<HashMap<String, PendingGrant>>,
    refresh_tokens: Mutex<HashMap<String, Grant>>,
}

impl GrantStore {
    /// Stores `pending` and returns its single-use authorization code.
    pub(super) fn insert_code(&self, pending: PendingGrant) -> String {
        let code = random::alphanumeric(36);
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, pending| pending.issued.elapsed() < CODE_LIFETIME);
        codes.insert(code.clone(), pending);
        code
    }

    /// Returns the grant of `code` and invalidates the code, even if `redirect_uri` or `verifier` does not match.
    pub(super) fn redeem_code(&self, code: &str, redirect_uri: &str, verifier: &str) -> Option<Grant> {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = codes.remove(code)?;
        pending.matches(redirect_uri, verifier).then_some(pending.grant)
    }

    /// Stores `grant` and returns its refresh token.
    pub(super) fn insert_refresh_token(&self, grant: Grant) -> String {
        let token = random::alphanumeric(64);
        let mut tokens = self.refresh_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(token.clone(), grant);
        token
    }

    /// Returns the grant of `refresh_token`, which remains valid.
    pub(super) fn get_by_refresh_token(&self, refresh_token: &str) -> Option<Grant> {
        let tokens = self.refresh_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(refresh_token).cloned()
    }
}
