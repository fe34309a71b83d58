//! Metrics of the calls.

use std::time::Duration;

use super::{app_with, status};
use crate::support::clock::PacedClock;
use crate::support::until;
use crate::support::upstream::{FakeUpstream, Reply};

const ATTEMPTS: &str = "http_client_request_duration_seconds_count";

#[tokio::test]
async fn every_series_exists_before_the_first_call() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &[]).await;
    let text = app.admin("/metrics").await.text().await.expect("UTF-8");
    let url = upstream.url();
    let port = url.rsplit(':').next().and_then(|rest| rest.split('/').next());
    let port = port.expect("a port");
    let text = text.replace(
        &format!("http_request_method=\"POST\",server_port=\"{port}\","),
        "",
    );
    for series in [
        "http_client_request_duration_seconds_count{server_address=\"127.0.0.1\",http_response_status_code=\"200\",error_type=\"\"} 0",
        "http_client_request_duration_seconds_count{server_address=\"127.0.0.1\",http_response_status_code=\"503\",error_type=\"transient_status\"} 0",
        "http_client_request_duration_seconds_count{server_address=\"127.0.0.1\",http_response_status_code=\"\",error_type=\"timeout\"} 0",
        "http_client_request_duration_seconds_count{server_address=\"127.0.0.1\",http_response_status_code=\"\",error_type=\"tls\"} 0",
        "http_client_request_duration_seconds_count{server_address=\"127.0.0.1\",http_response_status_code=\"200\",error_type=\"closed\"} 0",
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
    let script = [Reply::Status(503), Reply::Reset(""), Reply::Stall, Reply::Shout];
    let upstream = FakeUpstream::start(script).await;
    let app = app_with(&upstream, &[("SHOUTCLOUD_MAX_RETRIES", "3")]).await;
    let _clock = PacedClock::start();
    assert_eq!(status(&app).await, 200);
    for (status, error_type) in [
        ("503", "transient_status"),
        ("", "reset"),
        ("", "timeout"),
        ("200", ""),
    ] {
        let labels = [
            &*format!("http_response_status_code=\"{status}\""),
            &*format!("error_type=\"{error_type}\""),
        ];
        assert_eq!(app.metric(ATTEMPTS, &labels).await, 1.0, "{labels:?}");
    }
    for reason in ["transient_status", "reset", "timeout"] {
        let labels = [&*format!("reason=\"{reason}\"")];
        assert_eq!(
            app.metric("shoutback_upstream_retries_total", &labels).await,
            1.0,
            "{reason}"
        );
    }
    // The budget was at its capacity of 10; three retries were withdrawn.
    assert_eq!(app.metric("shoutback_retry_budget_remaining", &[]).await, 7.0);
    upstream.set([Reply::Status(404)]);
    assert_eq!(status(&app).await, 502);
    let labels = [
        "http_response_status_code=\"404\"",
        "error_type=\"unexpected_status\"",
    ];
    assert_eq!(app.metric(ATTEMPTS, &labels).await, 1.0);
    upstream.set([Reply::body("<html>")]);
    assert_eq!(status(&app).await, 502);
    let labels = ["http_response_status_code=\"200\"", "error_type=\"unreadable\""];
    assert_eq!(app.metric(ATTEMPTS, &labels).await, 1.0);
    assert_eq!(app.metric(ATTEMPTS, &[]).await, 6.0);
}

#[tokio::test]
async fn an_unusable_200_has_its_status() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    let _clock = PacedClock::start();
    let long = " ".repeat(10_000);
    for (reply, status_code, error_type) in [
        (Reply::body("<html>"), "200", "unreadable"),
        (Reply::body(&long), "200", "too_long"),
        (Reply::body(r#"{"INPUT":"x","OUTPUT":"X"}"#), "200", "not_a_shout"),
        (
            Reply::Reset("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"),
            "200",
            "reset",
        ),
        (
            Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()),
            "200",
            "closed",
        ),
        (
            Reply::Bytes(b"HTTP/1.1 200 OK\r\n\r\n{".to_vec()),
            "200",
            "closed",
        ),
        (
            Reply::Endless {
                head: "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
                piece: String::new(),
                pause: Duration::from_secs(60),
            },
            "200",
            "timeout",
        ),
        (Reply::Bytes(b"s3cret s3cret\r\n\r\n".to_vec()), "", "unreadable"),
        (Reply::Reset(""), "", "reset"),
        (Reply::Stall, "", "timeout"),
    ] {
        upstream.set([reply]);
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
async fn state_and_transitions_of_the_breaker_are_recorded() {
    let upstream = FakeUpstream::start([Reply::Status(500)]).await;
    let app = app_with(&upstream, &[("BREAKER_MIN_CALLS", "5"), ("BREAKER_PROBES", "2")]).await;
    let _clock = PacedClock::start();
    let state = async |name: &str| {
        let labels = [&*format!("state=\"{name}\"")];
        app.metric("shoutback_breaker_state", &labels).await
    };
    let transitions = async |from: &str, to: &str| {
        let labels = [&*format!("from=\"{from}\""), &*format!("to=\"{to}\"")];
        app.metric("shoutback_breaker_transitions_total", &labels).await
    };
    for _ in 0..6 {
        status(&app).await;
    }
    assert_eq!((state("open").await, state("closed").await), (1.0, 0.0));
    upstream.set([Reply::Shout]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(status(&app).await, 200);
    assert_eq!((state("half_open").await, state("open").await), (1.0, 0.0));
    assert_eq!(status(&app).await, 200);
    assert_eq!((state("closed").await, state("half_open").await), (1.0, 0.0));
    assert_eq!(transitions("closed", "open").await, 1.0);
    assert_eq!(transitions("open", "half_open").await, 1.0);
    assert_eq!(transitions("half_open", "closed").await, 1.0);
    assert_eq!(
        app.metric(ATTEMPTS, &[]).await,
        7.0,
        "a rejected call is no attempt"
    );
}

#[tokio::test]
async fn calls_in_flight_and_queued_are_counted_until_they_end() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(
        &upstream,
        &[("SHOUTCLOUD_MAX_CONCURRENCY", "2"), ("SHOUTCLOUD_MAX_QUEUE", "1")],
    )
    .await;
    let start = || tokio::spawn(app.shout("hi").send());
    let gauges = async || {
        let in_flight = app.metric("shoutback_upstream_in_flight", &[]).await;
        (in_flight, app.metric("shoutback_upstream_queued", &[]).await)
    };
    let requests = [start(), start(), start()];
    until("two calls are in flight and one is queued", async || {
        gauges().await == (2.0, 1.0)
    })
    .await;
    assert_eq!(status(&app).await, 503);
    assert_eq!(app.metric("shoutback_overloaded_total", &[]).await, 1.0);
    for request in requests {
        request.abort();
    }
    until("all have ended", async || gauges().await == (0.0, 0.0)).await;
    assert_eq!(app.metric(ATTEMPTS, &["error_type=\"cancelled\""]).await, 2.0);
}
