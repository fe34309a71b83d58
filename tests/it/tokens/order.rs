//! The order of the checks, and that a rejected token stays rejected.

use serde_json::{Value, json};
use shoutback::auth::AuthError;

use super::{HEADER, TokenTest, parts};
use crate::support::jwt::compact;
use crate::support::rsa::MALLORY;

#[tokio::test]
async fn rejected_tokens_are_not_cached() {
    let test = TokenTest::start(&[]).await;
    let forged = compact(HEADER, test.claims(), |message| MALLORY.rs256(message));
    for _ in 0..3 {
        test.assert_rejected(&AuthError::BadSignature, "forged", &forged)
            .await;
    }
    let hits = test
        .app
        .metric("shoutback_token_cache_total", &[r#"result="hit""#])
        .await;
    assert_eq!(hits, 0.0);
    let valid = test.valid_token();
    test.assert_accepted("valid", &valid).await;
    let [header, claims, signature] = parts(&valid);
    let spliced = format!("{header}.{claims}.{}", parts(&forged)[2]);
    test.assert_rejected(
        &AuthError::BadSignature,
        "a cached token, other signature",
        &spliced,
    )
    .await;
    let spaced = format!("{header}.{claims}. {signature}");
    test.assert_rejected(&AuthError::MalformedToken, "a cached token, a space", &spaced)
        .await;
}

#[tokio::test]
async fn checks_run_in_the_documented_order() {
    let test = TokenTest::start(&[]).await;
    let all = [
        ("iss", json!("https://evil.example")),
        ("token_use", json!("id")),
        ("client_id", json!("other")),
        ("exp", json!(0)),
        ("nbf", json!(4_000_000_000u64)),
        ("scope", json!("openid")),
    ];
    let unknown_kid = r#"{"kid":"unknown","alg":"RS256"}"#;
    let forged = |header: &str, invalid: &[(&str, Value)]| {
        compact(header, test.claims_with(invalid), |message| {
            MALLORY.rs256(message)
        })
    };
    // With the number of key set fetches so far: an unknown key causes one, an unknown issuer does not.
    for (case, token, error, fetches) in [
        (
            "header before issuer",
            forged(r#"{"kid":"unknown","alg":"RS512"}"#, &all),
            AuthError::UnacceptableHeader,
            1,
        ),
        (
            "issuer before key",
            forged(unknown_kid, &all),
            AuthError::UnknownIssuer,
            1,
        ),
        (
            "key before signature",
            forged(unknown_kid, &all[1..]),
            AuthError::UnknownKey,
            2,
        ),
        (
            "signature before claims",
            forged(HEADER, &all[1..]),
            AuthError::BadSignature,
            2,
        ),
    ] {
        test.assert_rejected(&error, case, &token).await;
        assert_eq!(test.keys.requests(), fetches, "{case}");
    }
    for (first, error) in [
        (1, AuthError::NotAnAccessToken),
        (2, AuthError::UnknownClient),
        (3, AuthError::Expired),
        (4, AuthError::NotYetValid),
        (5, AuthError::MissingScope("shoutback/shout".to_owned())),
    ] {
        let case = format!("{error:?} before the later checks");
        test.assert_rejected(&error, &case, &test.token_with(&all[first..]))
            .await;
    }
}
