//! The bulkhead limits concurrent and queued calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{app_with, status};
use crate::support::clock::PacedClock;
use crate::support::settings::LONG_TIMEOUTS;
use crate::support::tcp_server::TcpServer;
use crate::support::upstream::{FakeUpstream, Reply, shout_of, text_of};
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
    let app = app_with(&upstream, &[&TWO_AND_THREE[..], &LONG_TIMEOUTS].concat()).await;
    let queued = async || app.metric("shoutback_upstream_queued", &[]).await;
    let called = start(&app, 2);
    upstream.wait_in_flight(2).await;
    for _ in 0..3 {
        let waiting = start(&app, 3);
        until("the queue is full", async || queued().await == 3.0).await;
        assert_eq!(status(&app).await, 503);
        for request in waiting {
            request.abort();
        }
        until("the queue is empty", async || queued().await == 0.0).await;
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

/// An upstream that holds all calls until the test releases them, a number at a time.
struct HoldingUpstream {
    server: TcpServer,
    texts: Arc<Mutex<Vec<String>>>,
    releases: Arc<Semaphore>,
}

impl HoldingUpstream {
    async fn start() -> Self {
        let texts = Arc::<Mutex<Vec<String>>>::default();
        let releases = Arc::new(Semaphore::new(0));
        let server = TcpServer::start({
            let (texts, releases) = (Arc::clone(&texts), Arc::clone(&releases));
            move |request, mut stream| {
                texts.lock().expect("not poisoned").push(text_of(&request));
                let releases = Arc::clone(&releases);
                async move {
                    releases.acquire().await.expect("open").forget();
                    _ = stream.write_all(&shout_of(&request)).await;
                }
            }
        })
        .await;
        Self {
            server,
            texts,
            releases,
        }
    }

    /// Returns the number of calls for `client` so far. Its texts begin with its name, so they are sent with it at the end.
    fn calls_of(&self, client: &str) -> usize {
        let name: String = client.chars().rev().collect();
        let texts = self.texts.lock().expect("not poisoned");
        texts.iter().filter(|text| text.ends_with(&name)).count()
    }

    fn release(&self, calls: usize) {
        self.releases.add_permits(calls);
    }
}

#[tokio::test]
async fn a_client_whose_calls_are_slow_leaves_half_of_the_permits_to_others() {
    let upstream = HoldingUpstream::start().await;
    let url = format!("http://{}/V1/SHOUT", upstream.server.address);
    let settings = [
        ("SHOUTCLOUD_URL", url.as_str()),
        ("COGNITO_CLIENT_IDS", "alice,bob"),
        ("SHOUTCLOUD_MAX_CONCURRENCY", "4"),
        ("SHOUTCLOUD_MAX_QUEUE", "8"),
    ];
    let app = App::start(&[&settings[..], &LONG_TIMEOUTS].concat()).await;
    let start = |client: &str, number: usize| -> Vec<Request> {
        let token = app.token_with(&[("client_id", json!(client))]);
        (0..number)
            .map(|call| tokio::spawn(app.shout_with(&token, &format!("{client} {call}")).send()))
            .collect()
    };
    let queued = async || app.metric("shoutback_upstream_queued", &[]).await;
    // Alone, one client may take all permits and the whole queue.
    let alice = start("alice", 12);
    until("the bulkhead is full", async || {
        upstream.calls_of("alice") == 4 && queued().await == 8.0
    })
    .await;
    // Calls of another client displace queued ones of the client that fills the queue.
    let bob = start("bob", 3);
    until("three calls are displaced", async || {
        alice.iter().filter(|request| request.is_finished()).count() == 3
    })
    .await;
    assert_eq!(queued().await, 8.0);
    // The next two permits that are released are the other client's: each has half.
    upstream.release(2);
    until("two calls have started", async || upstream.calls_of("bob") == 2).await;
    assert_eq!(upstream.calls_of("alice"), 4);
    upstream.release(100);
    for request in bob {
        assert_eq!(finish(request).await.status(), 200);
    }
    let mut displaced = 0;
    for request in alice {
        let response = finish(request).await;
        if response.status() != 200 {
            assert_problem(response, 503, "overloaded").await;
            displaced += 1;
        }
    }
    assert_eq!(displaced, 3);
}
