//! Fuzzes the parser of tokens. The input is used as the value of `authorization`, and as two lines, header and claims, which are
//! encoded into a token, so that the fuzzer need not learn base64.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use shoutback::auth::token::{Unverified, bearer};

fuzz_target!(|data: &[u8]| {
    as_header(data);
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    if let (Some(header), Some(claims)) = (lines.next(), lines.next()) {
        as_header_and_claims(header, claims);
    }
});

fn as_header(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.append(AUTHORIZATION, value.clone());
    if let Ok(token) = bearer(&headers) {
        assert!((1..=8192).contains(&token.len()) && !token.starts_with(' '));
        assert!(data[.."Bearer ".len()].eq_ignore_ascii_case(b"Bearer "));
        assert_eq!(token.as_bytes(), &data["Bearer ".len()..]);
        parse(token);
    }
    headers.append(AUTHORIZATION, value);
    assert!(bearer(&headers).is_err(), "two headers");
}

fn as_header_and_claims(header: &[u8], claims: &[u8]) {
    let token = [header, claims, b"signature"]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    if let Some(kid) = parse(&token) {
        // Ignored members may hold numbers and nesting beyond serde_json's limits.
        if let Ok(header) = serde_json::from_slice::<Value>(header) {
            assert_eq!(header["alg"], "RS256");
            assert_eq!(header["kid"], kid.as_str());
            assert!(header.get("crit").is_none());
        }
        assert!(Unverified::parse(&format!("{token}=")).is_err(), "padding");
        assert!(Unverified::parse(&format!("{token}.")).is_err(), "a fourth part");
    }
}

/// Returns the `kid` if `token` can be parsed.
fn parse(token: &str) -> Option<String> {
    let parsed = Unverified::parse(token).ok()?;
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(token, format!("{}.{}", parsed.message, parsed.signature));
    for part in token.split('.') {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(bytes), part, "a second spelling");
    }
    assert!((1..=256).contains(&parsed.kid.chars().count()));
    Some(parsed.kid)
}
