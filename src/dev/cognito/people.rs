//! The people of the emulated pool, and what stands between a sign-in and its tokens.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::pool::random_name;

/// Cognito's; whoever comes later signs in again.
const CODE_LIFETIME: Duration = Duration::from_secs(300);

/// Somebody who can sign in; nobody is asked for a password.
#[derive(Debug, PartialEq)]
pub(super) struct Person {
    pub(super) username: &'static str,
    pub(super) sub: &'static str,
    pub(super) groups: &'static [&'static str],
    /// Whether a token gets the API's scope if it is asked for: at Cognito a trigger can take it away.
    pub(super) may_shout: bool,
    pub(super) about: &'static str,
}

/// Everybody there is.
pub(super) const PEOPLE: [Person; 3] = [
    Person {
        username: "ada",
        sub: "7d1f0c52-90b1-4f3e-8d3c-2b9a5e6f0a01",
        groups: &["admin"],
        may_shout: true,
        about: "in the group admin",
    },
    Person {
        username: "alan",
        sub: "7d1f0c52-90b1-4f3e-8d3c-2b9a5e6f0a02",
        groups: &[],
        may_shout: true,
        about: "in no group",
    },
    Person {
        username: "grace",
        sub: "7d1f0c52-90b1-4f3e-8d3c-2b9a5e6f0a03",
        groups: &[],
        may_shout: false,
        about: "whose tokens lack the scope",
    },
];

/// What somebody has been let in for.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) person: &'static Person,
    pub(super) scopes: Vec<String>,
    /// Seconds since 1970.
    pub(super) signed_in_at: u64,
}

/// What a code is bound to.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) grant: Grant,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
    pub(super) issued: Instant,
}

impl Code {
    fn is_for(&self, redirect_uri: &str, verifier: &str) -> bool {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        self.issued.elapsed() < CODE_LIFETIME
            && self.redirect_uri == redirect_uri
            && self.challenge == challenge
    }
}

/// Codes and refresh tokens that can still be used.
#[derive(Debug, Default)]
pub(super) struct Desk {
    codes: Mutex<HashMap<String, Code>>,
    refreshable: Mutex<HashMap<String, Grant>>,
}

impl Desk {
    /// A name for `code`, under which it can be used once.
    pub(super) fn leave(&self, code: Code) -> String {
        let name = random_name(36);
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, code| code.issued.elapsed() < CODE_LIFETIME);
        codes.insert(name.clone(), code);
        name
    }

    /// The grant behind a code, which is gone then, whether or not the rest was right.
    pub(super) fn collect(&self, name: &str, redirect_uri: &str, verifier: &str) -> Option<Grant> {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let code = codes.remove(name)?;
        code.is_for(redirect_uri, verifier).then_some(code.grant)
    }

    /// A refresh token for `grant`.
    pub(super) fn remember(&self, grant: Grant) -> String {
        let token = random_name(64);
        let mut refreshable = self.refreshable.lock().unwrap_or_else(PoisonError::into_inner);
        refreshable.insert(token.clone(), grant);
        token
    }

    pub(super) fn recall(&self, refresh_token: &str) -> Option<Grant> {
        let refreshable = self.refreshable.lock().unwrap_or_else(PoisonError::into_inner);
        refreshable.get(refresh_token).cloned()
    }
}
