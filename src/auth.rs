//! Who may call: Amazon Cognito access tokens. Knows nothing of HTTP servers.
//!
//! `token` takes a token apart, `jwks` reads key sets, `pool` keeps a pool's keys fresh, `claims` checks what a token says,
//! `memory` remembers accepted tokens, and `verifier` asks them in the contract's order.

mod claims;
mod jwks;
mod memory;
mod pool;
pub mod token;
mod verifier;

use std::sync::Arc;
use std::time::Duration;

pub use self::verifier::Verifier;

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The app client.
    pub client_id: Arc<str>,
    /// The person, where the token belongs to one.
    pub person: Option<Arc<str>>,
}

impl Principal {
    /// Everybody, when authentication is disabled.
    pub fn anonymous() -> Self {
        Self {
            client_id: "anonymous".into(),
            person: None,
        }
    }
}

/// Why a request is not let in. The text goes to the caller, so it holds nothing of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing that is meant as a bearer token was sent.
    #[error("this request needs an access token: send `authorization: Bearer <token>`")]
    Missing,
    /// More than one `authorization` header, or one that is not `Bearer`, one space and a token.
    #[error("send exactly one `authorization` header: `Bearer`, one space and a token of at most 8 KiB")]
    MalformedHeader,
    /// Not a JWT as Cognito makes them.
    #[error("the token is malformed: send the access token as Amazon Cognito issued it")]
    MalformedToken,
    /// Another `alg` than RS256, a missing `kid`, or `crit`.
    #[error("the token's header is not acceptable: `alg` has to be RS256 with a `kid` and without `crit`")]
    UnacceptableHeader,
    /// Not one of our pools.
    #[error("the token comes from a user pool that is not accepted here")]
    UnknownIssuer,
    /// The pool has no such key.
    #[error("the token's key is not one of its pool's: get a new token")]
    UnknownKey,
    /// Signed by somebody else.
    #[error("the token's signature does not hold: get a new token")]
    BadSignature,
    /// An ID token, say.
    #[error("the token is not an access token: send the access token, not the ID token")]
    NotAnAccessToken,
    /// A client that is not in `COGNITO_CLIENT_IDS`.
    #[error("the token was issued to an app client that is not accepted here")]
    UnknownClient,
    /// `exp` has passed or is not a number.
    #[error("the token has expired: get a new one")]
    Expired,
    /// `nbf` is to come or is not a number.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// One of `AUTH_REQUIRED_SCOPES` is missing.
    #[error("the token lacks a scope that is required here: {0}")]
    MissingScope(String),
    /// None of `AUTH_ALLOWED_GROUPS`.
    #[error("the token's user is in none of the groups that are allowed here")]
    MissingGroup,
    /// The key is unknown and the key set cannot be had.
    #[error("the token cannot be checked: its pool's keys cannot be fetched; try again later")]
    KeysUnavailable {
        /// When the keys may be asked for again.
        retry_after: Duration,
    },
}

impl Refusal {
    /// The reason as a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::MalformedHeader => "malformed_header",
            Self::MalformedToken => "malformed_token",
            Self::UnacceptableHeader => "unacceptable_header",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::NotAnAccessToken => "not_an_access_token",
            Self::UnknownClient => "unknown_client",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::MissingScope(_) => "missing_scope",
            Self::MissingGroup => "missing_group",
            Self::KeysUnavailable { .. } => "keys_unavailable",
        }
    }

    /// Every reason there is.
    pub const REASONS: [&'static str; 14] = [
        "missing",
        "malformed_header",
        "malformed_token",
        "unacceptable_header",
        "unknown_issuer",
        "unknown_key",
        "bad_signature",
        "not_an_access_token",
        "unknown_client",
        "expired",
        "not_yet_valid",
        "missing_scope",
        "missing_group",
        "keys_unavailable",
    ];
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn every_reason_is_listed() {
        use Refusal as R;
        let all = [
            R::Missing,
            R::MalformedHeader,
            R::MalformedToken,
            R::UnacceptableHeader,
            R::UnknownIssuer,
            R::UnknownKey,
            R::BadSignature,
            R::NotAnAccessToken,
            R::UnknownClient,
            R::Expired,
            R::NotYetValid,
            R::MissingScope(String::new()),
            R::MissingGroup,
            R::KeysUnavailable {
                retry_after: std::time::Duration::ZERO,
            },
        ];
        for refusal in &all {
            // Whoever adds a variant is stopped here, and adds it to `all` too.
            match refusal {
                R::Missing | R::MalformedHeader | R::MalformedToken | R::UnacceptableHeader => {}
                R::UnknownIssuer | R::UnknownKey | R::BadSignature | R::NotAnAccessToken => {}
                R::UnknownClient | R::Expired | R::NotYetValid | R::MissingScope(_) => {}
                R::MissingGroup | R::KeysUnavailable { .. } => {}
            }
            assert!(
                Refusal::REASONS.contains(&refusal.reason()),
                "{}",
                refusal.reason()
            );
        }
        assert_eq!(all.len(), Refusal::REASONS.len());
    }

    #[test]
    fn the_page_has_every_reason() {
        let page = include_str!("../docs/metrics.md");
        for reason in Refusal::REASONS {
            assert!(page.contains(&format!("`{reason}`")), "{reason}");
        }
    }
}
