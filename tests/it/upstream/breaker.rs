//! The circuit breaker opens, probes and closes.

use std::time::Duration;

use super::{app_with, status};
use crate::support::clock::PacedClock;
use crate::support::settings::LONG_TIMEOUTS;
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{App, assert_problem, send, until};

const SETTINGS: [(&str, &str); 4] = [
    ("BREAKER_MIN_CALLS", "10"),
    ("BREAKER_FAILURE_RATE", "50%"),
    ("BREAKER_OPEN_FOR", "10s"),
    ("BREAKER_PROBES", "2"),
];

/// Fails until the breaker opens, and returns the number of calls that took.
async fn open(app: &App, upstream: &FakeUpstream) -> usize {
    upstream.set([Reply::Status(500)]);
    let before = upstream.calls();
    for requests in 0..100 {
        assert_eq!(status(app).await, 503);
        if upstream.calls() - before == requests {
            return requests;
        }
    }
    panic!("the breaker does not open");
}

/// Asserts that a shout fails while the breaker is open, and returns the seconds of `retry-after`.
async fn rejected(app: &App) -> u64 {
    let response = send(app.shout("hi")).await;
    let retry_after = response.headers()["retry-after"].to_str().expect("ASCII").parse();
    assert_problem(response, 503, "upstream-unavailable").await;
    retry_after.expect("seconds")
}

#[tokio::test]
async fn it_opens_rejects_without_a_call_and_closes_after_probes() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &SETTINGS).await;
    let _clock = PacedClock::start();
    assert_eq!(open(&app, &upstream).await, 10);
    let calls = upstream.calls();
    // 10 s with a tenth of jitter, of which little has passed.
    let first = rejected(&app).await;
    assert!((9..=11).contains(&first), "{first}");
    for _ in 0..50 {
        assert!(rejected(&app).await <= first);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let later = rejected(&app).await;
    assert!(later <= first - 4 && later >= 4, "{later} after {first}");
    assert_eq!(upstream.calls(), calls, "no calls");
    upstream.set([Reply::Shout]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    for _ in 0..50 {
        assert_eq!(status(&app).await, 200);
    }
    assert_eq!(upstream.calls(), calls + 50);
    // The two probes closed it; the window holds the other 48.
    assert_eq!(open(&app, &upstream).await, 48, "half of the window failed");
}

#[tokio::test]
async fn an_open_breaker_rejects_retries() {
    let upstream = FakeUpstream::start([Reply::Status(500)]).await;
    let mut settings = SETTINGS.to_vec();
    settings.extend([
        ("SHOUTCLOUD_MAX_RETRIES", "100"),
        ("SHOUTCLOUD_RETRY_RESERVE", "1000"),
    ]);
    let app = app_with(&upstream, &settings).await;
    let _clock = PacedClock::start();
    let first = rejected(&app).await;
    assert_eq!(upstream.calls(), 10, "each attempt counts");
    assert!((9..=11).contains(&first), "the remaining time: {first}");
    let withdrawn = 1_000.0 - app.metric("shoutback_retry_budget_remaining", &[]).await;
    assert_eq!(withdrawn, 9.0, "nothing is withdrawn for a rejected retry");
}

#[tokio::test]
async fn half_open_it_accepts_probes_and_rejects_the_rest_for_a_second() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &SETTINGS).await;
    let _clock = PacedClock::start();
    open(&app, &upstream).await;
    let calls = upstream.calls();
    upstream.set([Reply::DrippedShout {
        pause: Duration::from_millis(20),
    }]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let probe = || tokio::spawn(app.shout("hi").send());
    let probes = [probe(), probe()];
    upstream.wait_in_flight(2).await;
    for _ in 0..5 {
        assert_eq!(rejected(&app).await, 1);
    }
    assert_eq!(upstream.calls(), calls + 2);
    for probe in probes {
        assert_eq!(probe.await.expect("no panic").expect("a response").status(), 200);
    }
    upstream.set([Reply::Shout]);
    assert_eq!(status(&app).await, 200);
}

#[tokio::test]
async fn a_failed_probe_reopens_it() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &SETTINGS).await;
    let _clock = PacedClock::start();
    open(&app, &upstream).await;
    for _ in 0..3 {
        let calls = upstream.calls();
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(status(&app).await, 503);
        assert!(rejected(&app).await >= 9);
        assert_eq!(upstream.calls(), calls + 1, "one probe");
    }
}

#[tokio::test]
async fn it_closes_although_clients_of_probes_disconnected() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &SETTINGS).await;
    let _clock = PacedClock::start();
    open(&app, &upstream).await;
    upstream.set([Reply::Stall]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    for _ in 0..10 {
        let request = tokio::spawn(app.shout("hi").send());
        upstream.wait_in_flight(1).await;
        request.abort();
        upstream.wait_in_flight(0).await;
    }
    upstream.set([Reply::Shout]);
    for _ in 0..5 {
        assert_eq!(status(&app).await, 200);
    }
}

#[tokio::test]
async fn slow_calls_open_it_if_that_is_configured() {
    let pause = Duration::from_millis(20);
    for (slow_call, opens) in [("400ms", true), ("2s", false)] {
        let upstream = FakeUpstream::start([Reply::DrippedShout { pause }]).await;
        let mut settings = SETTINGS.to_vec();
        settings.extend([("BREAKER_SLOW_CALL", slow_call), ("BREAKER_SLOW_RATE", "100%")]);
        let app = app_with(&upstream, &settings).await;
        let _clock = PacedClock::start();
        for _ in 0..10 {
            assert_eq!(status(&app).await, 200);
        }
        assert_eq!(status(&app).await, if opens { 503 } else { 200 }, "{slow_call}");
    }
}

#[tokio::test]
async fn a_success_or_a_permanent_4xx_never_opens_it() {
    for (reply, expected) in [(Reply::Shout, 200), (Reply::Status(413), 502)] {
        let upstream = FakeUpstream::start([Reply::Status(500)]).await;
        let app = app_with(&upstream, &SETTINGS).await;
        let _clock = PacedClock::start();
        // One failure fewer than the minimum of calls.
        for _ in 0..9 {
            assert_eq!(status(&app).await, 503);
        }
        upstream.set([reply]);
        for _ in 0..8 {
            assert_eq!(status(&app).await, expected);
        }
        // The tenth failure of 18 attempts.
        upstream.set([Reply::Status(500)]);
        assert_eq!(status(&app).await, 503);
        let calls = upstream.calls();
        assert!(rejected(&app).await >= 9, "{expected}: a failure opens it");
        assert_eq!(upstream.calls(), calls);
    }
}

#[tokio::test]
async fn permanent_4xx_responses_to_the_probes_close_it() {
    for statuses in [[404, 404], [403, 410]] {
        let upstream = FakeUpstream::shouting().await;
        let app = app_with(&upstream, &SETTINGS).await;
        let _clock = PacedClock::start();
        open(&app, &upstream).await;
        upstream.set(statuses.map(Reply::Status));
        tokio::time::sleep(Duration::from_secs(11)).await;
        for expected in ["half_open", "closed"] {
            assert_eq!(status(&app).await, 502);
            let label = [&*format!("state=\"{expected}\"")];
            assert_eq!(app.metric("shoutback_breaker_state", &label).await, 1.0);
        }
        // Every caller gets the permanent error now, and none a `retry-after`.
        for _ in 0..20 {
            let response = send(app.shout("hi")).await;
            assert!(!response.headers().contains_key("retry-after"));
            assert_problem(response, 502, "upstream-invalid").await;
        }
    }
}

#[tokio::test]
async fn a_retry_that_the_breaker_rejects_is_neither_counted_nor_paid_for() {
    const CALLS: usize = 40;
    // All first attempts fail at the same time, so every call decides to retry before the breaker opens.
    let first_attempts = std::iter::repeat_n(Reply::Held, CALLS);
    let upstream = FakeUpstream::start(first_attempts.chain([Reply::Status(500)])).await;
    let settings = [
        ("BREAKER_MIN_CALLS", "45"),
        ("SHOUTCLOUD_MAX_RETRIES", "3"),
        ("SHOUTCLOUD_RETRY_RESERVE", "200"),
        ("SHOUTCLOUD_RETRY_BUDGET", "0%"),
    ];
    let app = app_with(&upstream, &[&settings[..], &LONG_TIMEOUTS].concat()).await;
    let calls: Vec<_> = (0..CALLS)
        .map(|call| tokio::spawn(app.shout(&format!("text {call}")).send()))
        .collect();
    upstream.wait_in_flight(CALLS).await;
    upstream.release_with(Reply::Status(500));
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("a response").status(), 503);
    }
    let sent = upstream.calls() - CALLS;
    assert!(sent >= 5, "the breaker opens at the fifth: {sent}");
    let counted = app.metric("shoutback_upstream_retries_total", &[]).await;
    let paid = 200.0 - app.metric("shoutback_retry_budget_remaining", &[]).await;
    assert_eq!((counted, paid), (sent as f64, sent as f64));
}

#[tokio::test]
async fn a_retry_whose_client_leaves_before_it_is_sent_is_not_paid_for() {
    let wait = b"HTTP/1.1 503 s3cret\r\nretry-after: 3\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let upstream = FakeUpstream::start([Reply::Bytes(wait.to_vec())]).await;
    let app = app_with(&upstream, &[("SHOUTCLOUD_MAX_RETRIES", "3")]).await;
    let remaining = async || app.metric("shoutback_retry_budget_remaining", &[]).await;
    let request = tokio::spawn(app.shout("hi").send());
    until("the retry is paid for and waits", async || {
        remaining().await == 9.0
    })
    .await;
    request.abort();
    until("the call has ended", async || {
        app.metric("shoutback_upstream_in_flight", &[]).await == 0.0
    })
    .await;
    assert_eq!(remaining().await, 10.0);
    assert_eq!(app.metric("shoutback_upstream_retries_total", &[]).await, 0.0);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn invalid_responses_open_it_and_reopen_it() {
    for reply in [
        Reply::body("<html>s3cret</html>"),
        Reply::Status(301),
        Reply::Bytes(b"s3cret\r\n\r\n".to_vec()),
    ] {
        let upstream = FakeUpstream::start([reply]).await;
        let app = app_with(&upstream, &SETTINGS).await;
        let _clock = PacedClock::start();
        for _ in 0..10 {
            assert_eq!(status(&app).await, 502);
        }
        rejected(&app).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(status(&app).await, 502, "a probe");
        assert!(rejected(&app).await >= 9, "the probe failed");
    }
}

#[tokio::test]
async fn attempts_that_the_deadline_cuts_short_open_it_like_timeouts() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let mut settings = SETTINGS.to_vec();
    settings.extend([
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "3s"),
        ("SHOUTCLOUD_DEADLINE", "3s"),
    ]);
    let app = app_with(&upstream, &settings).await;
    let _clock = PacedClock::start();
    for _ in 0..10 {
        assert_eq!(status(&app).await, 504);
    }
    rejected(&app).await;
    assert_eq!(upstream.calls(), 10);
}

#[tokio::test]
async fn attempts_that_the_deadline_cuts_short_count_if_they_are_slow_by_then() {
    for (slow_call, opens) in [("1s", true), ("3900ms", false)] {
        let upstream = FakeUpstream::start([Reply::Stall]).await;
        let mut settings = SETTINGS.to_vec();
        settings.extend([
            ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "4s"),
            ("SHOUTCLOUD_DEADLINE", "7s"),
            ("SHOUTCLOUD_MAX_RETRIES", "1"),
            ("BREAKER_SLOW_CALL", slow_call),
            ("BREAKER_WINDOW", "5m"),
            ("BREAKER_FAILURE_RATE", "100%"),
            ("BREAKER_SLOW_RATE", "100%"),
        ]);
        let app = app_with(&upstream, &settings).await;
        let _clock = PacedClock::start();
        // Per call: an attempt of 4 s that times out, and one that the deadline cuts short after 3 s.
        for _ in 0..5 {
            assert_eq!(status(&app).await, 504);
        }
        assert_eq!(upstream.calls(), 10);
        assert_eq!(status(&app).await, if opens { 503 } else { 504 }, "{slow_call}");
    }
}
