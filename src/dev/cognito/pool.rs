//! The emulated pool itself: its client, its keys and the tokens it issues.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

use super::keys::{KeyError, KeyRing, SigningKey};
use super::people::{Desk, Grant};

/// The one scope of the pool's resource server, and of its client.
pub(super) const SCOPE: &str = "shoutback/shout";

/// What the client for people may ask for.
pub(super) const PEOPLES_SCOPES: [&str; 2] = ["openid", SCOPE];

/// How long tokens are good for: what Cognito gives unless configured otherwise.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// The machine client that tokens are issued to.
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
    /// A public client: it has no secret.
    pub(super) people_client_id: String,
    pub(super) desk: Desk,
    pub(super) keys: ArcSwap<KeyRing>,
    pub(super) jwks_fetches: AtomicU64,
}

impl Pool {
    /// A pool with a new key, which takes some 100 ms of the calling thread, and new clients.
    pub(super) fn new(id: &str, endpoint: String) -> Result<Pool, KeyError> {
        Ok(Pool {
            id: id.to_owned(),
            endpoint,
            client: Client {
                id: random_name(26),
                secret: random_name(52),
            },
            people_client_id: random_name(26),
            desk: Desk::default(),
            keys: ArcSwap::from_pointee(KeyRing::new(SigningKey::generate()?)),
            jwks_fetches: AtomicU64::new(0),
        })
    }

    pub(super) fn issuer(&self) -> String {
        format!("{}/{}", self.endpoint, self.id)
    }

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

    /// An access token of a person's.
    pub(super) fn persons_token(&self, grant: &Grant) -> String {
        let mut claims = self.persons_claims(grant);
        for (name, value) in [
            ("token_use", json!("access")),
            ("scope", json!(grant.scopes.join(" "))),
            ("version", json!(2)),
            ("client_id", json!(self.people_client_id)),
            ("username", json!(grant.person.username)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        self.sign(&claims)
    }

    /// An ID token, which says who somebody is and opens nothing.
    pub(super) fn id_token(&self, grant: &Grant) -> String {
        let mut claims = self.persons_claims(grant);
        for (name, value) in [
            ("token_use", json!("id")),
            ("aud", json!(self.people_client_id)),
            ("cognito:username", json!(grant.person.username)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        self.sign(&claims)
    }

    fn persons_claims(&self, grant: &Grant) -> Map<String, Value> {
        let mut claims = self.common_claims(grant.signed_in_at);
        claims.insert("sub".to_owned(), json!(grant.person.sub));
        if !grant.person.groups.is_empty() {
            claims.insert("cognito:groups".to_owned(), json!(grant.person.groups));
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

    /// Rotates the keys and returns the new one's `kid`.
    pub(super) fn rotate(&self, keep_old: bool) -> Result<String, KeyError> {
        let key = Arc::new(SigningKey::generate()?);
        self.keys.rcu(|ring| ring.rotated(key.clone(), keep_old));
        Ok(key.kid().to_owned())
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Lower-case letters and digits, as Cognito makes the ids and secrets of clients of.
pub(super) fn random_name(length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let letters = std::iter::repeat_with(|| ALPHABET.choose(&mut random)).flatten();
    letters.take(length).copied().map(char::from).collect()
}
