//! Failed calls: stale responses and the local fallback.

use std::time::Duration;

use reqwest::Response;

use super::{NOT_STORED, STALE, STALE_AT_ONCE, STORED, app_with, assert_shout, cache_status};
use crate::support::http1::{self, Connection};
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{App, assert_problem, send};

fn waited_for_upstream(response: &Response) -> bool {
    let timing = response.headers()["server-timing"].to_str().expect("ASCII");
    timing.contains("upstream;dur=")
}

#[tokio::test]
async fn a_stale_response_replaces_502_and_503() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &[STALE_AT_ONCE]).await;
    assert_shout(app.shout("hi"), STORED).await;
    for (failure, status, problem) in [(400, 502, "upstream-invalid"), (503, 503, "upstream-unavailable")] {
        upstream.set([Reply::Status(failure)]);
        let stale = send(app.shout("hi").header("accept", "application/json")).await;
        assert!(waited_for_upstream(&stale));
        assert_eq!(stale.status(), 200);
        assert_eq!(cache_status(&stale), STALE);
        assert_eq!(stale.text().await.expect("UTF-8"), r#"{"data":"IH"}"#);
        for (text, directive, cache) in [
            ("hi", "no-cache", "shoutback; fwd=request"),
            ("hi", "no-store", "shoutback; fwd=bypass"),
            ("ho", "max-age=0", NOT_STORED),
        ] {
            let failed = send(app.shout(text).header("cache-control", directive)).await;
            assert_eq!(cache_status(&failed), cache);
            assert_problem(failed, status, problem).await;
        }
    }
    assert_eq!(upstream.calls(), 9, "every request calls");
}

/// Sends the body late, so that the request times out during the call.
async fn send_late(app: &App, text: &str) -> http1::Response {
    let request = http1::shout(&app.cognito.token(), text);
    let (head, body) = request.split_at(request.len() - text.len());
    let mut connection = Connection::open(app.public).await;
    connection.send(head).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    connection.send(body).await;
    connection.response().await
}

#[tokio::test]
async fn a_stale_response_replaces_504() {
    let upstream = FakeUpstream::start([Reply::Shout, Reply::Stall]).await;
    let settings = [
        STALE_AT_ONCE,
        ("REQUEST_TIMEOUT", "3s"),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "2900ms"),
        ("SHOUTCLOUD_DEADLINE", "2900ms"),
    ];
    let app = app_with(&upstream, &settings).await;
    assert_shout(app.shout("hi"), STORED).await;
    let (stale, failed) = tokio::join!(send_late(&app, "hi"), send_late(&app, "ho"));
    assert_eq!((stale.status, stale.body.as_str()), (200, "IH"));
    assert_eq!(stale.header("cache-status"), Some(STALE));
    assert_eq!(failed.status, 504);
    assert_eq!(failed.problem(), "upstream-timeout");
    assert_eq!(failed.header("cache-status"), Some(NOT_STORED));
}

#[tokio::test]
async fn the_local_fallback_replaces_errors() {
    let upstream = FakeUpstream::start([Reply::Status(503)]).await;
    let app = app_with(&upstream, &[("SHOUTCLOUD_FALLBACK", "local")]).await;
    for (directive, forward) in [
        ("max-age=0", "miss"),
        ("no-cache", "request"),
        ("no-store", "bypass"),
    ] {
        let request = app.shout("ﬁ 🇫🇷 straße").header("cache-control", directive);
        let response = send(request).await;
        assert!(waited_for_upstream(&response));
        assert_eq!(response.status(), 200);
        let expected = format!("shoutback; fwd={forward}; detail=local-fallback");
        assert_eq!(cache_status(&response), expected);
        assert_eq!(response.text().await.expect("UTF-8"), "EßARTS 🇫🇷 ﬁ");
    }
    assert_eq!(upstream.calls(), 3, "fallbacks are not cached");
}
