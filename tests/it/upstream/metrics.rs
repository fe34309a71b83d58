//! What can be seen of the calls.

use std::time::Duration;

use super::app_with;
use super::script::{Part, Script};
use crate::support::clock::Paced;
use crate::support::{App, until};

const ATTEMPTS: &str = "http_client_request_duration_seconds_count";

async fn status(app: &App) -> u16 {
    app.shout("hi").send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn every_series_is_there_before_the_first_call() {
    let script = Script::start([Part::Shout]).await;
    let app = app_with(&script.server, &[]).await;
    let text = app.admin("/metrics").await.text().await.expect("UTF-8");
    for series in [
        "http_client_request_duration_seconds_count{server_address=\"127.0.0.1\",http_response_status_code=\"200\",error_type=\"\"} 0",
        "http_client_request_duration_seconds_count{server_address=\"127.0.0.1\",http_response_status_code=\"503\",error_type=\"transient_status\"} 0",
        "http_client_request_duration_seconds_count{server_address=\"127.0.0.1\",http_response_status_code=\"\",error_type=\"timeout\"} 0",
        "shoutback_upstream_retries_total{reason=\"timeout\"} 0",
        "shoutback_retry_budget_remaining 10",
        "shoutback_breaker_state{state=\"closed\"} 1",
        "shoutback_breaker_state{state=\"open\"} 0",
        "shoutback_breaker_transitions_total{from=\"closed\",to=\"open\"} 0",
        "shoutback_upstream_in_flight 0",
        "shoutback_upstream_queued 0",
        "shoutback_overloaded_total 0",
    ] {
        assert!(text.lines().any(|line| line == series), "{series}:\n{text}");
    }
}

#[tokio::test]
async fn each_attempt_is_one_observation_and_each_retry_has_a_reason() {
    let parts = [
        Part::status("503 s3cret"),
        Part::Reset(""),
        Part::Stall,
        Part::Shout,
    ];
    let script = Script::start(parts).await;
    let app = app_with(&script.server, &[("SHOUTCLOUD_MAX_RETRIES", "3")]).await;
    let _clock = Paced::start();
    assert_eq!(status(&app).await, 200);
    for (status, error_type) in [
        ("503", "transient_status"),
        ("", "connection"),
        ("", "timeout"),
        ("200", ""),
    ] {
        let labels = [
            &*format!("http_response_status_code=\"{status}\""),
            &*format!("error_type=\"{error_type}\""),
        ];
        assert_eq!(app.metric(ATTEMPTS, &labels).await, 1.0, "{labels:?}");
    }
    for reason in ["transient_status", "connection", "timeout"] {
        let labels = [&*format!("reason=\"{reason}\"")];
        assert_eq!(
            app.metric("shoutback_upstream_retries_total", &labels).await,
            1.0,
            "{reason}"
        );
    }
    // 10, a fifth for the call that is lost above 10, three retries.
    assert_eq!(app.metric("shoutback_retry_budget_remaining", &[]).await, 7.0);
    script.then([Part::status("404 s3cret")]);
    assert_eq!(status(&app).await, 502);
    let labels = [
        "http_response_status_code=\"404\"",
        "error_type=\"unexpected_status\"",
    ];
    assert_eq!(app.metric(ATTEMPTS, &labels).await, 1.0);
    script.then([Part::body("<html>")]);
    assert_eq!(status(&app).await, 502);
    let labels = ["http_response_status_code=\"200\"", "error_type=\"unreadable\""];
    assert_eq!(app.metric(ATTEMPTS, &labels).await, 1.0);
    assert_eq!(app.metric(ATTEMPTS, &[]).await, 6.0);
}

#[tokio::test]
async fn an_unusable_200_has_its_status() {
    let script = Script::start([Part::Stall]).await;
    let app = app_with(&script.server, &[]).await;
    let _clock = Paced::start();
    let long = " ".repeat(10_000);
    for (part, status_code, error_type) in [
        (Part::body("<html>"), "200", "unreadable"),
        (Part::body(&long), "200", "too_long"),
        (Part::body(r#"{"INPUT":"x","OUTPUT":"X"}"#), "200", "not_a_shout"),
        (
            Part::Reset("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"),
            "200",
            "connection",
        ),
        (
            Part::Endless {
                head: "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
                piece: String::new(),
                pause: Duration::from_secs(60),
            },
            "200",
            "timeout",
        ),
        (Part::Bytes(b"s3cret s3cret\r\n\r\n".to_vec()), "", "unreadable"),
        (Part::Stall, "", "timeout"),
    ] {
        script.then([part]);
        let labels = [
            &*format!("http_response_status_code=\"{status_code}\""),
            &*format!("error_type=\"{error_type}\""),
        ];
        let before = app.metric(ATTEMPTS, &labels).await;
        status(&app).await;
        assert_eq!(app.metric(ATTEMPTS, &labels).await, before + 1.0, "{labels:?}");
    }
}

#[tokio::test]
async fn the_breaker_s_state_is_the_one_it_is_in() {
    let script = Script::start([Part::status("500 s3cret")]).await;
    let app = app_with(
        &script.server,
        &[("BREAKER_MIN_CALLS", "5"), ("BREAKER_PROBES", "2")],
    )
    .await;
    let _clock = Paced::start();
    let state = async |name: &str| {
        let labels = [&*format!("state=\"{name}\"")];
        app.metric("shoutback_breaker_state", &labels).await
    };
    let went = async |from: &str, to: &str| {
        let labels = [&*format!("from=\"{from}\""), &*format!("to=\"{to}\"")];
        app.metric("shoutback_breaker_transitions_total", &labels).await
    };
    for _ in 0..6 {
        status(&app).await;
    }
    assert_eq!((state("open").await, state("closed").await), (1.0, 0.0));
    script.then([Part::Shout]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(status(&app).await, 200);
    assert_eq!((state("half_open").await, state("open").await), (1.0, 0.0));
    assert_eq!(status(&app).await, 200);
    assert_eq!((state("closed").await, state("half_open").await), (1.0, 0.0));
    assert_eq!(went("closed", "open").await, 1.0);
    assert_eq!(went("open", "half_open").await, 1.0);
    assert_eq!(went("half_open", "closed").await, 1.0);
    assert_eq!(app.metric(ATTEMPTS, &[]).await, 7.0, "a refused attempt is none");
}

#[tokio::test]
async fn who_is_under_way_and_who_waits_is_counted_until_they_leave() {
    let script = Script::start([Part::Stall]).await;
    let app = app_with(
        &script.server,
        &[("SHOUTCLOUD_MAX_CONCURRENCY", "2"), ("SHOUTCLOUD_MAX_QUEUE", "1")],
    )
    .await;
    let ask = || tokio::spawn(app.shout("hi").send());
    let gauges = async || {
        let in_flight = app.metric("shoutback_upstream_in_flight", &[]).await;
        (in_flight, app.metric("shoutback_upstream_queued", &[]).await)
    };
    let asked = [ask(), ask(), ask()];
    until("two are under way and one waits", async || {
        gauges().await == (2.0, 1.0)
    })
    .await;
    assert_eq!(status(&app).await, 503);
    assert_eq!(app.metric("shoutback_overloaded_total", &[]).await, 1.0);
    for asked in asked {
        asked.abort();
    }
    until("all have left", async || gauges().await == (0.0, 0.0)).await;
    assert_eq!(app.metric(ATTEMPTS, &["error_type=\"cancelled\""]).await, 2.0);
}
