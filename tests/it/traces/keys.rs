//! Spans of key fetches.

use crate::support::collector::Collector;
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::{App, until};

use super::{NO_DELAY, app_with};

#[tokio::test]
async fn a_background_fetch_has_its_own_trace() {
    let collector = Collector::start().await;
    let app = app_with(&collector, &[]).await;
    let waiting = collector.expect("fetch keys", 1).await.remove(0);
    let fetch = collector.expect("GET", 1).await.remove(0);
    assert_eq!((waiting.kind, waiting.parent.as_str()), ("internal", ""));
    assert_eq!(
        (fetch.kind, &fetch.parent, &fetch.trace),
        ("client", &waiting.id, &waiting.trace)
    );
    let url = format!("{}/.well-known/jwks.json", app.cognito.issuer());
    assert_eq!(fetch.attribute("url.full"), Some(url.as_str()));
    assert_eq!(fetch.attribute("server.address"), Some("127.0.0.1"));
    assert_eq!(fetch.attribute("http.response.status_code"), Some("200"));
    assert!(!fetch.failed && !waiting.failed);
}

#[tokio::test]
async fn a_fetch_for_a_token_is_part_of_its_trace() {
    let collector = Collector::start().await;
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&collector, &[("COGNITO_JWKS_ENDPOINT", &keys.url())]).await;
    collector.expect("GET", 1).await;
    keys.set(KeyResponse::Stall);
    let requests = keys.requests();
    let token = BOB.token("bob", &app.cognito.claims());
    let first = tokio::spawn(app.shout_with(&token, "hi").send());
    until("it is fetched", async || keys.requests() > requests).await;
    let second = tokio::spawn(app.shout_with(&token, "ho").send());
    let looked_up = async || app.metric("shoutback_token_cache_total", &["miss"]).await == 2.0;
    until("both wait", looked_up).await;
    keys.set(KeyResponse::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
    for request in [first, second] {
        assert_eq!(request.await.expect("a task").expect("a response").status(), 200);
    }
    let servers = collector.expect("POST /v1", 2).await;
    let waits = collector.expect("fetch keys", 3).await;
    let fetches = collector.expect("GET", 2).await;
    assert_eq!(
        (waits.len(), fetches.len()),
        (3, 2),
        "one in the background and one for both tokens"
    );
    let fetch = fetches.last().expect("two");
    let leader = waits
        .iter()
        .find(|wait| wait.id == fetch.parent)
        .expect("a leader");
    let follower = waits
        .iter()
        .find(|wait| !wait.links.is_empty())
        .expect("a follower");
    assert_eq!(follower.links, [leader.id.as_str()]);
    for wait in [leader, follower] {
        assert!(
            servers
                .iter()
                .any(|server| server.id == wait.parent && server.trace == wait.trace)
        );
    }
}

#[tokio::test]
async fn a_failed_fetch_has_an_error_type() {
    for (response, error, status) in [
        (KeyResponse::of(500, "s3cret"), "unexpected_status", Some("500")),
        (KeyResponse::of(200, "s3cret"), "not_a_key_set", None),
        (KeyResponse::keys([]), "no_usable_key", None),
        (
            KeyResponse::bytes("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
            "connection",
            None,
        ),
        (KeyResponse::Endless, "too_long", None),
    ] {
        let collector = Collector::start().await;
        let keys = KeyServer::start(response).await;
        let (collector_url, keys_url) = (collector.url(), keys.url());
        let _app = App::start_unready(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector_url),
            ("COGNITO_JWKS_ENDPOINT", &keys_url),
            NO_DELAY,
        ])
        .await;
        let fetch = collector.expect("GET", 1).await.remove(0);
        assert_eq!((fetch.attribute("error.type"), fetch.failed), (Some(error), true));
        assert_eq!(fetch.attribute("http.response.status_code"), status, "{error}");
        let waiting = collector.expect("fetch keys", 1).await.remove(0);
        let error_type = (waiting.attribute("error.type"), waiting.failed);
        assert_eq!(error_type, (Some("keys_unavailable"), true), "{error}");
    }
}
