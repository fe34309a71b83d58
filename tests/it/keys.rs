//! Key sets: rotation, revocation and outages; and the cache of the tokens that they verified.

mod empty_sets;
mod lifecycle;
mod metrics;
mod pools;
mod readiness;
mod responses;
mod staleness;
mod token_cache;
mod unknown_kid;

use serde_json::json;
use shoutback::auth::AuthError;

use crate::support::key_server::KeyServer;
use crate::support::rsa::PrivateKey;
use crate::support::{App, assert_problem, changed, until};

const OTHER_POOL: &str = "eu-west-1_TestPool2";

const FREQUENT_REFRESH: (&str, &str) = ("COGNITO_JWKS_REFRESH", "100ms");

/// Starts an application that fetches its keys from `keys`.
async fn app_with(keys: &KeyServer, variables: &[(&str, &str)]) -> App {
    let app = unready_app_with(&keys.url(), variables).await;
    app.until_ready().await;
    app
}

async fn unready_app_with(url: &str, variables: &[(&str, &str)]) -> App {
    let mut all = vec![("COGNITO_JWKS_ENDPOINT", url)];
    all.extend(variables);
    App::start_unready(&all).await
}

/// Returns a new token of the first pool.
fn token(app: &App, key: &PrivateKey, kid: &str) -> String {
    key.token(kid, &app.cognito.claims())
}

/// Returns a new token of the other pool.
fn token_of_other_pool(app: &App, key: &PrivateKey, kid: &str) -> String {
    let issuer = format!("{}/{OTHER_POOL}", app.cognito.endpoint());
    key.token(kid, &changed(app.cognito.claims(), &[("iss", json!(issuer))]))
}

async fn assert_rejected(app: &App, token: &str, error: &AuthError) {
    let response = app.shout_with(token, "hi").send().await.expect("a response");
    let problem = assert_problem(response, 401, "unauthenticated").await;
    assert_eq!(problem["detail"], error.to_string());
}

async fn assert_unavailable(app: &App, token: &str) {
    let calls = app.shoutcloud.calls();
    let response = app.shout_with(token, "hi").send().await.expect("a response");
    assert_eq!(response.status(), 503);
    assert!(!response.headers().contains_key("www-authenticate"));
    let retry_after = response.headers()["retry-after"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    assert!(
        (1..=60).contains(&retry_after.parse().unwrap_or(0)),
        "{retry_after}"
    );
    assert_problem(response, 503, "keys-unavailable").await;
    assert_eq!(app.shoutcloud.calls(), calls);
}

async fn refreshes(app: &App, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    app.metric("shoutback_jwks_refresh_total", &[&outcome]).await
}

/// Waits until a fetch that started after this call has failed: the second of two failures did.
async fn until_a_fetch_has_failed(app: &App) {
    let before = refreshes(app, "failure").await;
    until("two fetches have failed", async || {
        refreshes(app, "failure").await >= before + 2.0
    })
    .await;
}

/// Waits until a fetch that started after this call has succeeded.
async fn until_a_fetch_has_succeeded(app: &App) {
    let before = refreshes(app, "success").await;
    until("two fetches have succeeded", async || {
        refreshes(app, "success").await >= before + 2.0
    })
    .await;
}

async fn hits(app: &App) -> f64 {
    app.metric("shoutback_token_cache_total", &[r#"result="hit""#])
        .await
}

async fn outcomes(app: &App, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    app.metric("shoutback_auth_total", &[&outcome]).await
}
