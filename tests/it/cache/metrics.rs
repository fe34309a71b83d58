//! Metrics of shouts and of the cache.

use super::{COLLAPSED, STALE_AT_ONCE, app_with, cache_status};
use crate::support::settings::NO_CACHE;
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{App, send, until};

const SHOUTS: &str = "shoutback_shouts_total";
const DURATIONS: &str = "shoutback_shout_duration_seconds_count";
const LOOKUPS: &str = "shoutback_cache_requests_total";

/// Returns every series of `name` that is not 0, as `label values: value`.
async fn series(app: &App, name: &str) -> Vec<String> {
    let text = app.admin("/metrics").await.text().await.expect("UTF-8");
    let mut series: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "))
        .filter(|(_, value)| *value != "0")
        .map(|(labels, value)| {
            let values: Vec<_> = labels.split('"').skip(1).step_by(2).collect();
            format!("{}: {value}", values.join(" "))
        })
        .collect();
    series.sort_unstable();
    series
}

#[tokio::test]
async fn each_shout_has_one_source() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &[("CACHE_TTL", "1h")]).await;
    let client = &app.cognito.client().id;
    for text in ["", "hi", "hi", "hi"] {
        assert_eq!(send(app.shout(text)).await.status(), 200);
    }
    let reload = app.shout("hi").header("cache-control", "no-cache");
    assert_eq!(send(reload).await.status(), 200);
    assert_eq!(
        series(&app, SHOUTS).await,
        [
            format!("{client} success cache: 2"),
            format!("{client} success none: 1"),
            format!("{client} success upstream: 2"),
        ]
    );
    assert_eq!(
        series(&app, DURATIONS).await,
        ["cache: 2", "none: 1", "upstream: 2"]
    );
    assert_eq!(series(&app, LOOKUPS).await, ["bypass: 1", "hit: 2", "miss: 1"]);
    let bytes = app.metric("shoutback_cache_bytes", &[]).await;
    assert!(bytes > 0.0, "{bytes}");
    assert_eq!(send(app.shout("a longer text")).await.status(), 200);
    assert!(app.metric("shoutback_cache_bytes", &[]).await > bytes);
}

#[tokio::test]
async fn coalesced_requests_are_counted() {
    let upstream = FakeUpstream::held().await;
    let app = app_with(&upstream, &[]).await;
    let client = &app.cognito.client().id;
    let requests = [(); 3].map(|()| tokio::spawn(app.shout("hi").send()));
    until("all three have joined", async || {
        app.metric(LOOKUPS, &["miss"]).await == 3.0
    })
    .await;
    upstream.release_with(Reply::Status(503));
    let mut collapsed = 0;
    for request in requests {
        let response = request.await.expect("no panic").expect("a response");
        assert_eq!(response.status(), 503);
        collapsed += usize::from(cache_status(&response) == COLLAPSED);
    }
    assert_eq!((collapsed, upstream.calls()), (2, 1));
    assert_eq!(
        series(&app, SHOUTS).await,
        [
            format!("{client} upstream-unavailable coalesced: 2"),
            format!("{client} upstream-unavailable upstream: 1"),
        ]
    );
}

#[tokio::test]
async fn stale_responses_and_fallbacks_are_counted() {
    let upstream = FakeUpstream::start([Reply::Shout, Reply::Status(503)]).await;
    let settings = [STALE_AT_ONCE, ("SHOUTCLOUD_FALLBACK", "local")];
    let app = app_with(&upstream, &settings).await;
    let client = &app.cognito.client().id;
    for text in ["hi", "hi", "ho"] {
        assert_eq!(send(app.shout(text)).await.status(), 200);
    }
    assert_eq!(
        series(&app, SHOUTS).await,
        [
            format!("{client} success fallback: 1"),
            format!("{client} success stale: 1"),
            format!("{client} success upstream: 1"),
        ]
    );
    assert_eq!(series(&app, LOOKUPS).await, ["miss: 2", "stale: 1"]);
}

#[tokio::test]
async fn a_request_whose_client_disconnects_is_counted_but_not_timed() {
    let upstream = FakeUpstream::held().await;
    let app = app_with(&upstream, &[NO_CACHE]).await;
    let client = &app.cognito.client().id;
    let request = tokio::spawn(app.shout("hi").send());
    upstream.called(1).await;
    request.abort();
    until("it is counted", async || {
        series(&app, SHOUTS).await == [format!("{client} cancelled none: 1")]
    })
    .await;
    assert!(series(&app, DURATIONS).await.is_empty());
    assert_eq!(series(&app, LOOKUPS).await, ["bypass: 1"]);
}

#[tokio::test]
async fn a_request_that_is_rejected_earlier_is_not_counted() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &[]).await;
    assert_eq!(app.status_with("no token").await, 401);
    let unsupported = app.shout("hi").header("content-type", "application/json");
    assert_eq!(send(unsupported).await.status(), 415);
    assert!(series(&app, SHOUTS).await.is_empty());
    assert!(series(&app, LOOKUPS).await.is_empty());
}
