//! The fetches of keys.

use crate::support::collector::Collector;
use crate::support::key_server::{Answer, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::{App, until};

use super::{SOON, app_with};

#[tokio::test]
async fn a_fetch_in_the_background_is_a_trace_of_its_own() {
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
async fn a_token_whose_key_has_to_be_fetched_shows_that_in_its_trace() {
    let collector = Collector::start().await;
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&collector, &[("COGNITO_JWKS_ENDPOINT", &keys.url())]).await;
    collector.expect("GET", 1).await;
    keys.set(Answer::Stall);
    let asked = keys.requests();
    let token = BOB.token("bob", &app.cognito.claims());
    let first = tokio::spawn(app.shout_with(&token, "hi").send());
    until("it is fetched", async || keys.requests() > asked).await;
    let second = tokio::spawn(app.shout_with(&token, "ho").send());
    let looked_up = async || app.metric("shoutback_token_cache_total", &["miss"]).await == 2.0;
    until("both wait", looked_up).await;
    keys.set(Answer::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
    for answer in [first, second] {
        assert_eq!(answer.await.expect("a task").expect("an answer").status(), 200);
    }
    let servers = collector.expect("POST /v1", 2).await;
    let waits = collector.expect("fetch keys", 3).await;
    let fetches = collector.expect("GET", 2).await;
    assert_eq!(
        (waits.len(), fetches.len()),
        (3, 2),
        "one in the background, one for both"
    );
    let fetch = fetches.last().expect("two");
    let began = waits
        .iter()
        .find(|wait| wait.id == fetch.parent)
        .expect("who began it");
    let joined = waits
        .iter()
        .find(|wait| !wait.links.is_empty())
        .expect("who joined it");
    assert_eq!(joined.links, [began.id.as_str()]);
    for wait in [began, joined] {
        assert!(
            servers
                .iter()
                .any(|server| server.id == wait.parent && server.trace == wait.trace)
        );
    }
}

#[tokio::test]
async fn a_fetch_that_fails_says_why() {
    for (answer, error, status) in [
        (Answer::of(500, "s3cret"), "unexpected_status", Some("500")),
        (Answer::of(200, "s3cret"), "not_a_key_set", None),
        (
            Answer::bytes("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
            "connection",
            None,
        ),
        (Answer::Endless, "too_long", None),
    ] {
        let collector = Collector::start().await;
        let keys = KeyServer::start(answer).await;
        let (collector_url, keys_url) = (collector.url(), keys.url());
        let _app = App::start_unready(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector_url),
            ("COGNITO_JWKS_ENDPOINT", &keys_url),
            SOON,
        ])
        .await;
        let fetch = collector.expect("GET", 1).await.remove(0);
        assert_eq!((fetch.attribute("error.type"), fetch.failed), (Some(error), true));
        assert_eq!(fetch.attribute("http.response.status_code"), status, "{error}");
        let waiting = collector.expect("fetch keys", 1).await.remove(0);
        let told = (waiting.attribute("error.type"), waiting.failed);
        assert_eq!(told, (Some("keys_unavailable"), true), "{error}");
    }
}
