//! Key sets without a usable key: a failed fetch, whatever their status and syntax.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    FREQUENT_REFRESH, app_with, assert_unavailable, refreshes, token, unready_app_with,
    until_a_fetch_has_failed,
};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, MALLORY, PrivateKey};
use crate::support::{changed, until};

/// Key sets that are valid JSON with a list of keys, none of which can verify a signature.
fn sets_without_a_usable_key() -> Vec<(&'static str, Value)> {
    let ada_with = |name, value| {
        let jwk = ADA.jwk("ada").as_object().expect("an object").clone();
        json!(changed(jwk, &[(name, value)]))
    };
    vec![
        ("no keys", json!([])),
        ("an elliptic key", json!([{"kty": "EC", "kid": "ada"}])),
        ("a short key", json!([PrivateKey::generate(1024).jwk("ada")])),
        ("a key for encryption", json!([ada_with("use", json!("enc"))])),
        ("a key for RS512", json!([ada_with("alg", json!("RS512"))])),
        ("a key without kid", json!([ada_with("kid", Value::Null)])),
        ("values that are not keys", json!([null, 1, "ada", []])),
    ]
}

fn response_with(keys: &Value) -> KeyResponse {
    KeyResponse::of(200, json!({"keys": keys}).to_string())
}

#[tokio::test]
async fn known_keys_stay_and_the_fetch_counts_as_failed() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[FREQUENT_REFRESH]).await;
    let last_success = async || {
        app.metric("shoutback_jwks_last_success_timestamp_seconds", &[])
            .await
    };
    let cached = token(&app, &ADA, "ada");
    assert_eq!(app.status_with(&cached).await, 200);
    for (case, set) in sets_without_a_usable_key() {
        keys.set(response_with(&set));
        until_a_fetch_has_failed(&app).await;
        let (successes, timestamp) = (refreshes(&app, "success").await, last_success().await);
        until_a_fetch_has_failed(&app).await;
        assert_eq!(refreshes(&app, "success").await, successes, "{case}");
        assert_eq!(last_success().await, timestamp, "{case}");
        assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 1.0, "{case}");
        assert_eq!(app.status_with(&cached).await, 200, "{case}");
        assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200, "{case}");
        assert_eq!(app.admin("/readyz").await.status(), 200, "{case}");
        assert_unavailable(&app, &token(&app, &MALLORY, "unknown")).await;
    }
}

#[tokio::test]
async fn known_keys_expire_as_in_any_other_outage() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[FREQUENT_REFRESH, ("COGNITO_JWKS_MAX_STALE", "400ms")]).await;
    let cached = token(&app, &ADA, "ada");
    keys.set(KeyResponse::keys([]));
    until("the keys are stale", async || {
        app.status_with(&cached).await == 503
    })
    .await;
    assert_unavailable(&app, &token(&app, &ADA, "ada")).await;
    keys.set(KeyResponse::keys([ADA.jwk("ada")]));
    until("the keys are back", async || {
        app.status_with(&cached).await == 200
    })
    .await;
}

#[tokio::test]
async fn the_replica_becomes_ready_with_the_first_usable_key() {
    for (case, set) in sets_without_a_usable_key() {
        let keys = KeyServer::start(response_with(&set)).await;
        // The retries come from the backoff, not from the refresh.
        let app = unready_app_with(&keys.url(), &[("COGNITO_JWKS_REFRESH", "24h")]).await;
        until_a_fetch_has_failed(&app).await;
        assert_eq!(refreshes(&app, "success").await, 0.0, "{case}");
        assert_eq!(app.admin("/readyz").await.status(), 503, "{case}");
        assert_unavailable(&app, &token(&app, &ADA, "ada")).await;
        keys.set(KeyResponse::keys([ADA.jwk("ada")]));
        app.until_ready().await;
        assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200, "{case}");
    }
}

#[tokio::test]
async fn the_next_fetch_waits_for_the_backoff_and_not_for_the_refresh() {
    let day = Duration::from_secs(24 * 60 * 60);
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let variables = [("COGNITO_JWKS_REFRESH", "24h"), ("COGNITO_JWKS_MAX_STALE", "30d")];
    let app = app_with(&keys, &variables).await;
    keys.set(KeyResponse::keys([]));
    tokio::time::pause();
    tokio::time::advance(day).await;
    tokio::time::resume();
    // The first load, the refresh, and two fetches that another refresh would delay by most of a day.
    until("the backoff is over", async || keys.requests() >= 4).await;
    assert_eq!(refreshes(&app, "success").await, 1.0);
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
}
