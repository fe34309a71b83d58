//! Known keys while the key server is down: they stay for a while, and not for ever.

use super::{OFTEN, app_with, assert_unavailable, token, until_a_fetch_has_failed};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, MALLORY};
use crate::support::until;

#[tokio::test]
async fn known_keys_outlive_an_outage() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    let remembered = token(&app, &ADA, "ada");
    assert_eq!(app.status_with(&remembered).await, 200);
    drop(keys);
    until_a_fetch_has_failed(&app).await;
    assert_eq!(app.status_with(&remembered).await, 200);
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
    assert_eq!(app.admin("/readyz").await.status(), 200);
    assert_unavailable(&app, &token(&app, &MALLORY, "stranger")).await;
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 1.0);
}

#[tokio::test]
async fn known_keys_end_when_they_are_too_stale_and_come_back_with_the_key_server() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN, ("COGNITO_JWKS_MAX_STALE", "400ms")]).await;
    let remembered = token(&app, &ADA, "ada");
    let accepted = async || app.status_with(&remembered).await == 200;
    until("a fetch is recent enough", accepted).await;
    keys.set(KeyResponse::of(503, "{}"));
    until("the keys are too stale", async || {
        app.status_with(&remembered).await == 503
    })
    .await;
    assert_unavailable(&app, &remembered).await;
    assert_unavailable(&app, &token(&app, &ADA, "ada")).await;
    assert_eq!(app.admin("/readyz").await.status(), 200);
    assert_eq!(app.admin("/livez").await.status(), 200);
    keys.set(KeyResponse::keys([ADA.jwk("ada")]));
    until("the keys are back", accepted).await;
}
