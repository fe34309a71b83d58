//! Metrics of authentication decisions and key set fetches.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shoutback::telemetry::metrics::{AuthRejection, LabelValue as _};

use super::{FREQUENT_REFRESH, app_with, outcomes, refreshes, unready_app_with, until_a_fetch_has_failed};
use crate::support::jwt::compact;
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY};
use crate::support::{changed, until};

#[tokio::test]
async fn every_decision_is_counted_by_reason() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[("AUTH_ALLOWED_GROUPS", "loud")]).await;
    for outcome in AuthRejection::all()
        .map(AuthRejection::as_str)
        .chain(["accepted"])
    {
        assert_eq!(outcomes(&app, outcome).await, 0.0, "{outcome}");
    }
    let metrics = app.admin("/metrics").await.text().await.expect("UTF-8");
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("shoutback_auth_total{"))
        .count();
    assert_eq!(
        series,
        AuthRejection::all().count() + 1,
        "every series starts at zero"
    );

    let good = changed(app.cognito.claims(), &[("cognito:groups", json!(["loud"]))]);
    let with = |name, value: Value| ADA.token("ada", &changed(good.clone(), &[(name, value)]));
    let rs512 = compact(
        r#"{"kid":"ada","alg":"RS512"}"#,
        json!(good).to_string(),
        |message| ADA.rs256(message),
    );
    let sent = [
        ("accepted", ADA.token("ada", &good)),
        ("malformed_header", "\ta.b.c".to_owned()),
        ("malformed_token", "a.b".to_owned()),
        ("unacceptable_header", rs512),
        ("unknown_issuer", with("iss", json!("https://evil.example"))),
        ("unknown_key", ADA.token("unknown", &good)),
        ("bad_signature", MALLORY.token("ada", &good)),
        ("not_an_access_token", with("token_use", json!("id"))),
        ("unknown_client", with("client_id", json!("other"))),
        (
            "wrong_audience",
            with("aud", json!("https://payments.example.com")),
        ),
        ("expired", with("exp", json!(0))),
        ("not_yet_valid", with("nbf", json!(4_000_000_000u64))),
        ("missing_scope", with("scope", json!("openid"))),
        ("missing_group", with("cognito:groups", json!(["quiet"]))),
    ];
    for (outcome, token) in &sent {
        app.status_with(token).await;
        assert_eq!(outcomes(&app, outcome).await, 1.0, "{outcome}");
    }
    app.post().send().await.expect("a response");
    assert_eq!(outcomes(&app, "missing").await, 1.0);
    let all = app.metric("shoutback_auth_total", &[]).await;
    assert_eq!(all, sent.len() as f64 + 1.0, "each is counted once");
}

#[tokio::test]
async fn fetches_are_counted_and_the_last_success_has_a_timestamp() {
    let keys = KeyServer::start(KeyResponse::of(500, "{}")).await;
    let app = unready_app_with(&keys.url(), &[FREQUENT_REFRESH]).await;
    let last_success = async || {
        app.metric("shoutback_jwks_last_success_timestamp_seconds", &[])
            .await
    };
    until_a_fetch_has_failed(&app).await;
    assert_eq!(refreshes(&app, "success").await, 0.0);
    assert_eq!(last_success().await, 0.0);
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 0.0);
    let before = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    keys.set(KeyResponse::keys([
        ADA.jwk("ada"),
        BOB.jwk("bob"),
        json!({"kty": "EC"}),
    ]));
    app.until_ready().await;
    let first = last_success().await;
    assert!(first >= before, "{first} {before}");
    until("the timestamp has advanced", async || {
        last_success().await > first
    })
    .await;
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 2.0);
    let counted = refreshes(&app, "success").await + refreshes(&app, "failure").await;
    assert!(
        counted <= keys.requests() as f64,
        "{counted} outcomes of {} requests",
        keys.requests()
    );
}
