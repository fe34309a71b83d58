//! The bulkhead limits concurrent and queued calls.

use std::time::Duration;

use tokio::time::Instant;

use super::{app_with, status};
use crate::support::clock::PacedClock;
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{App, assert_problem, send, until};

const TWO_AND_THREE: [(&str, &str); 2] = [("SHOUTCLOUD_MAX_CONCURRENCY", "2"), ("SHOUTCLOUD_MAX_QUEUE", "3")];

type Request = tokio::task::JoinHandle<reqwest::Result<reqwest::Response>>;

fn start(app: &App, number: usize) -> Vec<Request> {
    (0..number)
        .map(|_| tokio::spawn(app.shout("hi").send()))
        .collect()
}

async fn finish(request: Request) -> reqwest::Response {
    request.await.expect("no panic").expect("a response")
}

#[tokio::test]
async fn two_calls_run_three_wait_and_the_rest_are_rejected_at_once() {
    let upstream = FakeUpstream::start([Reply::DrippedShout {
        pause: Duration::from_millis(20),
    }])
    .await;
    let app = app_with(&upstream, &TWO_AND_THREE).await;
    let _clock = PacedClock::start();
    let requests = start(&app, 7);
    let (mut shouts, mut rejected) = (0, 0);
    for request in requests {
        let response = finish(request).await;
        if response.status() == 200 {
            shouts += 1;
            continue;
        }
        assert_eq!(response.headers()["retry-after"], "1");
        assert_problem(response, 503, "overloaded").await;
        rejected += 1;
    }
    assert_eq!((shouts, rejected), (5, 2));
    assert_eq!(upstream.max_in_flight(), 2);
    assert_eq!(upstream.calls(), 5);
    upstream.set([Reply::Shout]);
    for request in start(&app, 5) {
        assert_eq!(finish(request).await.status(), 200, "the permits are released");
    }
}

#[tokio::test]
async fn a_deadline_in_the_queue_is_overload_and_in_a_call_a_timeout() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let mut variables = TWO_AND_THREE.to_vec();
    variables.extend([
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "3s"),
        ("SHOUTCLOUD_DEADLINE", "3s"),
    ]);
    let app = app_with(&upstream, &variables).await;
    let _clock = PacedClock::start();
    let started = Instant::now();
    let called = start(&app, 2);
    upstream.wait_in_flight(2).await;
    let waiting = start(&app, 3);
    let mut results = Vec::new();
    for request in called {
        assert_problem(finish(request).await, 504, "upstream-timeout").await;
    }
    assert!(started.elapsed() >= Duration::from_secs(3));
    for request in waiting {
        let response = finish(request).await;
        results.push((
            response.status().as_u16(),
            response.headers().contains_key("retry-after"),
        ));
    }
    // The first two release their permits as the deadlines of the others pass: two may be called, the third is not.
    assert!(results.contains(&(503, true)), "{results:?}");
    assert!(
        results
            .iter()
            .all(|result| [(503, true), (504, false)].contains(result)),
        "{results:?}"
    );
}

#[tokio::test]
async fn clients_that_disconnect_leave_the_queue() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &TWO_AND_THREE).await;
    let called = start(&app, 2);
    upstream.wait_in_flight(2).await;
    for _ in 0..3 {
        let queued = start(&app, 3);
        until("the queue is full", async || status(&app).await == 503).await;
        for request in queued {
            request.abort();
        }
    }
    upstream.set([Reply::Shout]);
    for request in called {
        request.abort();
    }
    until("a permit is released", async || status(&app).await == 200).await;
}

#[tokio::test]
async fn an_open_breaker_rejects_although_the_queue_is_full() {
    let upstream = FakeUpstream::start([Reply::Status(500)]).await;
    let variables = [
        ("SHOUTCLOUD_MAX_CONCURRENCY", "1"),
        ("SHOUTCLOUD_MAX_QUEUE", "0"),
        ("BREAKER_MIN_CALLS", "2"),
    ];
    let app = app_with(&upstream, &variables).await;
    let _clock = PacedClock::start();
    assert_eq!(status(&app).await, 503);
    // The second failure opens the breaker. Until then it holds the only permit.
    upstream.set([Reply::Stall]);
    let called = start(&app, 1);
    upstream.wait_in_flight(1).await;
    let response = send(app.shout("hi")).await;
    assert_problem(response, 503, "overloaded").await;
    assert_eq!(
        finish(called.into_iter().next().expect("one")).await.status(),
        503
    );
    let response = send(app.shout("hi")).await;
    assert_problem(response, 503, "upstream-unavailable").await;
}
