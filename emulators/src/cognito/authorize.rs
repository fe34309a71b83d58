//! Validation of authorization requests (RFC 6749 section 4.1, with the PKCE of RFC 7636).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use url::{Host, Url, form_urlencoded};

use super::grants::{Grant, PendingGrant, USERS};
use super::pool::{Pool, SCOPE, USER_SCOPES, now};

pub(super) type Parameters = BTreeMap<String, String>;

/// A valid authorization request of the public client.
pub(super) struct AuthorizeRequest {
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    scopes: Vec<String>,
    challenge: String,
}

/// Why an authorization request is rejected.
pub(super) enum AuthorizeError {
    /// The client or its `redirect_uri` is not valid, so the error is shown to the user and not sent to the client.
    Page(&'static str),
    /// The error is sent to the client.
    Redirect {
        redirect_uri: String,
        state: Option<String>,
        error: &'static str,
        description: &'static str,
    },
}

impl AuthorizeRequest {
    pub(super) fn parse(pool: &Pool, query: &str) -> Result<Self, AuthorizeError> {
        let mut query = parameters(query.as_bytes());
        check_client_id(pool, &query)?;
        let redirect_uri = query
            .remove("redirect_uri")
            .filter(|uri| is_callback(uri))
            .ok_or(AuthorizeError::Page(
                "redirect_uri is not a callback of the client.",
            ))?;
        let state = query.remove("state");
        let rejected = |error, description| AuthorizeError::Redirect {
            redirect_uri: redirect_uri.clone(),
            state: state.clone(),
            error,
            description,
        };
        if query.get("response_type").map(String::as_str) != Some("code") {
            return Err(rejected(
                "unsupported_response_type",
                "response_type must be code",
            ));
        }
        let scopes = query
            .get("scope")
            .map_or(USER_SCOPES.to_vec(), |scopes| scopes.split(' ').collect());
        if scopes.iter().any(|scope| !USER_SCOPES.contains(scope)) {
            return Err(rejected("invalid_request", "invalid_scope"));
        }
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        if query.get("code_challenge_method").map(String::as_str) != Some("S256") {
            return Err(rejected("invalid_request", "code_challenge_method must be S256"));
        }
        let challenge = query
            .remove("code_challenge")
            .filter(|challenge| is_challenge(challenge))
            .ok_or_else(|| rejected("invalid_request", "code_challenge is required"))?;
        Ok(Self {
            redirect_uri,
            state,
            scopes,
            challenge,
        })
    }

    /// Returns an authorization code for the user of this name, `None` if there is no such user.
    pub(super) fn issue_code(&self, pool: &Pool, username: &str) -> Option<String> {
        let user = USERS.iter().find(|user| user.username == username)?;
        let mut scopes = self.scopes.clone();
        scopes.retain(|scope| scope != SCOPE || user.may_shout);
        Some(pool.grants.insert_code(PendingGrant {
            grant: Grant {
                user,
                scopes,
                signed_in_at: now(),
            },
            redirect_uri: self.redirect_uri.clone(),
            challenge: self.challenge.clone(),
            issued: Instant::now(),
        }))
    }
}

pub(super) fn check_client_id(pool: &Pool, parameters: &Parameters) -> Result<(), AuthorizeError> {
    if parameters.get("client_id") == Some(&pool.public_client_id) {
        return Ok(());
    }
    Err(AuthorizeError::Page(
        "client_id is not that of the public client.",
    ))
}

/// Parses `encoded`. A parameter that occurs more than once counts as absent, as does an empty one.
pub(super) fn parameters(encoded: &[u8]) -> Parameters {
    let mut parameters = Parameters::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        let is_duplicate = parameters
            .insert(name.clone().into_owned(), value.into_owned())
            .is_some();
        if is_duplicate {
            parameters.insert(name.into_owned(), String::new());
        }
    }
    parameters.retain(|_, value| !value.is_empty());
    parameters
}

/// Whether `uri` is the documentation page of a service on this machine, on any port.
pub(super) fn is_callback(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    };
    let is_page = url.path() == "/docs" && url.query().is_none() && url.fragment().is_none();
    is_loopback && is_page && url.scheme() == "http" && url.username().is_empty() && url.password().is_none()
}

/// Whether `challenge` has the form of a SHA-256 in base64url.
fn is_challenge(challenge: &str) -> bool {
    challenge.len() == 43
        && challenge
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::is_callback;

    #[test]
    fn callbacks_are_documentation_pages_on_loopback() {
        for uri in [
            "http://127.0.0.1:5000/docs",
            "http://localhost:8080/docs",
            "http://[::1]:5000/docs",
        ] {
            assert!(is_callback(uri), "{uri}");
        }
        for uri in [
            "",
            "/docs",
            "http://127.0.0.1:5000/",
            "http://127.0.0.1:5000/docs/",
            "http://127.0.0.1:5000/docs?a=b",
            "http://127.0.0.1:5000/docs#a",
            "http://user@127.0.0.1:5000/docs",
            "http://127.0.0.1.example.com/docs",
            "javascript:alert(1)//docs",
        ] {
            assert!(!is_callback(uri), "{uri}");
        }
    }
}
