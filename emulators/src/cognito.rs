//! An emulator of an Amazon Cognito user pool with a confidential client for machines and a public client for users.
//!
//! It serves the part of Cognito's API that a resource server and its callers need:
//!
//! | request | response |
//! |---|---|
//! | `GET /{pool}/.well-known/jwks.json` | the public keys |
//! | `GET /{pool}/.well-known/openid-configuration` | the discovery document |
//! | `POST /oauth2/token` | tokens, by the client credentials, authorization code and refresh token grants |
//! | `GET /oauth2/authorize`, `/login` | the login page, which redirects to the client with an authorization code |
//! | `GET /logout` | a redirect to the client |
//!
//! Tokens have the shape of Cognito's: no `aud`, `token_use` `access`, a header without `typ`; `sub` is the client's id
//! or the user's, and a user's token also has `username` and, for a member of groups, `cognito:groups`.
//!
//! It differs from Cognito so that it fits into one process and a test controls what AWS otherwise decides:
//!
//! - Everything is on one loopback origin and plain HTTP. Cognito has the issuer on one host and the token endpoint on
//!   the pool's own domain.
//! - The pool has one issuer. Cognito has a second one, `https://issuer-cognito-idp…`, with the same keys; [`Emulator::sign`] signs
//!   claims with any `iss`.
//! - Keys are rotated on demand ([`Emulator::rotate`] or `POST /_emulator/rotate`, with `?keep=false` to revoke the old
//!   key), and one key is published until then. Cognito publishes a second one for ID tokens.
//! - [`Emulator::sign`] signs any claims, so that tests can make every kind of invalid token.
//! - There are no passwords and no sessions: the login page asks for the user each time.
//! - An authorization code requires PKCE with S256, which Cognito leaves to the client, and any `http` URL on loopback
//!   with the path `/docs` is a callback. Cognito has a list of them.

mod authorize;
mod grants;
mod hosted_ui;
mod keys;
mod pool;
mod random;
#[cfg(test)]
mod tests;
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

use crate::server;

pub use self::pool::Client;
use self::pool::Pool;

/// A running emulator. Dropping it stops the server and closes its connections.
#[derive(Debug)]
pub struct Emulator {
    pool: Arc<Pool>,
    _server: AbortOnDropHandle<()>,
}

impl Emulator {
    /// Generates a signing key, which blocks the calling thread for about 100 ms, and two clients, and serves on
    /// `listener`.
    ///
    /// The listener should be on loopback: any caller can rotate the keys. `pool_id` becomes part of URLs and may
    /// consist only of letters, digits, `-` and `_`, as in Cognito.
    pub fn start(listener: TcpListener, pool_id: &str) -> io::Result<Emulator> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if pool_id.is_empty() || !pool_id.chars().all(is_allowed) {
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

    /// Returns the emulator's origin, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.pool.endpoint.clone()
    }

    /// Returns the `iss` of the pool's tokens, `{endpoint}/{pool id}`.
    pub fn issuer(&self) -> String {
        self.pool.issuer()
    }

    /// Returns the id of the pool.
    pub fn pool_id(&self) -> &str {
        &self.pool.id
    }

    /// Returns the confidential client.
    pub fn client(&self) -> &Client {
        &self.pool.client
    }

    /// Returns the id of the public client, with which users sign in.
    pub fn public_client_id(&self) -> &str {
        &self.pool.public_client_id
    }

    /// Issues an access token of the confidential client, as the token endpoint does.
    pub fn token(&self) -> String {
        self.pool.token()
    }

    /// Returns the claims of such a token, for a test to change and [`sign`](Self::sign).
    pub fn claims(&self) -> Map<String, Value> {
        self.pool.claims()
    }

    /// Signs any `claims` with the current key.
    pub fn sign(&self, claims: &Map<String, Value>) -> String {
        self.pool.keys.load().current().sign(claims)
    }

    /// Replaces the signing key. The previous one remains published if `keep_old`, and is revoked otherwise. Keys
    /// retained by earlier rotations are not affected.
    pub fn rotate(&self, keep_old: bool) {
        self.pool
            .rotate(keep_old)
            .expect("key generation has succeeded in `start`");
    }

    /// Returns how many times the pool's key set was fetched.
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
        .route("/oauth2/authorize", get(hosted_ui::authorize))
        .route("/login", get(hosted_ui::login).post(hosted_ui::submit_login))
        .route("/logout", get(hosted_ui::logout))
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
