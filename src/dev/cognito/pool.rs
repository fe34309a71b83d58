//! The emulated pool itself: its client, its keys and the tokens it issues.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

use super::keys::{KeyError, KeyRing, SigningKey};

/// The one scope of the pool's resource server, and of its client.
pub(super) const SCOPE: &str = "shoutback/shout";

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
    pub(super) keys: ArcSwap<KeyRing>,
    pub(super) jwks_fetches: AtomicU64,
}

impl Pool {
    /// A pool with a new key, which takes some 100 ms of the calling thread, and a new client.
    pub(super) fn new(id: &str, endpoint: String) -> Result<Pool, KeyError> {
        Ok(Pool {
            id: id.to_owned(),
            endpoint,
            client: Client {
                id: random_name(26),
                secret: random_name(52),
            },
            keys: ArcSwap::from_pointee(KeyRing::new(SigningKey::generate()?)),
            jwks_fetches: AtomicU64::new(0),
        })
    }

    pub(super) fn issuer(&self) -> String {
        format!("{}/{}", self.endpoint, self.id)
    }

    pub(super) fn token(&self) -> String {
        self.keys.load().current().sign(&self.claims())
    }

    pub(super) fn claims(&self) -> Map<String, Value> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let jti = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let claims = [
            ("sub", json!(self.client.id)),
            ("token_use", json!("access")),
            ("scope", json!(SCOPE)),
            ("auth_time", json!(now)),
            ("iss", json!(self.issuer())),
            ("exp", json!(now + TOKEN_LIFETIME.as_secs())),
            ("iat", json!(now)),
            ("version", json!(2)),
            ("jti", json!(jti.to_string())),
            ("client_id", json!(self.client.id)),
        ];
        claims
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Rotates the keys and returns the new one's `kid`.
    pub(super) fn rotate(&self, keep_old: bool) -> Result<String, KeyError> {
        let key = Arc::new(SigningKey::generate()?);
        self.keys.rcu(|ring| ring.rotated(key.clone(), keep_old));
        Ok(key.kid().to_owned())
    }
}

/// Lower-case letters and digits, as Cognito makes the ids and secrets of clients of.
fn random_name(length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let letters = std::iter::repeat_with(|| ALPHABET.choose(&mut random)).flatten();
    letters.take(length).copied().map(char::from).collect()
}
