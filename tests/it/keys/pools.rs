//! Two user pools in one application are isolated.

use serde_json::json;
use shoutback::auth::AuthError;

use super::{OTHER_POOL, app_with, assert_rejected, assert_unavailable, token, token_of_other_pool};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY};
use crate::support::{POOL_ID, changed};

#[tokio::test]
async fn pools_with_the_same_kid_are_isolated() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("key")])).await;
    keys.set_for(OTHER_POOL, KeyResponse::keys([BOB.jwk("key")]));
    let pools = format!("{POOL_ID},{OTHER_POOL}");
    let app = app_with(&keys, &[("COGNITO_USER_POOL_IDS", &pools)]).await;
    for _ in 0..2 {
        assert_eq!(app.status_with(&token(&app, &ADA, "key")).await, 200);
        assert_eq!(
            app.status_with(&token_of_other_pool(&app, &BOB, "key")).await,
            200
        );
        assert_rejected(&app, &token(&app, &BOB, "key"), &AuthError::BadSignature).await;
        let crossed = token_of_other_pool(&app, &ADA, "key");
        assert_rejected(&app, &crossed, &AuthError::BadSignature).await;
    }

    assert_rejected(&app, &token(&app, &MALLORY, "unknown"), &AuthError::UnknownKey).await;
    assert_eq!((keys.requests(), keys.requests_for(OTHER_POOL)), (2, 1));
    keys.set_for(OTHER_POOL, KeyResponse::keys([MALLORY.jwk("new")]));
    assert_eq!(
        app.status_with(&token_of_other_pool(&app, &MALLORY, "new")).await,
        200,
        "the cooldown of one pool does not apply to the other"
    );
    assert_eq!((keys.requests(), keys.requests_for(OTHER_POOL)), (2, 2));
    for pool in [POOL_ID, OTHER_POOL] {
        let label = format!("pool=\"{pool}\"");
        assert_eq!(app.metric("shoutback_jwks_keys", &[&label]).await, 1.0);
    }
}

#[tokio::test]
async fn an_outage_of_one_pool_does_not_affect_the_other() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    keys.set_for(OTHER_POOL, KeyResponse::keys([BOB.jwk("bob")]));
    let pools = format!("{POOL_ID},{OTHER_POOL}");
    let app = app_with(&keys, &[("COGNITO_USER_POOL_IDS", &pools)]).await;
    keys.set(KeyResponse::of(500, "{}"));
    assert_unavailable(&app, &token(&app, &MALLORY, "unknown")).await;
    let unknown = token_of_other_pool(&app, &MALLORY, "unknown");
    assert_rejected(&app, &unknown, &AuthError::UnknownKey).await;
    let elsewhere = changed(app.cognito.claims(), &[("iss", json!(keys.url()))]);
    let fetches = keys.requests_for_all();
    assert_rejected(
        &app,
        &MALLORY.token("unknown", &elsewhere),
        &AuthError::UnknownIssuer,
    )
    .await;
    assert_eq!(keys.requests_for_all(), fetches);
}
