//! An emulator of an Amazon Cognito user pool with a client for machines and one for people.
//!
//! It serves what a resource server and its callers use of Cognito:
//!
//! | request | answer |
//! |---|---|
//! | `GET /{pool}/.well-known/jwks.json` | the public keys |
//! | `GET /{pool}/.well-known/openid-configuration` | the discovery document |
//! | `POST /oauth2/token` | tokens by the grants of client credentials, authorization code and refresh token |
//! | `GET /oauth2/authorize`, `/login` | pages to sign in on, which lead back with a code |
//! | `GET /logout` | back to the page |
//!
//! Tokens are shaped as Cognito's are: no `aud`, `token_use` `access`, a header without `typ`; `sub` is the client's id, or the
//! person's, who has a `username` and perhaps `cognito:groups`.
//!
//! It differs from Cognito so that one process can stand in for it and a test can do what AWS does only by itself:
//!
//! - everything is on one loopback origin and plain HTTP, where Cognito has the issuer on one host and the token endpoint
//!   on the pool's own domain;
//! - keys are rotated on demand ([`Emulator::rotate`] or `POST /_emulator/rotate`, with `?keep=false` to revoke the old
//!   one), and one key is published until then, where Cognito has a second one for ID tokens;
//! - any claims can be signed ([`Emulator::sign`]), so that tests can have every wrong token there is;
//! - nobody has a password, and no session is kept: whoever signs in chooses who to be, each time;
//! - a code takes PKCE with S256, which Cognito leaves to the client, and any `http` address of this machine with the path
//!   `/docs` is a callback, where Cognito has a list.

mod hosted;
mod keys;
mod people;
mod pool;
mod token_endpoint;
mod well_known;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use url::form_urlencoded;

pub use self::pool::Client;
use self::pool::Pool;
use super::server;

/// A running emulator. Dropping it stops the server, open connections included.
#[derive(Debug)]
pub struct Emulator {
    pool: Arc<Pool>,
    _server: AbortOnDropHandle<()>,
}

impl Emulator {
    /// Generates a signing key, which takes some 100 ms of the calling thread, and two clients, and serves on `listener`.
    ///
    /// The listener should be a loopback one: anybody may rotate the keys. `pool_id` becomes part of addresses and so may
    /// consist of letters, digits, `-` and `_` only, as Cognito's do.
    pub fn start(listener: TcpListener, pool_id: &str) -> io::Result<Emulator> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if pool_id.is_empty() || !pool_id.chars().all(fits) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a pool id consists of letters, digits, `-` and `_`",
            ));
        }
        let pool = Pool::new(pool_id, server::origin(&listener)?).map_err(io::Error::other)?;
        let pool = Arc::new(pool);
        let server = server::spawn(listener, router(pool.clone()))?;
        Ok(Emulator {
            pool,
            _server: server,
        })
    }

    /// Where the emulator is, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.pool.endpoint.clone()
    }

    /// The `iss` of the pool's tokens, `{endpoint}/{pool id}`.
    pub fn issuer(&self) -> String {
        self.pool.issuer()
    }

    /// The id the emulator was started with.
    pub fn pool_id(&self) -> &str {
        &self.pool.id
    }

    /// The client of machines.
    pub fn client(&self) -> &Client {
        &self.pool.client
    }

    /// The client of people, which is a public one.
    pub fn people_client_id(&self) -> &str {
        &self.pool.people_client_id
    }

    /// A fresh access token, as the token endpoint would issue.
    pub fn token(&self) -> String {
        self.pool.token()
    }

    /// The claims of such a token, for a test to change before it has them signed.
    pub fn claims(&self) -> Map<String, Value> {
        self.pool.claims()
    }

    /// Signs `claims`, whatever they are, with the current key.
    pub fn sign(&self, claims: &Map<String, Value>) -> String {
        self.pool.keys.load().current().sign(claims)
    }

    /// Signs with a new key from now on. The one that signed until now stays published if `keep_old`, and is revoked
    /// otherwise; keys that were kept before are not touched.
    pub fn rotate(&self, keep_old: bool) {
        self.pool
            .rotate(keep_old)
            .expect("a key could be generated at the start");
    }

    /// How often the pool's key set was asked for.
    pub fn jwks_fetches(&self) -> u64 {
        self.pool.jwks_fetches.load(Ordering::Relaxed)
    }
}

fn router(pool: Arc<Pool>) -> Router {
    Router::new()
        .route("/{pool}/.well-known/jwks.json", get(well_known::jwks))
        .route(
            "/{pool}/.well-known/openid-configuration",
            get(well_known::discovery),
        )
        .route("/oauth2/authorize", get(hosted::authorize))
        .route("/login", get(hosted::login).post(hosted::chosen))
        .route("/logout", get(hosted::logout))
        .route("/oauth2/token", post(token_endpoint::token))
        .route("/_emulator/rotate", post(rotate))
        .with_state(pool)
}

async fn rotate(State(pool): State<Arc<Pool>>, RawQuery(query): RawQuery) -> Response {
    let mut keep = true;
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        keep = match (&*name, &*value) {
            ("keep", "true") => true,
            ("keep", "false") => false,
            _ => {
                let error = "The query may be `keep=true` (the default) or `keep=false`.";
                return server::json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
            }
        };
    }
    match tokio::task::spawn_blocking(move || pool.rotate(keep)).await {
        Ok(Ok(kid)) => server::json(StatusCode::OK, &json!({ "kid": kid })),
        Ok(Err(error)) => internal_error(&error),
        Err(error) => internal_error(&error),
    }
}

fn internal_error(error: &dyn std::error::Error) -> Response {
    server::json(
        StatusCode::INTERNAL_SERVER_ERROR,
        &json!({ "error": error.to_string() }),
    )
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};

    use super::*;

    const POOL: &str = "us-east-2_AbCdEfGhI";

    pub(super) async fn start() -> Emulator {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Emulator::start(listener, POOL).unwrap()
    }

    pub(super) fn client() -> reqwest::Client {
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    pub(super) async fn get_json(url: &str) -> (u16, Value) {
        let response = client().get(url).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    pub(super) async fn published(emulator: &Emulator) -> Vec<Value> {
        let url = format!("{}/.well-known/jwks.json", emulator.issuer());
        let (status, mut body) = get_json(&url).await;
        assert_eq!(status, 200);
        body["keys"].take().as_array().unwrap().clone()
    }

    /// The claims of `token` if one of the published keys has its name and verifies it.
    pub(super) async fn verify(emulator: &Emulator, token: &str) -> Option<Value> {
        let header = jsonwebtoken::decode_header(token).unwrap();
        let keys = published(emulator).await;
        let key = keys.iter().find(|key| key["kid"] == json!(header.kid))?;
        let text = |name: &str| key[name].as_str().unwrap();
        let key = DecodingKey::from_rsa_components(text("n"), text("e")).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[emulator.issuer()]);
        let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
        Some(decoded.claims)
    }

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn tokens_are_shaped_as_cognitos_and_verify_with_the_published_key() {
        let emulator = start().await;
        let token = emulator.token();
        let keys = published(&emulator).await;
        assert_eq!(keys.len(), 1);
        let kid = keys[0]["kid"].clone();
        assert_eq!(part(&token, 0), json!({ "kid": kid, "alg": "RS256" }));
        let mut members: Vec<_> = keys[0].as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
        let fixed = ["alg", "e", "kty", "use"].map(|name| keys[0][name].as_str().unwrap());
        assert_eq!(fixed, ["RS256", "AQAB", "RSA", "sig"]);
        let modulus = BASE64_URL_SAFE_NO_PAD.decode(keys[0]["n"].as_str().unwrap());
        assert_eq!(modulus.unwrap().len(), 256);

        let claims = verify(&emulator, &token).await.unwrap();
        let mut names: Vec<_> = claims.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(
            names,
            [
                "auth_time",
                "client_id",
                "exp",
                "iat",
                "iss",
                "jti",
                "scope",
                "sub",
                "token_use",
                "version"
            ]
        );
        assert_eq!(claims["iss"], format!("{}/{POOL}", emulator.endpoint()));
        assert_eq!(claims["sub"], claims["client_id"]);
        assert_eq!(claims["token_use"], "access");
        assert_eq!(claims["scope"], "shoutback/shout");
        assert_eq!(claims["version"], 2);
        assert_eq!(
            claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
            3600
        );
        let jti = uuid::Uuid::parse_str(claims["jti"].as_str().unwrap()).unwrap();
        assert_eq!(jti.get_version_num(), 4);
        assert_ne!(part(&emulator.token(), 1)["jti"], claims["jti"]);
    }

    #[tokio::test]
    async fn signs_whatever_claims_a_test_wants() {
        let emulator = start().await;
        let mut claims = emulator.claims();
        claims.insert("token_use".to_owned(), json!("id"));
        claims.remove("scope");
        let token = emulator.sign(&claims);
        assert_eq!(part(&token, 1), Value::Object(claims));
        assert!(verify(&emulator, &token).await.is_some());
    }

    #[tokio::test]
    async fn rotation_keeps_or_revokes_the_old_key() {
        let emulator = start().await;
        let first = emulator.token();
        emulator.rotate(true);
        let second = emulator.token();
        assert_ne!(part(&first, 0)["kid"], part(&second, 0)["kid"]);
        assert!(verify(&emulator, &first).await.is_some());
        assert!(verify(&emulator, &second).await.is_some());

        emulator.rotate(false);
        assert!(verify(&emulator, &first).await.is_some());
        assert!(verify(&emulator, &second).await.is_none());
        assert!(verify(&emulator, &emulator.token()).await.is_some());
    }

    #[tokio::test]
    async fn rotates_over_http() {
        let emulator = start().await;
        let url = format!("{}/_emulator/rotate", emulator.endpoint());
        for (query, keys) in [("", 2), ("?keep=true", 3), ("?keep=false", 3)] {
            let response = client().post(format!("{url}{query}")).send().await.unwrap();
            assert_eq!(response.status(), 200);
            let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(body["kid"], part(&emulator.token(), 0)["kid"]);
            assert_eq!(published(&emulator).await.len(), keys, "{query}");
        }
        for query in ["?keep=no", "?kept=false"] {
            let response = client().post(format!("{url}{query}")).send().await.unwrap();
            assert_eq!(response.status(), 400);
            assert!(response.text().await.unwrap().contains("keep=false"));
        }
    }

    #[tokio::test]
    async fn neither_the_client_nor_the_emulator_prints_the_secret() {
        let emulator = start().await;
        let secret = &emulator.client().secret;
        assert_eq!(secret.len(), 52);
        assert!(!format!("{emulator:?} {:?}", emulator.client()).contains(secret));
    }

    #[tokio::test]
    async fn refuses_a_pool_id_that_would_break_addresses() {
        for id in ["", "us-east-2/x", "a b"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let error = Emulator::start(listener, id).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
