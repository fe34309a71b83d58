//! RS256 signature checks with the library that the service uses.

use std::io::read_to_string;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};

use crate::Outcome;

/// Reads a token and, from the next line, its key set, and checks the signature `count` times.
pub fn check(count: u32) -> Outcome {
    let input = read_to_string(std::io::stdin())?;
    let (token, keys) = input
        .split_once('\n')
        .ok_or("stdin must have a token and a key set")?;
    let keys: JwkSet = serde_json::from_str(keys)?;
    let key = DecodingKey::from_jwk(keys.keys.first().ok_or("the key set is empty")?)?;
    let (message, signature) = token.rsplit_once('.').ok_or("the first line is not a token")?;
    for _ in 0..count {
        if !crypto::verify(signature, message.as_bytes(), &key, Algorithm::RS256)? {
            return Err("the token is not signed by the set's first key".into());
        }
    }
    Ok(())
}
