//! Keys that are added, revoked and replaced while the application runs.

use shoutback::auth::AuthError;

use super::{FREQUENT_REFRESH, app_with, assert_rejected, hits, token};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::{App, until};

#[tokio::test]
async fn rotation_is_picked_up_without_a_restart() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
    assert_eq!(keys.requests(), 1);

    keys.set(KeyResponse::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
    assert_eq!(app.status_with(&token(&app, &BOB, "bob")).await, 200);
    assert_eq!(keys.requests(), 2);
    for (key, kid) in [(&ADA, "ada"), (&BOB, "bob")] {
        assert_eq!(app.status_with(&token(&app, key, kid)).await, 200, "{kid}");
        let swapped = if kid == "ada" { "bob" } else { "ada" };
        assert_rejected(&app, &token(&app, key, swapped), &AuthError::BadSignature).await;
    }
    assert_eq!(keys.requests(), 2, "a known key causes no fetch");
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 2.0);
}

#[tokio::test]
async fn rotation_of_the_emulator_is_picked_up() {
    let app = App::start(&[]).await;
    let first = app.cognito.token();
    assert_eq!(app.status_with(&first).await, 200);
    app.cognito.rotate(false);
    assert_eq!(app.status_with(&app.cognito.token()).await, 200);
    assert_rejected(&app, &first, &AuthError::UnknownKey).await;
    assert_eq!(app.cognito.jwks_fetches(), 2);
}

#[tokio::test]
async fn revoking_a_key_evicts_its_cached_tokens() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada"), BOB.jwk("bob")])).await;
    let app = app_with(&keys, &[FREQUENT_REFRESH]).await;
    let (revoked, valid) = (token(&app, &ADA, "ada"), token(&app, &BOB, "bob"));
    for token in [&revoked, &revoked, &valid, &valid] {
        assert_eq!(app.status_with(token).await, 200);
    }
    assert_eq!(hits(&app).await, 2.0);
    keys.set(KeyResponse::keys([BOB.jwk("bob")]));
    until("the key is revoked", async || {
        app.status_with(&revoked).await == 401
    })
    .await;
    assert_rejected(&app, &revoked, &AuthError::UnknownKey).await;
    assert_eq!(app.status_with(&valid).await, 200);
}

#[tokio::test]
async fn replacing_a_key_under_its_kid_evicts_its_cached_tokens() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("key")])).await;
    let app = app_with(&keys, &[FREQUENT_REFRESH]).await;
    let (old, new) = (token(&app, &ADA, "key"), token(&app, &BOB, "key"));
    for _ in 0..2 {
        assert_eq!(app.status_with(&old).await, 200);
    }
    assert_eq!(hits(&app).await, 1.0);
    assert_rejected(&app, &new, &AuthError::BadSignature).await;
    keys.set(KeyResponse::keys([BOB.jwk("key")]));
    until("the key has changed", async || app.status_with(&old).await == 401).await;
    assert_rejected(&app, &old, &AuthError::BadSignature).await;
    assert_eq!(app.status_with(&new).await, 200);

    keys.set(KeyResponse::keys([ADA.jwk("key")]));
    until("the old key is back", async || app.status_with(&old).await == 200).await;
    assert_rejected(&app, &new, &AuthError::BadSignature).await;
}
