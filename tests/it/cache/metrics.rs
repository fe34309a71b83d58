//! What can be seen of shouts: whose, how they ended, where they came from, and what the cache spared.

use super::{Does, Upstream, app_with, cache_status, send};
use crate::support::{App, until};

const SHOUTS: &str = "shoutback_shouts_total";
const TIMES: &str = "shoutback_shout_duration_seconds_count";
const LOOK_UPS: &str = "shoutback_cache_requests_total";

/// Every series of `name` that is not at 0, as `its labels' values: value`.
async fn counted(app: &App, name: &str) -> Vec<String> {
    let text = app.admin("/metrics").await.text().await.expect("UTF-8");
    let mut counted: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "))
        .filter(|(_, value)| *value != "0")
        .map(|(labels, value)| {
            let values: Vec<_> = labels.split('"').skip(1).step_by(2).collect();
            format!("{}: {value}", values.join(" "))
        })
        .collect();
    counted.sort_unstable();
    counted
}

#[tokio::test]
async fn each_shout_has_one_source() {
    let upstream = Upstream::start(Does::Shouts).await;
    let app = app_with(&upstream, &[("CACHE_TTL", "1h")]).await;
    let client = app.cognito.client().id.clone();
    for text in ["", "hi", "hi", "hi"] {
        assert_eq!(send(app.shout(text)).await.status(), 200);
    }
    let renewed = app.shout("hi").header("cache-control", "no-cache");
    assert_eq!(send(renewed).await.status(), 200);
    assert_eq!(
        counted(&app, SHOUTS).await,
        [
            format!("{client} success cache: 2"),
            format!("{client} success none: 1"),
            format!("{client} success upstream: 2"),
        ]
    );
    assert_eq!(counted(&app, TIMES).await, ["cache: 2", "none: 1", "upstream: 2"]);
    assert_eq!(counted(&app, LOOK_UPS).await, ["bypass: 1", "hit: 2", "miss: 1"]);
    let kept = app.metric("shoutback_cache_bytes", &[]).await;
    assert!(kept > 0.0, "{kept}");
    assert_eq!(send(app.shout("a longer text")).await.status(), 200);
    assert!(app.metric("shoutback_cache_bytes", &[]).await > kept);
}

#[tokio::test]
async fn who_waits_for_the_same_call_is_counted_as_such() {
    let upstream = Upstream::start(Does::Waits).await;
    let app = app_with(&upstream, &[]).await;
    let client = app.cognito.client().id.clone();
    let asked = [(); 3].map(|()| tokio::spawn(app.shout("hi").send()));
    until("all three have looked", async || {
        app.metric(LOOK_UPS, &["miss"]).await == 3.0
    })
    .await;
    upstream.now(Does::Fails(503));
    for asked in asked {
        let answer = asked.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status(), 503);
    }
    assert_eq!(upstream.calls(), 1);
    assert_eq!(
        counted(&app, SHOUTS).await,
        [
            format!("{client} upstream-unavailable coalesced: 2"),
            format!("{client} upstream-unavailable upstream: 1"),
        ]
    );
}

#[tokio::test]
async fn stale_answers_and_capitals_of_our_own_can_be_told_from_good_ones() {
    let upstream = Upstream::start(Does::Shouts).await;
    let variables = [("CACHE_TTL", "0ms"), ("SHOUTCLOUD_FALLBACK", "local")];
    let app = app_with(&upstream, &variables).await;
    let client = app.cognito.client().id.clone();
    assert_eq!(send(app.shout("hi")).await.status(), 200);
    upstream.now(Does::Fails(503));
    for (text, status) in [
        ("hi", "shoutback; hit; detail=stale-if-error"),
        ("ho", "shoutback; fwd=miss; detail=local-fallback"),
    ] {
        assert_eq!(cache_status(&send(app.shout(text)).await), status);
    }
    assert_eq!(
        counted(&app, SHOUTS).await,
        [
            format!("{client} success fallback: 1"),
            format!("{client} success stale: 1"),
            format!("{client} success upstream: 1"),
        ]
    );
    assert_eq!(counted(&app, LOOK_UPS).await, ["miss: 2", "stale: 1"]);
}

#[tokio::test]
async fn a_client_that_goes_away_is_counted_but_not_timed() {
    let upstream = Upstream::start(Does::Waits).await;
    let app = app_with(&upstream, &[("CACHE_CAPACITY", "0")]).await;
    let client = app.cognito.client().id.clone();
    let asked = tokio::spawn(app.shout("hi").send());
    upstream.called(1).await;
    asked.abort();
    until("it is counted", async || {
        counted(&app, SHOUTS).await == [format!("{client} cancelled none: 1")]
    })
    .await;
    assert!(counted(&app, TIMES).await.is_empty());
    assert_eq!(counted(&app, LOOK_UPS).await, ["bypass: 1"]);
}

#[tokio::test]
async fn what_is_refused_before_is_no_shout() {
    let upstream = Upstream::start(Does::Shouts).await;
    let app = app_with(&upstream, &[]).await;
    assert_eq!(app.status_with("no token").await, 401);
    let unreadable = app.shout("hi").header("content-type", "application/json");
    assert_eq!(send(unreadable).await.status(), 415);
    assert!(counted(&app, SHOUTS).await.is_empty());
    assert!(counted(&app, LOOK_UPS).await.is_empty());
}
