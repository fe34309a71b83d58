//! How many calls are under way at once, and what happens to the others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::script::{Part, Script};
use super::{answer, app_with};
use crate::support::clock::Paced;
use crate::support::{App, assert_problem, raw, until};

const TWO_AND_THREE: [(&str, &str); 2] = [("SHOUTCLOUD_MAX_CONCURRENCY", "2"), ("SHOUTCLOUD_MAX_QUEUE", "3")];

type Asked = tokio::task::JoinHandle<reqwest::Result<reqwest::Response>>;

fn ask(app: &App, number: usize) -> Vec<Asked> {
    (0..number)
        .map(|_| tokio::spawn(app.shout("hi").send()))
        .collect()
}

async fn answered(asked: Asked) -> reqwest::Response {
    asked.await.expect("no panic").expect("an answer")
}

#[tokio::test]
async fn two_are_called_three_wait_and_the_rest_is_refused_at_once() {
    let script = Script::start([Part::DrippedShout {
        pause: Duration::from_millis(20),
    }])
    .await;
    let app = app_with(&script.server, &TWO_AND_THREE).await;
    let _clock = Paced::start();
    let asked = ask(&app, 7);
    let (mut shouts, mut refused) = (0, 0);
    for asked in asked {
        let response = answered(asked).await;
        if response.status() == 200 {
            shouts += 1;
            continue;
        }
        assert_eq!(response.headers()["retry-after"], "1");
        assert_problem(response, 503, "overloaded").await;
        refused += 1;
    }
    assert_eq!((shouts, refused), (5, 2));
    assert_eq!(script.most_at_once(), 2);
    assert_eq!(script.attempts().len(), 5);
    script.then([Part::Shout]);
    for asked in ask(&app, 5) {
        assert_eq!(answered(asked).await.status(), 200, "the places are free again");
    }
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_overload_and_one_that_passes_in_a_call_is_not() {
    let script = Script::start([Part::Stall]).await;
    let mut variables = TWO_AND_THREE.to_vec();
    variables.extend([
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "3s"),
        ("SHOUTCLOUD_DEADLINE", "3s"),
    ]);
    let app = app_with(&script.server, &variables).await;
    let _clock = Paced::start();
    let began = Instant::now();
    let called = ask(&app, 2);
    until("two are under way", async || script.under_way() == 2).await;
    // Later than those, so that their places do not come free before this one's deadline.
    script.then([Part::Stall]);
    let waiting = ask(&app, 3);
    let mut names = Vec::new();
    for asked in called {
        assert_problem(answered(asked).await, 504, "upstream-timeout").await;
    }
    assert!(began.elapsed() >= Duration::from_secs(3));
    for asked in waiting {
        let response = answered(asked).await;
        names.push((
            response.status().as_u16(),
            response.headers().contains_key("retry-after"),
        ));
    }
    // The places of the first two come free as the deadlines of the others pass: two may be called, the third is not.
    assert!(names.contains(&(503, true)), "{names:?}");
    assert!(
        names
            .iter()
            .all(|name| [(503, true), (504, false)].contains(name)),
        "{names:?}"
    );
}

#[tokio::test]
async fn clients_that_leave_the_queue_free_their_places() {
    let script = Script::start([Part::Stall]).await;
    let app = app_with(&script.server, &TWO_AND_THREE).await;
    let held = ask(&app, 2);
    until("two are under way", async || script.under_way() == 2).await;
    for _ in 0..3 {
        let leaving = ask(&app, 3);
        until("the queue is full", async || {
            let response = app.shout("hi").send().await.expect("an answer");
            response.status() == 503
        })
        .await;
        for asked in leaving {
            asked.abort();
        }
    }
    script.then([Part::Shout]);
    for asked in held {
        asked.abort();
    }
    until("there is room again", async || {
        app.shout("hi").send().await.expect("an answer").status() == 200
    })
    .await;
}

#[tokio::test]
async fn an_open_breaker_answers_at_once_though_the_queue_is_full() {
    let script = Script::start([Part::status("500 s3cret")]).await;
    let variables = [
        ("SHOUTCLOUD_MAX_CONCURRENCY", "1"),
        ("SHOUTCLOUD_MAX_QUEUE", "0"),
        ("BREAKER_MIN_CALLS", "2"),
    ];
    let app = app_with(&script.server, &variables).await;
    let _clock = Paced::start();
    assert_eq!(app.shout("hi").send().await.expect("an answer").status(), 503);
    // The second failure opens the breaker; its call is over by then. A place is held by hand through a stalled call.
    script.then([Part::Stall]);
    let held = ask(&app, 1);
    until("one is under way", async || script.under_way() == 1).await;
    let response = app.shout("hi").send().await.expect("an answer");
    assert_problem(response, 503, "overloaded").await;
    assert_eq!(
        answered(held.into_iter().next().expect("one")).await.status(),
        503
    );
    let response = app.shout("hi").send().await.expect("an answer");
    assert_problem(response, 503, "upstream-unavailable").await;
}

/// An upstream that holds calls until the test lets them go, one by one, and lists whose they were.
struct Held {
    server: raw::Server,
    started: Arc<Mutex<Vec<String>>>,
    go: Arc<Semaphore>,
}

impl Held {
    async fn start() -> Self {
        let started = Arc::new(Mutex::new(Vec::new()));
        let go = Arc::new(Semaphore::new(0));
        let (seen, going) = (Arc::clone(&started), Arc::clone(&go));
        let server = raw::Server::start(move |request, mut stream| {
            let text = request
                .split_once("{\"INPUT\":\"")
                .expect("JSON")
                .1
                .replace("\"}", "");
            seen.lock().expect("not poisoned").push(text.clone());
            let going = Arc::clone(&going);
            async move {
                going.acquire().await.expect("open").forget();
                let shout = json!({"INPUT": text, "OUTPUT": text.to_uppercase()}).to_string();
                _ = stream.write_all(&answer("200 OK", shout.as_bytes())).await;
            }
        })
        .await;
        Self { server, started, go }
    }

    /// The calls of `client` that have started. Its texts begin with its name, so they end with it when reversed.
    fn calls_of(&self, client: &str) -> usize {
        let name: String = client.chars().rev().collect();
        let started = self.started.lock().expect("not poisoned");
        started.iter().filter(|text| text.ends_with(&name)).count()
    }
}

#[tokio::test]
async fn a_client_whose_calls_are_slow_leaves_half_of_the_permits_to_others() {
    let upstream = Held::start().await;
    let url = format!("http://{}/V1/SHOUT", upstream.server.address);
    let app = App::start(&[
        ("SHOUTCLOUD_URL", &url),
        ("COGNITO_CLIENT_IDS", "alice,bob"),
        ("SHOUTCLOUD_MAX_CONCURRENCY", "4"),
        ("SHOUTCLOUD_MAX_QUEUE", "8"),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "4m"),
        ("SHOUTCLOUD_DEADLINE", "4m"),
        ("REQUEST_TIMEOUT", "5m"),
    ])
    .await;
    let ask = |client: &str, number: usize| -> Vec<Asked> {
        let token = app.token_with(&[("client_id", json!(client))]);
        (0..number)
            .map(|call| tokio::spawn(app.shout_with(&token, &format!("{client} {call}")).send()))
            .collect()
    };
    let queued = async || app.metric("shoutback_upstream_queued", &[]).await;
    // Alone, one client may take all permits and the whole queue.
    let mut alice = ask("alice", 12);
    until("the bulkhead is full", async || {
        upstream.calls_of("alice") == 4 && queued().await == 8.0
    })
    .await;
    // A full queue makes room for another client, at the expense of the one that fills it.
    let bob = ask("bob", 3);
    until("three calls are displaced", async || {
        alice.iter().filter(|asked| asked.is_finished()).count() == 3
    })
    .await;
    assert_eq!(queued().await, 8.0);
    // The next two permits that are released are the other client's: each has half.
    upstream.go.add_permits(2);
    until("two calls have started", async || upstream.calls_of("bob") == 2).await;
    assert_eq!(upstream.calls_of("alice"), 4);
    upstream.go.add_permits(100);
    for asked in bob {
        assert_eq!(answered(asked).await.status(), 200);
    }
    let mut displaced = 0;
    for asked in alice.drain(..) {
        let response = answered(asked).await;
        if response.status() != 200 {
            assert_problem(response, 503, "overloaded").await;
            displaced += 1;
        }
    }
    assert_eq!(displaced, 3);
}
