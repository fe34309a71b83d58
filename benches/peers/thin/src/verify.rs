//! RS256 signature checks, by the library that the service has them from.

use std::io::read_to_string;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};

use crate::Outcome;

/// Reads a token and, on the next line, the key set that signed it, and checks it so often.
pub fn check(count: u32) -> Outcome {
    let input = read_to_string(std::io::stdin())?;
    let (token, keys) = input.split_once('\n').ok_or("a token and a key set are needed")?;
    let keys: JwkSet = serde_json::from_str(keys)?;
    let key = DecodingKey::from_jwk(keys.keys.first().ok_or("the key set is empty")?)?;
    let (message, signature) = token.rsplit_once('.').ok_or("that is no token")?;
    for _ in 0..count {
        if !crypto::verify(signature, message.as_bytes(), &key, Algorithm::RS256)? {
            return Err("the token is not signed by the set's first key".into());
        }
    }
    Ok(())
}
