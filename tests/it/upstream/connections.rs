//! Which connection an attempt uses, and what happens if that one is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::support::clock::PacedClock;
use crate::support::{App, loopback, until};

const RETRIES: &str = "shoutback_upstream_retries_total";
const CONNECTIONS: &str = "shoutback_upstream_connections_total";
const ATTEMPTS: &str = "http_client_request_duration_seconds_count";

/// What the upstream does with the connections of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    /// Responds and waits for the next request.
    Responds,
    /// Responds, and closes the connection after a pause.
    ClosesAfter(Duration),
    /// Reads requests and never responds.
    Silent,
    /// Resets the connection when it has read a request.
    Resets,
    /// Writes a part of a response and closes the connection.
    BreaksOff,
    /// Closes the connection at once.
    Closes,
}

/// An upstream with persistent connections. Connections that were open at a change of the behaviour keep the `old` one.
struct PersistentUpstream {
    url: String,
    old: watch::Sender<(usize, Behaviour)>,
    connections: Arc<AtomicUsize>,
    /// Connections that the client has closed.
    closed: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    held: watch::Sender<bool>,
    _accepting: AbortOnDropHandle<()>,
}

impl PersistentUpstream {
    async fn start(new: Behaviour) -> Self {
        let listener = loopback().await;
        let address = listener.local_addr().expect("bound");
        let old = watch::Sender::new((0, Behaviour::Responds));
        let held = watch::Sender::new(false);
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let closed = Arc::<AtomicUsize>::default();
        let accepting = tokio::spawn({
            let (old, held) = (old.subscribe(), held.subscribe());
            let (connections, requests) = (Arc::clone(&connections), Arc::clone(&requests));
            let closed = Arc::clone(&closed);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let number = connections.fetch_add(1, Ordering::SeqCst);
                    let (old, held, requests) = (old.clone(), held.clone(), Arc::clone(&requests));
                    let closed = Arc::clone(&closed);
                    tokio::spawn(async move {
                        let end = serve(stream, number, new, old, held, requests).await;
                        closed.fetch_add(usize::from(end == End::Client), Ordering::SeqCst);
                    });
                }
            }
        });
        Self {
            url: format!("http://{address}/V1/SHOUT"),
            old,
            connections,
            closed,
            requests,
            held,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    async fn app(&self, more: &[(&str, &str)]) -> App {
        let variables = [("SHOUTCLOUD_URL", self.url.as_str()), ("CACHE_CAPACITY", "0")];
        App::start(&[&variables[..], more].concat()).await
    }

    /// Changes the behaviour of the connections that are open now.
    fn change_open(&self, behaviour: Behaviour) {
        self.old
            .send_replace((self.connections.load(Ordering::SeqCst), behaviour));
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Has the application open this number of connections, which are idle afterwards.
    async fn open(&self, app: &App, number: usize) {
        self.held.send_replace(true);
        let before = self.requests();
        let mut calls = Vec::new();
        for index in 0..number {
            calls.push(tokio::spawn(app.shout(&format!("open {index}")).send()));
            // Few at a time: the backlog of the upstream is short.
            if calls.len() % 25 == 0 || calls.len() == number {
                let expected = before + calls.len();
                until("the calls are in flight", async || self.requests() == expected).await;
            }
        }
        self.held.send_replace(false);
        for call in calls {
            let response = call.await.expect("no panic").expect("a response");
            assert_eq!(response.status(), 200);
        }
    }
}

/// Who has ended a connection.
#[derive(PartialEq, Eq)]
enum End {
    Client,
    Server,
}

async fn serve(
    mut stream: TcpStream,
    number: usize,
    new: Behaviour,
    mut old: watch::Receiver<(usize, Behaviour)>,
    mut held: watch::Receiver<bool>,
    requests: Arc<AtomicUsize>,
) -> End {
    let behaviour = |old: &watch::Receiver<(usize, Behaviour)>| {
        let (first_new, behaviour) = *old.borrow();
        if number < first_new { behaviour } else { new }
    };
    let mut buffer = Vec::new();
    loop {
        let text = tokio::select! {
            text = read_request(&mut stream, &mut buffer) => text,
            _ = old.wait_for(|(first_new, behaviour)| number < *first_new && *behaviour == Behaviour::Closes) => return End::Server,
        };
        let Some(text) = text else { return End::Client };
        requests.fetch_add(1, Ordering::SeqCst);
        _ = held.wait_for(|held| !held).await;
        let body = json!({"INPUT": text, "OUTPUT": text.to_uppercase()}).to_string();
        let response = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        match behaviour(&old) {
            Behaviour::Responds => _ = stream.write_all(response.as_bytes()).await,
            Behaviour::ClosesAfter(pause) => {
                _ = stream.write_all(response.as_bytes()).await;
                sleep(pause).await;
                return End::Server;
            }
            Behaviour::Silent => _ = stream.read_to_end(&mut Vec::new()).await,
            Behaviour::Resets => {
                stream.set_zero_linger().expect("an open socket");
                return End::Server;
            }
            Behaviour::BreaksOff => {
                let half = &response.as_bytes()[..response.len() / 2];
                _ = stream.write_all(half).await;
                return End::Server;
            }
            Behaviour::Closes => return End::Server,
        }
    }
}

/// Reads a request and returns its text; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).expect("a length");
            let length: usize = length.lines().next()?.trim().parse().expect("a number");
            if buffer.len() >= head + 4 + length {
                let body: Value = serde_json::from_slice(&buffer[head + 4..head + 4 + length]).expect("JSON");
                buffer.drain(..head + 4 + length);
                return Some(body["INPUT"].as_str().expect("a text").to_owned());
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn status(app: &App, text: &str) -> u16 {
    let response = app.shout(text).send().await.expect("a response");
    response.status().as_u16()
}

#[tokio::test]
async fn a_connection_that_the_server_closes_while_idle_fails_no_call() {
    for pause in [2, 5, 20, 50] {
        let upstream = PersistentUpstream::start(Behaviour::ClosesAfter(Duration::from_millis(pause))).await;
        let app = upstream.app(&[]).await;
        for call in 0..250 {
            assert_eq!(
                status(&app, &call.to_string()).await,
                200,
                "call {call}, closed after {pause} ms"
            );
        }
        assert_eq!(
            app.metric(ATTEMPTS, &[]).await,
            250.0,
            "a repeated request is no attempt of its own"
        );
        assert_eq!(app.metric(RETRIES, &[]).await, 0.0);
        assert_eq!(app.metric("shoutback_retry_budget_remaining", &[]).await, 10.0);
        assert_eq!(
            app.metric("shoutback_breaker_state", &["state=\"closed\""]).await,
            1.0
        );
    }
}

#[tokio::test]
async fn silent_connections_cost_one_call_one_attempt() {
    for number in [3, 40, 250] {
        let upstream = PersistentUpstream::start(Behaviour::Responds).await;
        // Long enough to open all connections within one attempt.
        let times = [
            ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "8s"),
            ("SHOUTCLOUD_DEADLINE", "20s"),
        ];
        let app = upstream.app(&times).await;
        upstream.open(&app, number).await;
        assert_eq!(upstream.connections(), number);
        upstream.change_open(Behaviour::Silent);
        let attempts = app.metric(ATTEMPTS, &[]).await;
        for call in 0..5 {
            assert_eq!(status(&app, &call.to_string()).await, 200);
        }
        assert_eq!(
            app.metric(ATTEMPTS, &[]).await,
            attempts + 6.0,
            "{number}: one attempt timed out"
        );
        assert_eq!(
            upstream.connections(),
            number + 1,
            "the calls share the new connection"
        );
        // Sequential calls share a connection; these need one each, and none may be silent.
        let calls = ["a", "b", "c"].map(|text| tokio::spawn(app.shout(text).send()));
        for call in calls {
            let response = call.await.expect("no panic").expect("a response");
            assert_eq!(response.status(), 200);
        }
        assert_eq!(app.metric(ATTEMPTS, &[]).await, attempts + 9.0, "{number}");
    }
}

#[tokio::test]
async fn connections_that_were_idle_for_a_minute_are_closed() {
    let upstream = PersistentUpstream::start(Behaviour::Responds).await;
    let app = upstream.app(&[]).await;
    upstream.open(&app, 3).await;
    assert_eq!(upstream.closed(), 0);
    let _clock = PacedClock::start();
    // Of the paused clock; `until` waits for a minute too.
    sleep(Duration::from_secs(60)).await;
    until("no connection is left", async || upstream.closed() == 3).await;
}

#[tokio::test]
async fn a_request_on_a_broken_idle_connection_is_repeated_once() {
    for behaviour in [Behaviour::Resets, Behaviour::Closes] {
        for number in [3, 40, 250] {
            let upstream = PersistentUpstream::start(Behaviour::Responds).await;
            // Long enough to open all connections within one attempt.
            let times = [
                ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "20s"),
                ("SHOUTCLOUD_DEADLINE", "25s"),
            ];
            let app = upstream.app(&times).await;
            upstream.open(&app, number).await;
            let attempts = app.metric(ATTEMPTS, &[]).await;
            upstream.change_open(behaviour);
            for call in 0..number {
                assert_eq!(status(&app, &call.to_string()).await, 200, "{behaviour:?}");
            }
            assert_eq!(app.metric(ATTEMPTS, &[]).await, attempts + number as f64);
            assert_eq!(app.metric(RETRIES, &[]).await, 0.0, "{behaviour:?}");
            assert_eq!(app.metric("shoutback_retry_budget_remaining", &[]).await, 10.0);
        }
    }
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_a_failed_attempt() {
    let upstream = PersistentUpstream::start(Behaviour::Resets).await;
    let app = upstream.app(&[("SHOUTCLOUD_MAX_RETRIES", "0")]).await;
    assert_eq!(status(&app, "hi").await, 503);
    assert_eq!(upstream.requests(), 1, "the request is not repeated");
    assert_eq!(app.metric(ATTEMPTS, &["error_type=\"reset\""]).await, 1.0);
}

#[tokio::test]
async fn a_response_that_breaks_off_on_a_reused_connection_is_a_failed_attempt() {
    let upstream = PersistentUpstream::start(Behaviour::Responds).await;
    let app = upstream.app(&[("SHOUTCLOUD_MAX_RETRIES", "0")]).await;
    upstream.open(&app, 1).await;
    upstream.change_open(Behaviour::BreaksOff);
    assert_eq!(status(&app, "hi").await, 503);
    assert_eq!(upstream.requests(), 2, "the request is not repeated");
    assert_eq!(app.metric(ATTEMPTS, &["error_type=\"closed\""]).await, 1.0);
}

#[tokio::test]
async fn connections_are_counted() {
    let upstream = PersistentUpstream::start(Behaviour::Responds).await;
    let app = upstream.app(&[]).await;
    for text in ["a", "b", "c"] {
        assert_eq!(status(&app, text).await, 200);
    }
    upstream.change_open(Behaviour::Resets);
    assert_eq!(status(&app, "d").await, 200);
    for (event, count) in [("opened", 2.0), ("reused", 3.0), ("stale", 1.0)] {
        let label = format!("event=\"{event}\"");
        assert_eq!(app.metric(CONNECTIONS, &[&label]).await, count, "{event}");
    }
    assert_eq!(upstream.connections(), 2);
}
