//! Known keys during an outage of the key server: usable until they are too stale.

use super::{FREQUENT_REFRESH, app_with, assert_unavailable, token, until_a_fetch_has_failed};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, MALLORY};
use crate::support::until;

#[tokio::test]
async fn known_keys_stay_in_use_during_an_outage() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[FREQUENT_REFRESH]).await;
    let cached = token(&app, &ADA, "ada");
    assert_eq!(app.status_with(&cached).await, 200);
    drop(keys);
    until_a_fetch_has_failed(&app).await;
    assert_eq!(app.status_with(&cached).await, 200);
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
    assert_eq!(app.admin("/readyz").await.status(), 200);
    assert_unavailable(&app, &token(&app, &MALLORY, "unknown")).await;
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 1.0);
}

#[tokio::test]
async fn keys_that_are_too_stale_are_unavailable_until_refreshed() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[FREQUENT_REFRESH, ("COGNITO_JWKS_MAX_STALE", "400ms")]).await;
    let cached = token(&app, &ADA, "ada");
    let accepted = async || app.status_with(&cached).await == 200;
    until("a fetch is recent enough", accepted).await;
    keys.set(KeyResponse::of(503, "{}"));
    until("the keys are too stale", async || {
        app.status_with(&cached).await == 503
    })
    .await;
    assert_unavailable(&app, &cached).await;
    assert_unavailable(&app, &token(&app, &ADA, "ada")).await;
    assert_eq!(app.admin("/readyz").await.status(), 200);
    assert_eq!(app.admin("/livez").await.status(), 200);
    keys.set(KeyResponse::keys([ADA.jwk("ada")]));
    until("the keys are back", accepted).await;
}
