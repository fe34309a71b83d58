//! Parses the `authorization` header and its token: compact serialization (RFC 7515 section 7.1), stricter than the
//! RFC. Does not verify the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::AuthError;
use super::claims::Claims;
use crate::json;

/// Cognito's tokens have one to three KiB. A longer one is rejected before it is parsed.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Length limit of a `kid`.
const MAX_KID_CHARS: usize = 256;

/// Returns the bearer token of the only `authorization` header.
pub fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::MalformedHeader);
    }
    let value = value.to_str().map_err(|_| AuthError::MalformedHeader)?;
    let (scheme, token) = value.split_at(value.find([' ', '\t']).unwrap_or(value.len()));
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(AuthError::Missing);
    }
    let token = token
        .strip_prefix(' ')
        .filter(|token| !token.is_empty() && !token.starts_with([' ', '\t']));
    token
        .filter(|token| token.len() <= MAX_TOKEN_BYTES)
        .ok_or(AuthError::MalformedHeader)
}

/// A well-formed token whose signature is not verified yet: do not trust its content.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// Id of the key that the token claims to be signed with.
    pub kid: String,
    /// The signed part: header and claims, encoded.
    pub message: &'a str,
    /// The signature, still encoded.
    pub signature: &'a str,
    /// The claims, unchecked.
    pub claims: Claims,
}

impl<'a> Unverified<'a> {
    /// Parses a token in compact serialization.
    pub fn parse(token: &'a str) -> Result<Self, AuthError> {
        let (message, signature) = token.rsplit_once('.').ok_or(AuthError::MalformedToken)?;
        let (header, claims) = message.split_once('.').ok_or(AuthError::MalformedToken)?;
        let header = decode(header)?;
        let claims = decode(claims)?;
        // Decoded only to reject padding and stray bits; the signature check decodes it again.
        decode(signature)?;
        let [alg, kid, crit] =
            json::members(&header, ["alg", "kid", "crit"]).map_err(|_| AuthError::MalformedToken)?;
        let claims = Claims::parse(&claims).map_err(|_| AuthError::MalformedToken)?;
        match (alg, kid, crit) {
            (Some(Value::String(alg)), Some(Value::String(kid)), None)
                if alg == "RS256" && (1..=MAX_KID_CHARS).contains(&kid.chars().count()) =>
            {
                Ok(Self {
                    kid,
                    message,
                    signature,
                    claims,
                })
            }
            _ => Err(AuthError::UnacceptableHeader),
        }
    }
}

/// Decodes base64url. Rejects padding and stray bits in the last character, so that a token has only one spelling.
fn decode(part: &str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| AuthError::MalformedToken)
}

#[cfg(test)]
mod tests {
    //! `tests/it/tokens` has the hostile tokens; these are the cases that HTTP/1.1 cannot transport or enumerate.

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{AuthError, Unverified, bearer};

    fn token(header: &str, claims: &str) -> String {
        [header, claims, "sign"]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".")
    }

    #[test]
    fn scheme_and_space_without_a_token_are_malformed() {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer "))]);
        assert_eq!(bearer(&headers), Err(AuthError::MalformedHeader));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn parsing_never_panics(text in any::<String>(), header in any::<String>(), claims in any::<String>()) {
            let _ = (Unverified::parse(&text), Unverified::parse(&token(&header, &claims)));
        }

        #[test]
        fn only_rs256_is_accepted(alg in "[A-Za-z0-9]{0,6}") {
            let token = token(&format!(r#"{{"alg":"{alg}","kid":"k"}}"#), "{}");
            assert_eq!(Unverified::parse(&token).is_ok(), alg == "RS256");
        }
    }
}
