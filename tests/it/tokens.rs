//! Hostile tokens: each is wrong in one respect alone, is refused for that, and reaches nothing.

mod algorithms;
mod claims;
mod form;
mod header;
mod key_sources;
mod order;
mod paddings;

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

/// Cognito's are base64 too, slashes and all.
const KID: &str = "AdaKey/0123+456789=";
const HEADER: &str = r#"{"kid":"AdaKey/0123+456789=","alg":"RS256"}"#;

/// The application with a pool whose private key the test holds.
struct Gate {
    app: App,
    keys: KeyServer,
}

impl Gate {
    async fn open(variables: &[(&str, &str)]) -> Self {
        Self::open_with(vec![ADA.jwk(KID)], variables).await
    }

    async fn open_with(keys: Vec<Value>, variables: &[(&str, &str)]) -> Self {
        let keys = KeyServer::start(KeyResponse::keys(keys)).await;
        let url = keys.url();
        // Whether a token got through shows in the calls of the upstream, so each has to make one.
        let mut all = vec![("COGNITO_JWKS_ENDPOINT", url.as_str()), ("CACHE_CAPACITY", "0")];
        all.extend(variables);
        let app = App::start(&all).await;
        Self { app, keys }
    }

    /// The claims of a good token.
    fn claims(&self) -> String {
        self.claims_with(&[])
    }

    /// These changed; `Value::Null` removes one.
    fn claims_with(&self, change: &[(&str, Value)]) -> String {
        json!(changed(self.app.cognito.claims(), change)).to_string()
    }

    /// One claim with this text for its value, whatever that is.
    fn claims_with_text(&self, name: &str, value: &str) -> String {
        with_last(
            &self.claims_with(&[(name, Value::Null)]),
            &format!("\"{name}\":{value}"),
        )
    }

    fn good(&self) -> String {
        sign(HEADER, self.claims())
    }

    async fn accepts(&self, case: &str, token: &str) {
        self.accepts_request(case, self.app.shout_with(token, case)).await;
    }

    async fn accepts_request(&self, case: &str, request: RequestBuilder) {
        let calls = self.app.shoutcloud.calls();
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{case}");
        assert_eq!(self.app.shoutcloud.calls(), calls + 1, "{case}");
    }

    async fn refuses(&self, refusal: &AuthError, case: &str, token: &str) {
        self.refuses_request(refusal, case, self.app.shout_with(token, case))
            .await;
    }

    async fn refuses_request(&self, refusal: &AuthError, case: &str, request: RequestBuilder) {
        let calls = self.app.shoutcloud.calls();
        let response = request.send().await.expect("an answer");
        let (status, name, challenge) = match refusal {
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
        assert_eq!(problem["detail"], refusal.to_string(), "{case}");
        assert_eq!(
            self.app.shoutcloud.calls(),
            calls,
            "{case} has reached the upstream"
        );
    }

    /// All of these for the same reason; a good token gets in before and after.
    async fn refuses_all<N: Into<String>>(
        &self,
        refusal: &AuthError,
        cases: impl IntoIterator<Item = (N, String)>,
    ) {
        self.accepts("a good token before", &self.good()).await;
        for (case, token) in cases {
            self.refuses(refusal, &case.into(), &token).await;
        }
        self.accepts("a good token after", &self.good()).await;
    }
}

/// A token of these two texts, signed by the pool's key.
fn sign(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    compact(header, claims, |message| ADA.rs256(message))
}

fn ecdsa(key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    let signature = key.sign(&SystemRandom::new(), message).expect("a signature");
    signature.as_ref().to_vec()
}

/// The `DigestInfo` of SHA-256 without the digest: SEQUENCE of an AlgorithmIdentifier with NULL parameters and 32 octets.
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

/// 00 01, as many bytes FF, and `tail`.
fn padded(filler: usize, tail: &[&[u8]]) -> Vec<u8> {
    [&[0, 1], &vec![0xFF; filler][..], &tail.concat()].concat()
}
