//! Authentication and authorization with Amazon Cognito access tokens. Does not depend on the HTTP server.
//!
//! - `verifier` runs all checks, in the order that `docs/api.md` documents.
//! - `token` parses the header and the token without trusting them.
//! - `key_source` fetches the keys of a user pool and refreshes them; `jwks` parses them.
//! - `claims` checks the claims once the signature is verified.
//! - `token_cache` caches verified tokens.

mod claims;
mod jwks;
mod key_source;
pub mod token;
mod token_cache;
mod verifier;

use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::metrics::AuthRejection;

pub use self::verifier::Verifier;

/// The authenticated sender of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The app client.
    pub client_id: Arc<str>,
    /// The user (`sub`), if the token belongs to one.
    pub subject: Option<Arc<str>>,
}

impl Principal {
    /// Returns the principal of all requests when authentication is disabled.
    pub fn anonymous() -> Self {
        Self {
            client_id: "anonymous".into(),
            subject: None,
        }
    }
}

/// Why a request is not authenticated or authorized. The message is sent to the client and holds nothing of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No `authorization` header with the scheme `Bearer`.
    #[error("an access token is required: send `authorization: Bearer <token>`")]
    Missing,
    /// Several `authorization` headers, or one that is not `Bearer`, one space and a token.
    #[error("send exactly one `authorization` header: `Bearer`, one space and a token of at most 8 KiB")]
    MalformedHeader,
    /// Not a JWT as Cognito issues it.
    #[error("the token is malformed: send the access token as Amazon Cognito issued it")]
    MalformedToken,
    /// An `alg` other than RS256, no `kid`, or `crit`.
    #[error("the token's header is not supported: `alg` must be RS256, with a `kid` and without `crit`")]
    UnacceptableHeader,
    /// `iss` is not a configured pool.
    #[error("the token was issued by a user pool that is not accepted")]
    UnknownIssuer,
    /// The key set of the pool does not have the key.
    #[error("the token's key is not in the key set of its user pool: get a new token")]
    UnknownKey,
    /// The key did not sign the token.
    #[error("the token's signature is invalid: get a new token")]
    BadSignature,
    /// For example an ID token.
    #[error("the token is not an access token: send the access token, not the ID token")]
    NotAnAccessToken,
    /// A client that is not in `COGNITO_CLIENT_IDS`.
    #[error("the token was issued to an app client that is not accepted")]
    UnknownClient,
    /// `aud` is present and has none of `AUTH_AUDIENCES`.
    #[error(
        "the token is restricted to another API by its `aud`: request it without a resource, or for this API"
    )]
    WrongAudience,
    /// `exp` has passed or is not a number.
    #[error("the token has expired: get a new one")]
    Expired,
    /// `nbf` is in the future or is not a number.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// One of `AUTH_REQUIRED_SCOPES` is missing.
    #[error("the token lacks a required scope: {0}")]
    MissingScope(String),
    /// None of `AUTH_ALLOWED_GROUPS`.
    #[error("the token's user is in none of the allowed groups")]
    MissingGroup,
    /// The key is unknown and the key set is unavailable.
    #[error("the token cannot be verified: the keys of its user pool are unavailable; try again later")]
    KeysUnavailable {
        /// Time until the keys may be fetched again.
        retry_after: Duration,
    },
}

impl AuthError {
    /// Returns the reason as a metric label.
    pub fn reason(&self) -> AuthRejection {
        match self {
            Self::Missing => AuthRejection::Missing,
            Self::MalformedHeader => AuthRejection::MalformedHeader,
            Self::MalformedToken => AuthRejection::MalformedToken,
            Self::UnacceptableHeader => AuthRejection::UnacceptableHeader,
            Self::UnknownIssuer => AuthRejection::UnknownIssuer,
            Self::UnknownKey => AuthRejection::UnknownKey,
            Self::BadSignature => AuthRejection::BadSignature,
            Self::NotAnAccessToken => AuthRejection::NotAnAccessToken,
            Self::UnknownClient => AuthRejection::UnknownClient,
            Self::WrongAudience => AuthRejection::WrongAudience,
            Self::Expired => AuthRejection::Expired,
            Self::NotYetValid => AuthRejection::NotYetValid,
            Self::MissingScope(_) => AuthRejection::MissingScope,
            Self::MissingGroup => AuthRejection::MissingGroup,
            Self::KeysUnavailable { .. } => AuthRejection::KeysUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::metrics::{AuthRejection, LabelValue as _};

    #[test]
    fn every_reason_is_documented() {
        let docs = include_str!("../docs/metrics.md");
        for reason in AuthRejection::all().map(AuthRejection::as_str) {
            assert!(docs.contains(&format!("`{reason}`")), "{reason}");
        }
    }
}
