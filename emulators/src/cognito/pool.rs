//! The emulated user pool: its app clients, its keys and the tokens it issues.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use serde_json::{Map, Value, json};

use super::grants::{Grant, GrantStore};
use super::keys::{KeyError, KeyRing, SigningKey};
use super::random;

/// The only scope of the pool's resource server.
pub(super) const SCOPE: &str = "shoutback/shout";

/// The scopes that the public client may request.
pub(super) const USER_SCOPES: [&str; 2] = ["openid", SCOPE];

/// Lifetime of access and ID tokens, Cognito's default.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// The confidential client, to which the client credentials grant issues tokens.
#[derive(Clone)]
pub struct Client {
    /// The `client_id`.
    pub id: String,
    /// The `client_secret`.
    pub secret: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("secret", &"[redacted]")
            .finish()
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) id: String,
    pub(super) endpoint: String,
    pub(super) client: Client,
    /// The client with which users sign in; it has no secret.
    pub(super) public_client_id: String,
    pub(super) grants: GrantStore,
    pub(super) keys: ArcSwap<KeyRing>,
    pub(super) jwks_fetches: AtomicU64,
}

impl Pool {
    /// Creates a pool with new clients and a new key, which blocks the calling thread for about 100 ms.
    pub(super) fn new(id: &str, endpoint: String) -> Result<Pool, KeyError> {
        Ok(Pool {
            id: id.to_owned(),
            endpoint,
            client: Client {
                id: random::alphanumeric(26),
                secret: random::alphanumeric(52),
            },
            public_client_id: random::alphanumeric(26),
            grants: GrantStore::default(),
            keys: ArcSwap::from_pointee(KeyRing::new(SigningKey::generate()?)),
            jwks_fetches: AtomicU64::new(0),
        })
    }

    pub(super) fn issuer(&self) -> String {
        format!("{}/{}", self.endpoint, self.id)
    }

    /// Issues an access token of the confidential client.
    pub(super) fn token(&self) -> String {
        self.sign(&self.claims())
    }

    pub(super) fn claims(&self) -> Map<String, Value> {
        let mut claims = self.common_claims(now());
        let id = json!(self.client.id);
        for (name, value) in [
            ("sub", id.clone()),
            ("token_use", json!("access")),
            ("scope", json!(SCOPE)),
            ("version", json!(2)),
            ("client_id", id),
        ] {
            claims.insert(name.to_owned(), value);
        }
        claims
    }

    /// Issues an access token of a user.
    pub(super) fn user_access_token(&self, grant: &Grant) -> String {
        let mut claims = self.user_claims(grant);
        for (name, value) in [
            ("token_use", json!("access")),
            ("scope", json!(grant.scopes.join(" "))),
            ("version", json!(2)),
            ("client_id", json!(self.public_client_id)),
            ("username", json!(grant.user.username)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        self.sign(&claims)
    }

    /// Issues an ID token of a user, which no API accepts.
    pub(super) fn id_token(&self, grant: &Grant) -> String {
        let mut claims = self.user_claims(grant);
        for (name, value) in [
            ("token_use", json!("id")),
            ("aud", json!(self.public_client_id)),
            ("cognito:username", json!(grant.user.username)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        self.sign(&claims)
    }

    fn user_claims(&self, grant: &Grant) -> Map<String, Value> {
        let mut claims = self.common_claims(grant.signed_in_at);
        claims.insert("sub".to_owned(), json!(grant.user.sub));
        if !grant.user.groups.is_empty() {
            claims.insert("cognito:groups".to_owned(), json!(grant.user.groups));
        }
        claims
    }

    fn common_claims(&self, signed_in_at: u64) -> Map<String, Value> {
        let now = now();
        let jti = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let claims = [
            ("auth_time", json!(signed_in_at)),
            ("iss", json!(self.issuer())),
            ("exp", json!(now + TOKEN_LIFETIME.as_secs())),
            ("iat", json!(now)),
            ("jti", json!(jti.to_string())),
        ];
        claims
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn sign(&self, claims: &Map<String, Value>) -> String {
        self.keys.load().current().sign(claims)
    }

    /// Rotates the keys and returns the `kid` of the new one.
    pub(super) fn rotate(&self, keep_old: bool) -> Result<String, KeyError> {
        let key = Arc::new(SigningKey::generate()?);
        self.keys.rcu(|ring| ring.rotated(key.clone(), keep_old));
        Ok(key.kid().to_owned())
    }
}

/// Returns the seconds since the Unix epoch.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
