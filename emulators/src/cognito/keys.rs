//! The signing keys of the emulated pool.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

/// Why no key could be generated.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("no RSA key could be generated")]
    Generation(#[from] aws_lc_rs::error::Unspecified),
    #[error("the generated key is not encoded as PKCS#8")]
    Encoding,
    #[error("the generated key cannot sign")]
    Unusable(#[from] jsonwebtoken::errors::Error),
}

/// An RSA-2048 key with its `kid`.
#[derive(Debug)]
pub(super) struct SigningKey {
    kid: String,
    private: EncodingKey,
    public: Jwk,
}

impl SigningKey {
    /// Generates a key, which blocks the calling thread for about 100 ms.
    pub(super) fn generate() -> Result<SigningKey, KeyError> {
        let pkcs8: Pkcs8V1Der<'static> = KeyPair::generate(KeySize::Rsa2048)?.as_der()?;
        let pkcs1 = pkcs1_of(pkcs8.as_ref()).ok_or(KeyError::Encoding)?;
        let private = EncodingKey::from_rsa_der(pkcs1);
        let kid = BASE64_STANDARD.encode(rand::random::<[u8; 32]>());
        let mut public = Jwk::from_encoding_key(&private, Algorithm::RS256)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(SigningKey { kid, private, public })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs `claims` as a token with the header `{"kid":…,"alg":"RS256"}`: Cognito sends no `typ`.
    pub(super) fn sign(&self, claims: &Map<String, Value>) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.typ = None;
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.private)
            .expect("`generate` has parsed the key, and a JSON object can be serialised")
    }
}

/// The signing key and the older keys that are still published.
#[derive(Clone, Debug)]
pub(super) struct KeyRing {
    current: Arc<SigningKey>,
    older: Vec<Arc<SigningKey>>,
}

impl KeyRing {
    pub(super) fn new(key: SigningKey) -> KeyRing {
        KeyRing {
            current: Arc::new(key),
            older: Vec::new(),
        }
    }

    pub(super) fn current(&self) -> &SigningKey {
        &self.current
    }

    /// Returns this ring with `key` as its signing key. The previous one remains published if `keep_old`, and is
    /// revoked otherwise.
    pub(super) fn rotated(&self, key: Arc<SigningKey>, keep_old: bool) -> KeyRing {
        let mut older = self.older.clone();
        if keep_old {
            older.insert(0, self.current.clone());
        }
        KeyRing { current: key, older }
    }

    /// Returns the public keys, the current one first.
    pub(super) fn published(&self) -> JwkSet {
        let all = std::iter::once(&self.current).chain(&self.older);
        JwkSet {
            keys: all.map(|key| key.public.clone()).collect(),
        }
    }
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Returns the PKCS#1 `RSAPrivateKey` inside a PKCS#8 `PrivateKeyInfo`: aws-lc-rs writes only the latter, jsonwebtoken
/// reads only the former.
fn pkcs1_of(pkcs8: &[u8]) -> Option<&[u8]> {
    let (info, _) = der_element(SEQUENCE, pkcs8)?;
    let (_version, rest) = der_element(INTEGER, info)?;
    let (_algorithm, rest) = der_element(SEQUENCE, rest)?;
    let (key, _) = der_element(OCTET_STRING, rest)?;
    Some(key)
}

/// Returns the content of the element with this tag at the start of `der`, and the rest of `der`.
fn der_element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    if length < 0x80 {
        return rest.split_at_checked(usize::from(length));
    }
    let (length, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
    let length = length.iter().try_fold(0usize, |sum, &byte| {
        Some(sum.checked_mul(256)? + usize::from(byte))
    })?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_elements_are_read_in_both_length_forms() {
        assert_eq!(der_element(INTEGER, &[2, 1, 7, 9]), Some((&[7][..], &[9][..])));
        let mut long = vec![OCTET_STRING, 0x82, 0x01, 0x00];
        long.extend([5; 256]);
        assert_eq!(der_element(OCTET_STRING, &long), Some((&[5; 256][..], &[][..])));
    }

    #[test]
    fn unexpected_der_is_rejected() {
        for der in [
            &[][..],
            &[INTEGER],
            &[INTEGER, 2, 7],
            &[SEQUENCE, 1, 7],
            &[INTEGER, 0x82, 1],
            &[INTEGER, 0x89, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert_eq!(der_element(INTEGER, der), None, "{der:?}");
        }
    }

    #[test]
    fn debug_output_shows_the_kid_and_not_the_key() {
        let key = SigningKey::generate().unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains(key.kid()) && shown.contains("redacted"));
        assert_eq!(key.kid().len(), 44);
        assert_eq!(BASE64_STANDARD.decode(key.kid()).unwrap().len(), 32);
    }
}
