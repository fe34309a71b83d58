//! What is answered when SHOUTCLOUD cannot be had: something stale, capitals of our own, or the error.

use std::time::Duration;

use reqwest::Response;

use super::{Does, HIT, ONE_CALL, STALE, STORED, Upstream, app_with, assert_shout, cache_status, send};
use crate::api::wire::{Answer, Connection};
use crate::support::{App, assert_problem, until};

/// Everything is stale at once.
const AT_ONCE: (&str, &str) = ("CACHE_TTL", "0ms");
const LOCAL: (&str, &str) = ("SHOUTCLOUD_FALLBACK", "local");

fn timed(response: &Response) -> bool {
    let timing = response.headers()["server-timing"].to_str().expect("ASCII");
    timing.contains("upstream;dur=")
}

#[tokio::test]
async fn a_stale_answer_replaces_502_and_503() {
    for (failure, status, name) in [(400, 502, "upstream-invalid"), (503, 503, "upstream-unavailable")] {
        let upstream = Upstream::start(Does::Shouts).await;
        let app = app_with(&upstream, &[AT_ONCE]).await;
        assert_shout(app.shout("hi"), STORED).await;
        upstream.now(Does::Fails(failure));
        for _ in 0..2 {
            let response = send(app.shout("hi")).await;
            assert!(timed(&response), "the upstream was waited for");
            assert_eq!(response.status(), 200);
            assert_eq!(cache_status(&response), STALE);
            assert_eq!(response.text().await.expect("UTF-8"), "IH");
        }
        assert_eq!(upstream.calls(), 3, "each of them tries");
        let as_json = app.shout("hi").header("accept", "application/json");
        let response = send(as_json).await;
        assert_eq!(cache_status(&response), STALE);
        assert_eq!(response.text().await.expect("UTF-8"), r#"{"data":"IH"}"#);
        for (directive, cache) in [
            ("no-cache", "shoutback; fwd=request"),
            ("no-store", "shoutback; fwd=bypass"),
        ] {
            let refused = send(app.shout("hi").header("cache-control", directive)).await;
            assert_eq!(cache_status(&refused), cache, "nothing stale is read");
            assert_problem(refused, status, name).await;
        }
        let other = send(app.shout("ho")).await;
        assert_eq!(cache_status(&other), "shoutback; fwd=miss");
        assert_problem(other, status, name).await;
        upstream.now(Does::Shouts);
        assert_shout(app.shout("hi"), STORED).await;
    }
}

#[tokio::test]
async fn a_stale_answer_replaces_503_of_an_upstream_that_is_gone() {
    let upstream = Upstream::start(Does::Shouts).await;
    let app = app_with(&upstream, &[AT_ONCE]).await;
    assert_shout(app.shout("hi"), STORED).await;
    drop(upstream);
    assert_shout(app.shout("hi"), STALE).await;
}

/// A request whose body is late, so that its own time is over while the upstream is being called.
async fn late(app: &App, text: &str) -> Answer {
    let mut connection = Connection::open(app.public).await;
    connection
        .send(format!(
            "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: text/plain\r\n\
             content-length: 2\r\n\r\n",
            app.cognito.token()
        ))
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    connection.send(text).await;
    connection.answer().await
}

#[tokio::test]
async fn a_stale_answer_replaces_504() {
    let upstream = Upstream::start(Does::Shouts).await;
    let times = [
        AT_ONCE,
        ("REQUEST_TIMEOUT", "3s"),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "2900ms"),
        ("SHOUTCLOUD_DEADLINE", "2900ms"),
    ];
    let app = app_with(&upstream, &times).await;
    assert_shout(app.shout("hi"), STORED).await;
    upstream.now(Does::Waits);
    let (stale, error) = tokio::join!(late(&app, "hi"), late(&app, "ho"));
    assert_eq!((stale.status, stale.body.as_str()), (200, "IH"));
    assert_eq!(stale.header("cache-status"), Some(STALE));
    assert_eq!(error.status, 504);
    assert_eq!(error.problem(), "upstream-timeout");
    assert_eq!(error.header("cache-status"), Some("shoutback; fwd=miss"));
}

#[tokio::test]
async fn a_stale_answer_is_too_old_in_the_end() {
    let upstream = Upstream::start(Does::Shouts).await;
    let app = app_with(&upstream, &[AT_ONCE, ("CACHE_STALE_IF_ERROR", "500ms")]).await;
    // On a machine that stalls here, the first answer may be too old already.
    let stale = async || {
        upstream.now(Does::Shouts);
        assert_shout(app.shout("hi"), STORED).await;
        upstream.now(Does::Fails(503));
        send(app.shout("hi")).await.status() == 200
    };
    until("a stale answer", stale).await;
    let refused = async || {
        let response = send(app.shout("hi")).await;
        let status = response.status();
        let expected = if status == 200 {
            STALE
        } else {
            "shoutback; fwd=miss"
        };
        assert_eq!(cache_status(&response), expected);
        status == 503
    };
    until("an error", refused).await;
}

#[tokio::test]
async fn without_staleness_a_failure_is_an_error() {
    let upstream = Upstream::start(Does::Shouts).await;
    let app = app_with(&upstream, &[AT_ONCE, ("CACHE_STALE_IF_ERROR", "0ms")]).await;
    for _ in 0..2 {
        assert_shout(app.shout("hi"), "shoutback; fwd=miss").await;
    }
    upstream.now(Does::Fails(503));
    assert_problem(send(app.shout("hi")).await, 503, "upstream-unavailable").await;
}

#[tokio::test]
async fn capitals_of_our_own_replace_errors_and_are_not_kept() {
    let upstream = Upstream::start(Does::Shouts).await;
    let app = app_with(&upstream, &[LOCAL]).await;
    for failure in [400, 503] {
        upstream.now(Does::Fails(failure));
        for (directive, forward) in [
            ("max-age=0", "miss"),
            ("max-age=0", "miss"),
            ("no-cache", "request"),
            ("no-store", "bypass"),
        ] {
            let calls = upstream.calls();
            let request = app.shout("ﬁ 🇫🇷 straße").header("cache-control", directive);
            let response = send(request).await;
            assert!(timed(&response), "the upstream was waited for");
            assert_eq!(response.status(), 200);
            assert_eq!(
                cache_status(&response),
                format!("shoutback; fwd={forward}; detail=local-fallback")
            );
            assert_eq!(response.text().await.expect("UTF-8"), "EßARTS 🇫🇷 ﬁ");
            assert_eq!(upstream.calls(), calls + 1);
        }
    }
    upstream.now(Does::Shouts);
    assert_shout(app.shout("hi"), STORED).await;
    assert_shout(app.shout("hi"), HIT).await;
}

#[tokio::test]
async fn without_a_cache_there_are_still_capitals_of_our_own() {
    let upstream = Upstream::start(Does::Fails(503)).await;
    let app = app_with(&upstream, &[LOCAL, ("CACHE_CAPACITY", "0")]).await;
    assert_shout(app.shout("hi"), "shoutback; fwd=bypass; detail=local-fallback").await;
}

#[tokio::test]
async fn a_stale_answer_is_preferred_to_capitals_of_our_own() {
    let upstream = Upstream::start(Does::Shouts).await;
    let app = app_with(&upstream, &[LOCAL, AT_ONCE]).await;
    assert_shout(app.shout("hi"), STORED).await;
    upstream.now(Does::Fails(503));
    assert_shout(app.shout("hi"), STALE).await;
    let anew = app.shout("hi").header("cache-control", "no-cache");
    assert_shout(anew, "shoutback; fwd=request; detail=local-fallback").await;
}

#[tokio::test]
async fn what_the_upstream_would_have_answered_is_what_is_answered() {
    let text = "straße ﬁn ŉ ǰ ΐ ᾀ ǆ ÿ ı ſ 👨‍👩‍👧‍👦 नमस्ते";
    let app = App::start(&[LOCAL, ONE_CALL[0], ONE_CALL[1], ("CACHE_CAPACITY", "0")]).await;
    let theirs = send(app.shout(text)).await;
    assert_eq!(cache_status(&theirs), "shoutback; fwd=bypass");
    app.shoutcloud
        .set_behaviour(shoutback_emulators::shoutcloud::Behaviour {
            failure_rate: 1.0,
            ..Default::default()
        });
    let ours = send(app.shout(text)).await;
    assert_eq!(
        cache_status(&ours),
        "shoutback; fwd=bypass; detail=local-fallback"
    );
    assert_eq!(
        ours.text().await.expect("UTF-8"),
        theirs.text().await.expect("UTF-8")
    );
}
