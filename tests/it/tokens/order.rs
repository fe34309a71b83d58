//! The order of the checks, and that a refused token stays refused.

use serde_json::{Value, json};
use shoutback::auth::AuthError;

use super::{Gate, HEADER, sign};
use crate::support::jwt::compact;
use crate::support::rsa::MALLORY;

#[tokio::test]
async fn a_refused_token_is_refused_again_and_never_remembered() {
    let gate = Gate::open(&[]).await;
    let forged = compact(HEADER, gate.claims(), |message| MALLORY.rs256(message));
    for _ in 0..3 {
        gate.refuses(&AuthError::BadSignature, "forged", &forged).await;
    }
    let hits = gate
        .app
        .metric("shoutback_token_cache_total", &[r#"result="hit""#])
        .await;
    assert_eq!(hits, 0.0);
    let good = gate.good();
    gate.accepts("good", &good).await;
    let (rest, signature) = good.rsplit_once('.').expect("three parts");
    let spliced = format!("{rest}.{}", forged.rsplit('.').next().expect("three parts"));
    gate.refuses(
        &AuthError::BadSignature,
        "a remembered token with another signature",
        &spliced,
    )
    .await;
    let spaced = format!("{rest}. {signature}");
    gate.refuses(
        &AuthError::MalformedToken,
        "a remembered token spelt otherwise",
        &spaced,
    )
    .await;
}

#[tokio::test]
async fn checks_come_in_the_contracts_order() {
    let gate = Gate::open(&[]).await;
    let claims = |wrong: &[(&str, Value)]| gate.claims_with(wrong);
    let (iss, kind, client, exp, nbf, scope) = (
        ("iss", json!("https://evil.example")),
        ("token_use", json!("id")),
        ("client_id", json!("other")),
        ("exp", json!(0)),
        ("nbf", json!(4_000_000_000u64)),
        ("scope", json!("openid")),
    );
    let all = [iss, kind, client, exp, nbf, scope];
    let stranger = r#"{"kid":"stranger","alg":"RS256"}"#;
    let mallory = |header: &str, claims: String| compact(header, claims, |message| MALLORY.rs256(message));
    gate.refuses(
        &AuthError::UnacceptableHeader,
        "header before issuer",
        &mallory(r#"{"kid":"stranger","alg":"RS512"}"#, claims(&all)),
    )
    .await;
    gate.refuses(
        &AuthError::UnknownIssuer,
        "issuer before key",
        &mallory(stranger, claims(&all)),
    )
    .await;
    assert_eq!(gate.keys.requests(), 1, "an unknown issuer buys no fetch");
    gate.refuses(
        &AuthError::UnknownKey,
        "key before signature",
        &mallory(stranger, claims(&all[1..])),
    )
    .await;
    assert_eq!(gate.keys.requests(), 2, "an unknown key does");
    gate.refuses(
        &AuthError::BadSignature,
        "signature before claims",
        &mallory(HEADER, claims(&all[1..])),
    )
    .await;
    for (from, refusal) in [
        (1, AuthError::NotAnAccessToken),
        (2, AuthError::UnknownClient),
        (3, AuthError::Expired),
        (4, AuthError::NotYetValid),
        (5, AuthError::MissingScope("shoutback/shout".to_owned())),
    ] {
        let case = format!("{refusal:?} before what follows");
        gate.refuses(&refusal, &case, &sign(HEADER, claims(&all[from..])))
            .await;
    }
}
