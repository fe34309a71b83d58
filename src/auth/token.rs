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
    //! `tests/it/tokens` has the hostile tokens; these are cases that HTTP/1.1 cannot transport, and bounds.

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

    fn bearer_of(value: &str) -> Result<String, AuthError> {
        let value = HeaderValue::from_str(value).expect("a header value");
        bearer(&HeaderMap::from_iter([(AUTHORIZATION, value)])).map(str::to_owned)
    }

    #[test]
    fn the_header_has_a_scheme_a_space_and_a_token() {
        for value in ["Bearer t", "bearer t", "BEARER t"] {
            assert_eq!(bearer_of(value), Ok("t".to_owned()), "{value}");
        }
        for value in ["", "Bearer", "Basic t", "Bearert"] {
            assert_eq!(bearer_of(value), Err(AuthError::Missing), "{value}");
        }
        // HTTP/1.1 cannot transport the first.
        for value in ["Bearer ", "Bearer  t", "Bearer\tt", "Bearer \tt"] {
            assert_eq!(bearer_of(value), Err(AuthError::MalformedHeader), "{value:?}");
        }
    }

    #[test]
    fn a_token_has_at_most_8_kib() {
        let longest = "t".repeat(8 * 1024);
        assert_eq!(bearer_of(&format!("Bearer {longest}")), Ok(longest.clone()));
        assert_eq!(
            bearer_of(&format!("Bearer {longest}t")),
            Err(AuthError::MalformedHeader)
        );
    }

    #[test]
    fn a_token_of_rs256_is_parsed() {
        let text = token(r#"{"alg":"RS256","kid":"k"}"#, r#"{"iss":"i"}"#);
        let parsed = Unverified::parse(&text).expect("well-formed");
        assert_eq!((&*parsed.kid, parsed.signature), ("k", "c2lnbg"));
        assert_eq!(text, format!("{}.{}", parsed.message, parsed.signature));
        assert_eq!(parsed.claims.iss, Some(serde_json::json!("i")));
    }

    #[test]
    fn a_kid_has_1_to_256_characters() {
        for (length, is_ok) in [(0, false), (1, true), (256, true), (257, false)] {
            let kid = "\u{e9}".repeat(length);
            let token = token(&format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#), "{}");
            assert_eq!(Unverified::parse(&token).is_ok(), is_ok, "{length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn parsing_never_panics(text in any::<String>(), header in any::<String>(), claims in any::<String>()) {
            let _ = (Unverified::parse(&text), Unverified::parse(&token(&header, &claims)));
        }

        #[test]
        fn no_other_algorithm_is_accepted(alg in "[A-Za-z0-9]{0,6}") {
            let token = token(&format!(r#"{{"alg":"{alg}","kid":"k"}}"#), "{}");
            assert!(alg == "RS256" || Unverified::parse(&token).is_err());
        }
    }
}
