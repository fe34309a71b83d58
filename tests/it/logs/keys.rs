//! What is logged of fetched key sets.

use serde_json::{Value, json};

use super::serve_with_keys;
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::ADA;
use crate::support::until;

/// Returns the lines about unusable keys of a process that has fetched this set.
async fn lines_about(keys: impl Into<Vec<Value>>) -> Vec<Value> {
    let server = KeyServer::start(KeyResponse::keys(keys)).await;
    let service = serve_with_keys(&server);
    until("a set was processed and another is fetched", async || {
        server.requests() >= 2
    })
    .await;
    service.signal("TERM");
    let mut lines = service.ended().await.log();
    lines.retain(|line| line.get("shoutback.keys.skipped").is_some());
    lines
}

#[tokio::test]
async fn a_key_set_is_logged_if_it_has_unusable_keys() {
    assert_eq!(lines_about([ADA.jwk("ada")]).await, Vec::<Value>::new());
    let lines = lines_about([ADA.jwk("ada"), json!({"kty": "oct", "kid": "symmetric"})]).await;
    let line = lines.first().expect("a line");
    assert_eq!(line["log.level"], "warn", "{line:#}");
    assert_eq!(line["shoutback.keys.usable"], 1, "{line:#}");
    assert_eq!(line["shoutback.keys.skipped"], 1, "{line:#}");
}
