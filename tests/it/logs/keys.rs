//! What is logged of fetched key sets.

use serde_json::{Value, json};

use super::{NO_UPSTREAM, settings};
use crate::process::child::Process;
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::ADA;
use crate::support::{POOL_ID, until};

/// Returns the lines about key sets of a process that has fetched this one.
async fn refreshes(keys: impl Into<Vec<Value>>) -> Vec<Value> {
    let server = KeyServer::start(KeyResponse::keys(keys)).await;
    let url = server.url();
    let variables = [
        ("AUTH_MODE", "cognito"),
        ("COGNITO_USER_POOL_IDS", POOL_ID),
        ("COGNITO_CLIENT_IDS", "app"),
        ("COGNITO_JWKS_ENDPOINT", &url),
        ("COGNITO_JWKS_REFRESH", "100ms"),
    ];
    let service = Process::start(&["serve"], &settings(NO_UPSTREAM, &variables));
    until("a set was processed and another is fetched", async || {
        server.requests() >= 2
    })
    .await;
    service.signal("TERM");
    let mut lines = service.ended().await.log();
    lines.retain(|line| line["event.action"] == "key-refresh");
    lines
}

#[tokio::test]
async fn a_key_set_is_logged_if_it_has_unusable_keys() {
    assert_eq!(refreshes([ADA.jwk("ada")]).await, Vec::<Value>::new());
    let lines = refreshes([ADA.jwk("ada"), json!({"kty": "oct", "kid": "symmetric"})]).await;
    let line = lines.first().expect("a line");
    assert_eq!(line["log.level"], "warn", "{line:#}");
    assert_eq!(line["shoutback.keys.usable"], 1, "{line:#}");
    assert_eq!(line["shoutback.keys.skipped"], 1, "{line:#}");
}
