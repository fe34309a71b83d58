//! SHOUTCLOUD is left alone while too much fails, and called again by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::Barrier;

use super::script::{Part, Script};
use super::{answer, app_with};
use crate::support::clock::Paced;
use crate::support::{App, assert_problem, raw, until};

/// A single attempt a call, so that attempts can be counted.
const RULES: [(&str, &str); 5] = [
    ("SHOUTCLOUD_MAX_RETRIES", "0"),
    ("BREAKER_MIN_CALLS", "10"),
    ("BREAKER_FAILURE_RATE", "50%"),
    ("BREAKER_OPEN_FOR", "10s"),
    ("BREAKER_PROBES", "2"),
];

async fn status(app: &App) -> u16 {
    app.shout("hi").send().await.expect("an answer").status().as_u16()
}

/// Fails until nobody is called any more; returns after how many calls.
async fn open(app: &App, script: &Script) -> usize {
    script.then([Part::status("500 s3cret")]);
    let before = script.attempts().len();
    for asked in 0..100 {
        assert_eq!(status(app).await, 503);
        if script.attempts().len() - before == asked {
            return asked;
        }
    }
    panic!("it never opened");
}

async fn refused(app: &App) -> u64 {
    let response = app.shout("hi").send().await.expect("an answer");
    let retry_after = response.headers()["retry-after"].to_str().expect("ASCII").parse();
    assert_problem(response, 503, "upstream-unavailable").await;
    retry_after.expect("seconds")
}

#[tokio::test]
async fn it_opens_refuses_without_a_call_and_recovers_by_itself() {
    let script = Script::start([Part::Shout]).await;
    let app = app_with(&script.server, &RULES).await;
    let _clock = Paced::start();
    assert_eq!(open(&app, &script).await, 10);
    let calls = script.attempts().len();
    // 10 s and a tenth either way, of which next to nothing has passed.
    let first = refused(&app).await;
    assert!((9..=11).contains(&first), "{first}");
    for _ in 0..50 {
        assert!(refused(&app).await <= first);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let later = refused(&app).await;
    assert!(later <= first - 4 && later >= 4, "{later} after {first}");
    assert_eq!(script.attempts().len(), calls, "nobody was called");
    script.then([Part::Shout]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    for _ in 0..50 {
        assert_eq!(status(&app).await, 200);
    }
    assert_eq!(script.attempts().len(), calls + 50);
    // The two probes closed it; the other 48 count since.
    assert_eq!(open(&app, &script).await, 48, "half of what it has seen failed");
}

#[tokio::test]
async fn a_retry_does_not_pass_an_open_breaker() {
    let script = Script::start([Part::status("500 s3cret")]).await;
    let mut rules = RULES.to_vec();
    rules.extend([
        ("SHOUTCLOUD_MAX_RETRIES", "100"),
        ("SHOUTCLOUD_RETRY_RESERVE", "1000"),
    ]);
    let app = app_with(&script.server, &rules).await;
    let _clock = Paced::start();
    let first = refused(&app).await;
    assert_eq!(script.attempts().len(), 10, "each attempt counts");
    assert!(
        (9..=11).contains(&first),
        "the time that the breaker stays open: {first}"
    );
    let paid = 1_000.0 - app.metric("shoutback_retry_budget_remaining", &[]).await;
    assert_eq!(paid, 9.0, "a retry that would be refused is not paid");
}

#[tokio::test]
async fn half_open_it_lets_so_many_through_and_tells_the_others_to_come_back_in_a_second() {
    let script = Script::start([Part::Shout]).await;
    let app = app_with(&script.server, &RULES).await;
    let _clock = Paced::start();
    open(&app, &script).await;
    let calls = script.attempts().len();
    script.then([Part::DrippedShout {
        pause: Duration::from_millis(20),
    }]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let probe = || tokio::spawn(app.shout("hi").send());
    let probes = [probe(), probe()];
    until("both probes are under way", async || script.under_way() == 2).await;
    for _ in 0..5 {
        assert_eq!(refused(&app).await, 1);
    }
    assert_eq!(script.attempts().len(), calls + 2);
    for probe in probes {
        assert_eq!(probe.await.expect("no panic").expect("an answer").status(), 200);
    }
    script.then([Part::Shout]);
    assert_eq!(status(&app).await, 200);
}

#[tokio::test]
async fn a_failed_probe_opens_it_again() {
    let script = Script::start([Part::Shout]).await;
    let app = app_with(&script.server, &RULES).await;
    let _clock = Paced::start();
    open(&app, &script).await;
    for _ in 0..3 {
        let calls = script.attempts().len();
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(status(&app).await, 503);
        assert!(refused(&app).await >= 9);
        assert_eq!(script.attempts().len(), calls + 1, "one probe");
    }
}

#[tokio::test]
async fn probes_whose_clients_go_away_do_not_keep_it_from_closing() {
    let script = Script::start([Part::Shout]).await;
    let app = app_with(&script.server, &RULES).await;
    let _clock = Paced::start();
    open(&app, &script).await;
    script.then([Part::Stall]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    for _ in 0..10 {
        let leaving = tokio::spawn(app.shout("hi").send());
        until("the probe is under way", async || script.under_way() == 1).await;
        leaving.abort();
        until("the probe is given up", async || script.under_way() == 0).await;
    }
    script.then([Part::Shout]);
    for _ in 0..5 {
        assert_eq!(status(&app).await, 200);
    }
}

#[tokio::test]
async fn slowness_opens_it_too_where_that_is_asked_for() {
    let pause = Duration::from_millis(20);
    for (slow_call, opens) in [("400ms", true), ("2s", false)] {
        let script = Script::start([Part::DrippedShout { pause }]).await;
        let mut rules = RULES.to_vec();
        rules.extend([("BREAKER_SLOW_CALL", slow_call), ("BREAKER_SLOW_RATE", "100%")]);
        let app = app_with(&script.server, &rules).await;
        let _clock = Paced::start();
        for _ in 0..10 {
            assert_eq!(status(&app).await, 200);
        }
        assert_eq!(status(&app).await, if opens { 503 } else { 200 }, "{slow_call}");
    }
}

#[tokio::test]
async fn a_success_or_a_permanent_4xx_never_opens_it() {
    for (part, expected) in [(Part::Shout, 200), (Part::status("413 s3cret"), 502)] {
        let script = Script::start([Part::status("500 s3cret")]).await;
        let app = app_with(&script.server, &RULES).await;
        let _clock = Paced::start();
        // One failure fewer than the breaker needs to judge.
        for _ in 0..9 {
            assert_eq!(status(&app).await, 503);
        }
        script.then([part]);
        for _ in 0..8 {
            assert_eq!(status(&app).await, expected);
        }
        // The tenth failure of 18 attempts.
        script.then([Part::status("500 s3cret")]);
        assert_eq!(status(&app).await, 503);
        let attempts = script.attempts().len();
        assert!(refused(&app).await >= 9, "{expected}: a failure opens it");
        assert_eq!(script.attempts().len(), attempts);
    }
}

#[tokio::test]
async fn permanent_4xx_responses_to_the_probes_close_it() {
    for statuses in [["404 s3cret", "404 s3cret"], ["403 s3cret", "410 s3cret"]] {
        let script = Script::start([Part::Shout]).await;
        let app = app_with(&script.server, &RULES).await;
        let _clock = Paced::start();
        open(&app, &script).await;
        script.then(statuses.map(Part::status));
        tokio::time::sleep(Duration::from_secs(11)).await;
        for expected in ["half_open", "closed"] {
            assert_eq!(status(&app).await, 502);
            let label = [&*format!("state=\"{expected}\"")];
            assert_eq!(app.metric("shoutback_breaker_state", &label).await, 1.0);
        }
        // Every caller gets the permanent error now, and none a `retry-after`.
        for _ in 0..20 {
            let response = app.shout("hi").send().await.expect("an answer");
            assert_problem(response, 502, "upstream-invalid").await;
        }
    }
}

#[tokio::test]
async fn a_retry_that_the_breaker_rejects_is_neither_counted_nor_paid_for() {
    const CALLS: usize = 40;
    // All first attempts fail at the same time, so every call decides to retry before the breaker opens.
    let first_attempts = Arc::new(Barrier::new(CALLS));
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&attempts);
    let upstream = raw::Server::start(move |_, mut stream| {
        let first_attempts = Arc::clone(&first_attempts);
        let attempt = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if attempt < CALLS {
                first_attempts.wait().await;
            }
            _ = stream.write_all(&answer("500 s3cret", b"s3cret")).await;
        }
    })
    .await;
    let variables = [
        ("BREAKER_MIN_CALLS", "45"),
        ("SHOUTCLOUD_MAX_RETRIES", "3"),
        ("SHOUTCLOUD_RETRY_RESERVE", "200"),
        ("SHOUTCLOUD_RETRY_BUDGET", "0%"),
    ];
    let app = app_with(&upstream, &variables).await;
    let calls: Vec<_> = (0..CALLS)
        .map(|call| tokio::spawn(app.shout(&format!("text {call}")).send()))
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("a response").status(), 503);
    }
    let sent = attempts.load(Ordering::SeqCst) - CALLS;
    assert!(sent >= 5, "the breaker opens at the fifth: {sent}");
    let counted = app.metric("shoutback_upstream_retries_total", &[]).await;
    let paid = 200.0 - app.metric("shoutback_retry_budget_remaining", &[]).await;
    assert_eq!((counted, paid), (sent as f64, sent as f64));
}

#[tokio::test]
async fn a_retry_whose_client_leaves_before_it_is_sent_is_not_paid_for() {
    let asks_to_wait =
        b"HTTP/1.1 503 s3cret\r\nretry-after: 3\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let script = Script::start([Part::Bytes(asks_to_wait.to_vec())]).await;
    let app = app_with(&script.server, &[("SHOUTCLOUD_MAX_RETRIES", "3")]).await;
    let left = async || app.metric("shoutback_retry_budget_remaining", &[]).await;
    let leaving = tokio::spawn(app.shout("hi").send());
    until("the retry is paid for and waits", async || left().await == 9.0).await;
    leaving.abort();
    until("the client is gone", async || {
        app.metric("shoutback_upstream_in_flight", &[]).await == 0.0
    })
    .await;
    assert_eq!(left().await, 10.0);
    assert_eq!(app.metric("shoutback_upstream_retries_total", &[]).await, 0.0);
    assert_eq!(script.attempts().len(), 1);
}

#[tokio::test]
async fn answers_that_are_no_shout_open_it_and_keep_it_open() {
    for part in [
        Part::body("<html>s3cret</html>"),
        Part::status("301 s3cret"),
        Part::Bytes(b"s3cret\r\n\r\n".to_vec()),
    ] {
        let script = Script::start([part]).await;
        let app = app_with(&script.server, &RULES).await;
        let _clock = Paced::start();
        for _ in 0..10 {
            assert_eq!(status(&app).await, 502);
        }
        refused(&app).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(status(&app).await, 502, "a probe");
        assert!(refused(&app).await >= 9, "it failed");
    }
}

#[tokio::test]
async fn attempts_that_the_deadline_ends_open_it_as_time_outs_do() {
    let script = Script::start([Part::Stall]).await;
    let mut rules = RULES.to_vec();
    rules.extend([
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "3s"),
        ("SHOUTCLOUD_DEADLINE", "3s"),
    ]);
    let app = app_with(&script.server, &rules).await;
    let _clock = Paced::start();
    for _ in 0..10 {
        assert_eq!(status(&app).await, 504);
    }
    refused(&app).await;
    assert_eq!(script.attempts().len(), 10);
}

#[tokio::test]
async fn attempts_that_the_deadline_ends_early_count_if_they_were_slow_already() {
    for (slow_call, opens) in [("1s", true), ("3900ms", false)] {
        let script = Script::start([Part::Stall]).await;
        let mut rules = RULES.to_vec();
        rules.extend([
            ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "4s"),
            ("SHOUTCLOUD_DEADLINE", "7s"),
            ("SHOUTCLOUD_MAX_RETRIES", "1"),
            ("BREAKER_SLOW_CALL", slow_call),
            ("BREAKER_WINDOW", "5m"),
            ("BREAKER_FAILURE_RATE", "100%"),
            ("BREAKER_SLOW_RATE", "100%"),
        ]);
        let app = app_with(&script.server, &rules).await;
        let _clock = Paced::start();
        // Each call: an attempt of 4 s that times out, and one that the deadline cuts short after 3 s.
        for _ in 0..5 {
            assert_eq!(status(&app).await, 504);
        }
        assert_eq!(script.attempts().len(), 10);
        assert_eq!(status(&app).await, if opens { 503 } else { 504 }, "{slow_call}");
    }
}
