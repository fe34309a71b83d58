//! Readiness: once the keys of every pool have been loaded, and permanently from then on.

use serde_json::Value;

use super::{
    FREQUENT_REFRESH, OTHER_POOL, assert_unavailable, refreshes, token, token_of_other_pool, unready_app_with,
};
use crate::support::key_server::{KeyResponse, KeyServer, ReservedPort};
use crate::support::rsa::{ADA, BOB};
use crate::support::{App, POOL_ID, until};

async fn reasons(app: &App) -> (u16, Vec<String>) {
    let response = app.admin("/readyz").await;
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON");
    let reasons = body["reasons"].as_array().expect("a list");
    (
        status,
        reasons
            .iter()
            .map(|reason| reason.as_str().expect("text").to_owned())
            .collect(),
    )
}

#[tokio::test]
async fn ready_permanently_once_every_pool_has_loaded_its_keys() {
    let keys = KeyServer::start(KeyResponse::of(500, "{}")).await;
    let pools = format!("{POOL_ID},{OTHER_POOL}");
    let app = unready_app_with(
        &keys.url(),
        &[
            ("COGNITO_USER_POOL_IDS", &pools),
            FREQUENT_REFRESH,
            ("COGNITO_JWKS_MAX_STALE", "400ms"),
        ],
    )
    .await;
    until("both pools have been requested", async || {
        keys.requests() > 0 && keys.requests_for(OTHER_POOL) > 0
    })
    .await;
    let (status, both) = reasons(&app).await;
    assert_eq!((status, both.len()), (503, 2));
    for pool in [POOL_ID, OTHER_POOL] {
        assert!(both.iter().any(|reason| reason.contains(pool)), "{both:?}");
    }
    assert_unavailable(&app, &token(&app, &ADA, "ada")).await;
    assert_eq!(app.admin("/livez").await.status(), 200);

    keys.set(KeyResponse::keys([ADA.jwk("ada")]));
    until("one pool has loaded its keys", async || {
        reasons(&app).await.1.len() == 1
    })
    .await;
    let (status, one) = reasons(&app).await;
    assert_eq!(status, 503);
    assert!(one[0].contains(OTHER_POOL), "{one:?}");

    keys.set_for(OTHER_POOL, KeyResponse::keys([BOB.jwk("bob")]));
    app.until_ready().await;
    assert_eq!(reasons(&app).await, (200, vec![]));
    drop(keys);
    until("the keys are too stale", async || {
        app.status_with(&token(&app, &ADA, "ada")).await == 503
            && app.status_with(&token_of_other_pool(&app, &BOB, "bob")).await == 503
    })
    .await;
    assert_eq!(reasons(&app).await, (200, vec![]));
}

#[tokio::test]
async fn a_key_server_that_is_down_at_start_is_retried() {
    let reserved = ReservedPort::new();
    let app = unready_app_with(&reserved.url(), &[]).await;
    until("two fetches have failed", async || {
        refreshes(&app, "failure").await >= 2.0
    })
    .await;
    let (status, reasons) = reasons(&app).await;
    assert_eq!((status, reasons.len()), (503, 1));
    assert_eq!(refreshes(&app, "success").await, 0.0);
    let keys = reserved.start(KeyResponse::keys([ADA.jwk("ada")]));
    app.until_ready().await;
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
    assert_eq!(keys.requests(), 1);
    app.stop().await;
}
