//! Parses key sets (RFC 7517). An unusable key is skipped, and the rest of the set is used.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foldhash::fast::RandomState;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::json;

/// The usable keys of a pool, by `kid`.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: HashMap<String, Arc<Key>, RandomState>,
    /// Number of entries that were skipped.
    pub(super) skipped: usize,
}

/// One RSA public key.
pub(super) struct Key {
    key: DecodingKey,
    /// SHA-256 of the modulus, which distinguishes two keys with the same `kid`.
    pub(super) fingerprint: [u8; 32],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// Why a response is not a key set that can verify tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    /// The text is not a JSON object with a list of keys.
    #[error("the response is not a key set")]
    Malformed,
    /// The list is empty, or every key of it is unusable.
    #[error("the key set has no usable key ({skipped} skipped)")]
    NoUsableKey {
        /// Number of entries.
        skipped: usize,
    },
}

impl KeySet {
    /// Parses a key set with at least one usable key. A set without one is an error, because it would make every token invalid:
    /// Cognito never revokes all keys of a pool, so the server that sent it is at fault.
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let Ok([Some(Value::Array(entries))]) = json::members(text, ["keys"]) else {
            return Err(KeySetError::Malformed);
        };
        let mut set = Self::default();
        for entry in &entries {
            match entry.as_object().and_then(Key::parse) {
                // A later entry must not replace a key with the same `kid`.
                Some((kid, key)) if !set.keys.contains_key(&kid) => _ = set.keys.insert(kid, Arc::new(key)),
                _ => set.skipped += 1,
            }
        }
        if set.keys.is_empty() {
            return Err(KeySetError::NoUsableKey { skipped: set.skipped });
        }
        Ok(set)
    }

    pub(super) fn find(&self, kid: &str) -> Option<&Arc<Key>> {
        self.keys.get(kid)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl Key {
    fn parse(jwk: &Map<String, Value>) -> Option<(String, Self)> {
        let is_or_absent =
            |name, wanted: &str| jwk.get(name).is_none_or(|value| value.as_str() == Some(wanted));
        let is_rs256 = jwk.get("kty")?.as_str() == Some("RSA")
            && is_or_absent("use", "sig")
            && is_or_absent("alg", "RS256");
        let kid = jwk.get("kid")?.as_str().filter(|kid| !kid.is_empty())?;
        let integer = |name| {
            let mut bytes = URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            bytes.drain(..zeros);
            Some(bytes)
        };
        let (modulus, exponent) = (integer("n")?, integer("e")?);
        let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
        let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte % 2 == 1);
        // Usual exponents are 3 and 65537. With 1 a signature can be forged without the private key.
        let is_sound = (2048..=8192).contains(&bits)
            && is_odd(&modulus)
            && is_odd(&exponent)
            && exponent.len() <= 4
            && exponent != [1];
        (is_rs256 && is_sound).then(|| {
            let fingerprint = digest(&SHA256, &modulus)
                .as_ref()
                .try_into()
                .expect("a SHA-256 digest has 32 bytes");
            (
                kid.to_owned(),
                Self {
                    key: DecodingKey::from_rsa_raw_components(&modulus, &exponent),
                    fingerprint,
                },
            )
        })
    }

    /// Returns whether `signature` (base64url) is this key's RS256 signature of `message`.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, Algorithm::RS256)
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    //! `tests/it/tokens` has the unusable keys and `tests/it/keys` the invalid key sets. These are the sizes, because
    //! generating a key of each takes too long, and the error that the log shows.

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::{KeySet, KeySetError};

    #[test]
    fn keys_of_2048_to_8192_bits_are_usable() {
        let key = |bits: usize| {
            let mut modulus = vec![0xff; bits.div_ceil(8)];
            modulus[0] >>= (8 - bits % 8) % 8;
            json!({"kty": "RSA", "kid": bits.to_string(), "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
        };
        let (usable, unusable) = ([2048, 2056, 3072, 4096, 8192], [8, 1024, 2040, 2047, 8193, 8200]);
        let keys: Vec<_> = usable.into_iter().chain(unusable).map(key).collect();
        let set = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("a key set");
        assert_eq!((set.len(), set.skipped), (usable.len(), unusable.len()));
        for bits in usable {
            assert!(set.find(&bits.to_string()).is_some(), "{bits}");
        }
    }

    #[test]
    fn a_key_set_without_a_usable_key_is_an_error() {
        for (keys, skipped) in [(json!([]), 0), (json!([{"kty": "EC", "kid": "k"}, null]), 2)] {
            let text = json!({ "keys": keys }).to_string();
            let error = KeySet::parse(text.as_bytes()).err();
            assert_eq!(error, Some(KeySetError::NoUsableKey { skipped }), "{text}");
        }
    }
}
