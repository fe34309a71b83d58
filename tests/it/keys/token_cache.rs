//! The token cache: hits, and eviction when a token expires.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use shoutback::auth::AuthError;

use super::{app_with, assert_rejected, hits, token};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::ADA;
use crate::support::{changed, until};

#[tokio::test]
async fn valid_tokens_are_cached() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    let results = async || {
        let misses = app
            .metric("shoutback_token_cache_total", &[r#"result="miss""#])
            .await;
        (hits(&app).await, misses)
    };
    assert_eq!(results().await, (0.0, 0.0));
    let first = token(&app, &ADA, "ada");
    for expected in [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)] {
        assert_eq!(app.status_with(&first).await, 200);
        assert_eq!(results().await, expected);
    }
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
    assert_eq!(results().await, (2.0, 2.0));
}

#[tokio::test]
async fn cached_tokens_are_rejected_once_expired() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[("AUTH_CLOCK_LEEWAY", "0ms")]).await;
    let mut short_lived = String::new();
    until("a token is cached before it expires", async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let claims = changed(app.cognito.claims(), &[("exp", json!(now.as_secs_f64() + 1.5))]);
        short_lived = ADA.token("ada", &claims);
        let before = hits(&app).await;
        app.status_with(&short_lived).await;
        app.status_with(&short_lived).await;
        hits(&app).await > before
    })
    .await;
    until("it has expired", async || {
        app.status_with(&short_lived).await == 401
    })
    .await;
    assert_rejected(&app, &short_lived, &AuthError::Expired).await;
}
