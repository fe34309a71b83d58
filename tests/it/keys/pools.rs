//! Two pools in one application share nothing.

use serde_json::json;
use shoutback::auth::AuthError;

use super::{OTHER_POOL, app_with, assert_refused, assert_unavailable, token, token_of_other_pool};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY};
use crate::support::{POOL_ID, changed};

#[tokio::test]
async fn pools_that_share_a_kid_share_nothing_else() {
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
        assert_refused(&app, &token(&app, &BOB, "key"), &AuthError::BadSignature).await;
        let crossed = token_of_other_pool(&app, &ADA, "key");
        assert_refused(&app, &crossed, &AuthError::BadSignature).await;
    }

    assert_refused(&app, &token(&app, &MALLORY, "stranger"), &AuthError::UnknownKey).await;
    assert_eq!((keys.requests(), keys.requests_for(OTHER_POOL)), (2, 1));
    keys.set_for(OTHER_POOL, KeyResponse::keys([MALLORY.jwk("new")]));
    assert_eq!(
        app.status_with(&token_of_other_pool(&app, &MALLORY, "new")).await,
        200,
        "the bar of one pool is not the other's"
    );
    assert_eq!((keys.requests(), keys.requests_for(OTHER_POOL)), (2, 2));
    for pool in [POOL_ID, OTHER_POOL] {
        let label = format!("pool=\"{pool}\"");
        assert_eq!(app.metric("shoutback_jwks_keys", &[&label]).await, 1.0);
    }
}

#[tokio::test]
async fn an_outage_of_one_pool_is_not_the_others() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    keys.set_for(OTHER_POOL, KeyResponse::keys([BOB.jwk("bob")]));
    let pools = format!("{POOL_ID},{OTHER_POOL}");
    let app = app_with(&keys, &[("COGNITO_USER_POOL_IDS", &pools)]).await;
    keys.set(KeyResponse::of(500, "{}"));
    assert_unavailable(&app, &token(&app, &MALLORY, "stranger")).await;
    let stranger = token_of_other_pool(&app, &MALLORY, "stranger");
    assert_refused(&app, &stranger, &AuthError::UnknownKey).await;
    let elsewhere = changed(app.cognito.claims(), &[("iss", json!(keys.url()))]);
    let fetches = keys.requests_for_all();
    assert_refused(
        &app,
        &MALLORY.token("stranger", &elsewhere),
        &AuthError::UnknownIssuer,
    )
    .await;
    assert_eq!(keys.requests_for_all(), fetches);
}
