//! Hostile tokens over HTTP: each is invalid in one respect, is rejected for that reason, and causes no upstream call.
//! The unit tests in `src/auth` have only what HTTP cannot reach.

mod algorithms;
mod audiences;
mod bearer;
mod claims;
mod encoding;
mod issuers;
mod key_sources;
mod order;
mod signatures;

use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::EcdsaKeyPair;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use shoutback::auth::AuthError;

use crate::support::jwt::{compact, with_last};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, PrivateKey};
use crate::support::{App, assert_problem, changed};

/// Like Cognito's: base64, which may contain slashes.
const KID: &str = "AdaKey/0123+456789=";
const HEADER: &str = r#"{"kid":"AdaKey/0123+456789=","alg":"RS256"}"#;

/// The application with a key set whose private key the test holds.
struct TokenTest {
    app: App,
    keys: KeyServer,
}

impl TokenTest {
    async fn start(variables: &[(&str, &str)]) -> Self {
        Self::with_keys(vec![ADA.jwk(KID)], variables).await
    }

    async fn with_keys(keys: Vec<Value>, variables: &[(&str, &str)]) -> Self {
        let keys = KeyServer::start(KeyResponse::keys(keys)).await;
        let url = keys.url();
        // The upstream calls show whether a token was accepted, so each request must cause one.
        let mut all = vec![("COGNITO_JWKS_ENDPOINT", url.as_str()), ("CACHE_CAPACITY", "0")];
        all.extend(variables);
        let app = App::start(&all).await;
        Self { app, keys }
    }

    /// Returns the claims of a valid token.
    fn claims(&self) -> String {
        self.claims_with(&[])
    }

    /// Returns valid claims with `change` applied; `Value::Null` removes a claim.
    fn claims_with(&self, change: &[(&str, Value)]) -> String {
        json!(changed(self.app.cognito.claims(), change)).to_string()
    }

    /// Returns valid claims in which one has this text as its value, valid JSON or not.
    fn claims_with_text(&self, name: &str, value: &str) -> String {
        with_last(
            &self.claims_with(&[(name, Value::Null)]),
            &format!("\"{name}\":{value}"),
        )
    }

    fn valid_token(&self) -> String {
        self.token_with(&[])
    }

    /// Returns a token whose claims have `change` applied.
    fn token_with(&self, change: &[(&str, Value)]) -> String {
        sign(HEADER, self.claims_with(change))
    }

    async fn assert_accepted(&self, case: &str, token: &str) {
        self.assert_request_accepted(case, self.app.shout_with(token, case))
            .await;
    }

    async fn assert_request_accepted(&self, case: &str, request: RequestBuilder) {
        let calls = self.app.shoutcloud.calls();
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), 200, "{case}");
        assert_eq!(self.app.shoutcloud.calls(), calls + 1, "{case}");
    }

    async fn assert_rejected(&self, error: &AuthError, case: &str, token: &str) {
        self.assert_request_rejected(error, case, self.app.shout_with(token, case))
            .await;
    }

    async fn assert_request_rejected(&self, error: &AuthError, case: &str, request: RequestBuilder) {
        let calls = self.app.shoutcloud.calls();
        let response = request.send().await.expect("a response");
        let (status, name, challenge) = match error {
            AuthError::MissingScope(_) | AuthError::MissingGroup => {
                (403, "forbidden", "Bearer error=\"insufficient_scope\"")
            }
            AuthError::Missing => (401, "unauthenticated", "Bearer"),
            _ => (401, "unauthenticated", "Bearer error=\"invalid_token\""),
        };
        assert_eq!(response.status(), status, "{case}");
        let sent = response.headers()["www-authenticate"].to_str().expect("ASCII");
        if status == 403 {
            assert!(sent.starts_with(challenge), "{case}: {sent}");
        } else {
            assert_eq!(sent, challenge, "{case}");
        }
        let problem = assert_problem(response, status, name).await;
        assert_eq!(problem["detail"], error.to_string(), "{case}");
        assert_eq!(self.app.shoutcloud.calls(), calls, "{case}: upstream was called");
    }

    /// Asserts that all `cases` are rejected for the same reason, and a valid token is accepted before and after.
    async fn assert_all_rejected<N: Into<String>>(
        &self,
        error: AuthError,
        cases: impl IntoIterator<Item = (N, String)>,
    ) {
        self.assert_accepted("a valid token before", &self.valid_token())
            .await;
        for (case, token) in cases {
            self.assert_rejected(&error, &case.into(), &token).await;
        }
        self.assert_accepted("a valid token after", &self.valid_token())
            .await;
    }
}

/// Signs a token with the key of [`KID`].
fn sign(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    compact(header, claims, |message| ADA.rs256(message))
}

/// Splits a token into header, claims and signature, still encoded.
fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().expect("three parts")
}

fn ecdsa(key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    let signature = key.sign(&SystemRandom::new(), message).expect("a signature");
    signature.as_ref().to_vec()
}

/// The `DigestInfo` of SHA-256 without the digest: an AlgorithmIdentifier with NULL parameters and 32 octets.
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

fn sha256(message: &[u8]) -> Vec<u8> {
    digest(&digest::SHA256, message).as_ref().to_vec()
}

fn sha256_info(message: &[u8]) -> Vec<u8> {
    [&SHA256_INFO[..], &sha256(message)].concat()
}

/// EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) of `info` for `key`.
fn encode(key: &PrivateKey, info: &[u8]) -> Vec<u8> {
    padded(key.size() - info.len() - 3, &[&[0], info])
}

/// Returns 00 01, `filler` bytes FF, and `tail`.
fn padded(filler: usize, tail: &[&[u8]]) -> Vec<u8> {
    [&[0, 1], &vec![0xFF; filler][..], &tail.concat()].concat()
}
