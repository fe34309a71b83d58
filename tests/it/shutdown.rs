//! Graceful shutdown: every complete request gets its response, and nothing else delays the end.

mod load;
pub mod process;

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use shoutback::app::ShutdownError;

use crate::support::http1::{Connection, shout, shout_with_long_response};
use crate::support::http2::{DATA, END_HEADERS, GOAWAY, HEADERS, Http2, PING, block, frame, shout_fields};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::settings::LONG_TIMEOUTS;
use crate::support::upstream::FakeUpstream;
use crate::support::{App, until};

/// Timeouts longer than any test: only the shutdown itself may close what it closes.
const LONG: [(&str, &str); 3] = [
    ("HEADER_READ_TIMEOUT", "5m"),
    ("IDLE_TIMEOUT", "1h"),
    ("SHUTDOWN_TIMEOUT", "10m"),
];

async fn app(upstream: &FakeUpstream, more: &[(&str, &str)]) -> App {
    let url = upstream.url();
    let variables = [
        &LONG_TIMEOUTS[..],
        &LONG,
        &[("SHOUTCLOUD_URL", url.as_str())],
        more,
    ]
    .concat();
    App::start(&variables).await
}

/// Starts the shutdown and waits until `/readyz` reports it.
async fn start_shutdown(app: &App) {
    app.begin_stop();
    until("it is unready", async || {
        app.admin("/readyz").await.status() == 503
    })
    .await;
}

/// Waits until the listener is closed.
async fn until_closed(app: &App) {
    until("the listener is closed", async || {
        TcpStream::connect(app.public).await.is_err()
    })
    .await;
}

/// Asserts that the shutdown ends without an error, and long before any timeout of `LONG`.
async fn assert_clean_end(app: App) {
    let stopped = tokio::time::timeout(Duration::from_secs(60), app.stopped()).await;
    assert_eq!(stopped.expect("seconds, not minutes"), Ok(()));
}

#[tokio::test]
async fn http_1_responses_in_the_grace_period_close_the_connection_and_new_ones_are_served() {
    let upstream = FakeUpstream::held().await;
    let app = app(&upstream, &[("SHUTDOWN_GRACE", "5m")]).await;
    let token = app.cognito.token();
    let mut idle = Connection::open(app.public).await;
    idle.send(shout(&token, "")).await;
    assert_eq!(idle.response().await.header("connection"), None);
    let silent = Connection::open(app.public).await;
    let mut waiting = Connection::open(app.public).await;
    waiting.send(shout(&token, "one")).await;
    upstream.called(1).await;

    start_shutdown(&app).await;
    assert_eq!(app.admin("/livez").await.status(), 200);
    upstream.release();
    let new = Connection::open(app.public).await;
    for (mut connection, request, status, body) in [
        (waiting, String::new(), 200, "ENO"),
        (idle, shout(&token, "two"), 200, "OWT"),
        (silent, shout(&token, "three"), 200, "EERHT"),
        (new, shout("bad", ""), 401, ""),
    ] {
        connection.send(request).await;
        let answer = connection.response().await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("connection"), Some("close"), "{body}");
        if status == 200 {
            assert_eq!(answer.body, body);
        }
        assert_eq!(connection.rest().await, "");
    }
}

#[tokio::test]
async fn http_2_connections_get_goaway_in_the_grace_period_and_their_streams_are_served() {
    let upstream = FakeUpstream::held().await;
    let app = app(&upstream, &[("SHUTDOWN_GRACE", "5m")]).await;
    let token = app.cognito.token();
    let mut old = Http2::open(app.public).await;
    old.shout(1, &token, "old").await;
    upstream.called(1).await;
    start_shutdown(&app).await;
    while old.next().await.expect("GOAWAY comes first").kind != GOAWAY {}
    assert_eq!(old.goaways, [0], "no error");

    let mut new = Http2::open(app.public).await;
    // Two PING responses without a GOAWAY: the client's first request would cross it.
    for _ in 0..2 {
        new.send(&frame(PING, 0, 0, &[0; 8])).await;
        loop {
            let received = new.next().await.expect("a frame");
            assert_ne!(received.kind, GOAWAY);
            if received.kind == PING {
                break;
            }
        }
    }
    new.shout(1, &token, "new").await;
    while new.next().await.expect("GOAWAY comes before the response").kind != GOAWAY {}
    upstream.called(2).await;
    upstream.release();
    for (mut connection, body) in [(old, "DLO"), (new, "WEN")] {
        assert_eq!(connection.response(1).await.expect("a response").body, body);
        connection.ended().await;
    }
}

#[tokio::test]
async fn connections_in_the_backlog_are_served() {
    let upstream = FakeUpstream::held().await;
    let app = app(&upstream, &[("MAX_CONNECTIONS", "1")]).await;
    let token = app.cognito.token();
    let mut first = Connection::open(app.public).await;
    first.send(shout(&token, "first")).await;
    upstream.called(1).await;
    let mut backlog = Vec::new();
    for index in 0..20 {
        let mut connection = Connection::open(app.public).await;
        connection.send(shout(&token, &format!("{index:02}"))).await;
        backlog.push(connection);
    }
    let mut http2 = Http2::open(app.public).await;
    http2.shout(1, &token, "ab").await;
    assert_eq!(upstream.calls(), 1, "the others are in the backlog");
    app.begin_stop();
    upstream.called(22).await;
    upstream.release();
    assert_eq!(first.response().await.body, "TSRIF");
    for (index, mut connection) in backlog.into_iter().enumerate() {
        let expected: String = format!("{index:02}").chars().rev().collect();
        assert_eq!(connection.response().await.body, expected);
    }
    assert_eq!(http2.response(1).await.expect("a response").body, "BA");
    drop(http2);
    assert_clean_end(app).await;
}

#[tokio::test]
async fn a_late_request_on_an_idle_connection_is_served() {
    let upstream = FakeUpstream::held().await;
    upstream.release();
    let app = app(&upstream, &[]).await;
    let token = app.cognito.token();
    let mut idle = Connection::open(app.public).await;
    idle.send(shout(&token, "one")).await;
    assert_eq!(idle.response().await.body, "ENO");
    let mut silent = Connection::open(app.public).await;
    // After this request the connection is accepted, not in the backlog.
    assert_eq!(app.status_with("bad").await, 401);
    app.begin_stop();
    until_closed(&app).await;
    for (connection, text, body) in [(&mut idle, "two", "OWT"), (&mut silent, "three", "EERHT")] {
        connection.send(shout(&token, text)).await;
        let answer = connection.response().await;
        assert_eq!(
            (answer.body.as_str(), answer.header("connection")),
            (body, Some("close"))
        );
    }
    assert_clean_end(app).await;
}

#[tokio::test]
async fn incomplete_requests_get_a_second_and_complete_ones_continue() {
    let upstream = FakeUpstream::held().await;
    let app = app(&upstream, &[]).await;
    let token = app.cognito.token();
    let mut complete = Connection::open(app.public).await;
    complete.send(shout(&token, "one")).await;
    let mut streams = Http2::open(app.public).await;
    streams.shout(1, &token, "two").await;
    streams
        .send(&frame(HEADERS, END_HEADERS, 3, &block(&shout_fields(&token))))
        .await;
    streams.send(&frame(DATA, 0, 3, b"half")).await;
    upstream.called(2).await;
    let partial = |text: &str| {
        let request = shout(&token, "a body");
        request
            .split_once(text)
            .map(|(before, _)| before.to_owned())
            .expect("a part of it")
    };
    let mut ending = Vec::new();
    for (part, status) in [
        (String::new(), None),
        (partial("host"), None),
        (partial("body"), Some(408)),
        (partial("a body"), Some(408)),
    ] {
        let mut connection = Connection::open(app.public).await;
        connection.send(part).await;
        ending.push((connection, status));
    }
    let mut silent_http2 = Http2::open(app.public).await;
    let start = Instant::now();
    app.begin_stop();
    for (mut connection, status) in ending {
        if let Some(status) = status {
            let answer = connection.response().await;
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (status, "request-timeout")
            );
            assert_eq!(answer.header("connection"), Some("close"));
        }
        assert_eq!(connection.rest().await, "");
    }
    silent_http2.ended().await;
    let elapsed = start.elapsed();
    assert!((1..20).contains(&elapsed.as_secs()), "{elapsed:?}");
    assert_eq!(silent_http2.goaways.first(), Some(&0), "GOAWAY without an error");
    assert_eq!(streams.response(3).await.expect("a response").status, 408);
    assert_eq!(
        app.admin("/livez").await.status(),
        200,
        "requests are still in flight"
    );
    upstream.release();
    assert_eq!(complete.response().await.body, "ENO");
    assert_eq!(streams.response(1).await.expect("a response").body, "OWT");
    drop(streams);
    assert_clean_end(app).await;
}

#[tokio::test]
async fn a_body_completed_within_its_second_is_served() {
    let upstream = FakeUpstream::held().await;
    upstream.release();
    let app = app(&upstream, &[]).await;
    let token = app.cognito.token();
    let request = shout(&token, "hi");
    let (head, body) = request.split_at(request.len() - 1);
    let mut half = Connection::open(app.public).await;
    half.send(head).await;
    until("its headers have been read", async || {
        app.metric("http_server_active_requests", &[]).await == 1.0
    })
    .await;
    app.begin_stop();
    until_closed(&app).await;
    half.send(body).await;
    assert_eq!(half.response().await.body, "IH");
    assert_clean_end(app).await;
}

#[tokio::test]
async fn a_complete_request_that_waits_for_its_key_is_served() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let url = keys.url();
    let app = App::start(&[&LONG[..], &[("COGNITO_JWKS_ENDPOINT", url.as_str())]].concat()).await;
    let token = BOB.token("bob", &app.cognito.claims());
    let fetched = keys.requests();
    keys.set(KeyResponse::Stall);
    let mut waiting = Connection::open(app.public).await;
    // Longer than what is read along with the headers: the rest stays in the socket buffer.
    waiting.send(shout(&token, &"a".repeat(60_000))).await;
    until("the key has been requested", async || keys.requests() > fetched).await;
    app.begin_stop();
    // Longer than the second for incomplete requests, shorter than the three of a fetch.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    keys.set(KeyResponse::keys([BOB.jwk("bob")]));
    assert_eq!(waiting.response().await.body, "A".repeat(60_000));
    assert_clean_end(app).await;
}

#[tokio::test]
async fn a_slow_http_1_client_gets_its_complete_response() {
    let app = App::start(&[&LONG_TIMEOUTS[..], &LONG, &[("MAX_BODY_BYTES", "1MiB")]].concat()).await;
    let (request, length) = shout_with_long_response(&app.cognito.token());
    let mut slow = Connection::open(app.public).await;
    slow.send(request).await;
    slow.readable().await;
    app.begin_stop();
    until_closed(&app).await;
    // Longer than the second for incomplete requests.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(slow.response().await.body.len(), length);
    assert_clean_end(app).await;
}

/// Opens a connection with a shout's response of which only `window` bytes can be sent.
async fn partly_sent(app: &App, window: u32) -> Http2 {
    let expected = app
        .metric("http_server_request_duration_seconds_count", &[])
        .await
        + 1.0;
    let mut connection = Http2::open_with_window(app.public, window).await;
    let text = "a".repeat(LONG_TEXT);
    connection.shout(1, &app.cognito.token(), &text).await;
    until("its response is ready", async || {
        app.metric("http_server_request_duration_seconds_count", &[])
            .await
            == expected
    })
    .await;
    connection
}

/// Short enough for one stream's window.
const LONG_TEXT: usize = 48_000;

#[tokio::test]
async fn a_slow_http_2_client_gets_its_complete_response() {
    let app = App::start(&[&LONG_TIMEOUTS[..], &LONG].concat()).await;
    let mut slow = Vec::new();
    for window in [0, 6_000, LONG_TEXT as u32 - 1] {
        slow.push(partly_sent(&app, window).await);
    }
    app.begin_stop();
    until_closed(&app).await;
    // Longer than the second for incomplete requests.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    for mut connection in slow {
        for _ in 0..8 {
            connection.grant(1, 6_000).await;
        }
        assert_eq!(
            connection.response(1).await.expect("a response").body.len(),
            LONG_TEXT
        );
    }
    assert_clean_end(app).await;
}

#[tokio::test]
async fn an_http_2_response_that_is_aborted_halfway_is_counted() {
    let app = App::start(&[&LONG_TIMEOUTS[..], &LONG, &[("SHUTDOWN_TIMEOUT", "2s")]].concat()).await;
    let halfway = partly_sent(&app, 6_000).await;
    let mut complete = Http2::open(app.public).await;
    complete.shout(1, &app.cognito.token(), "hi").await;
    assert_eq!(complete.response(1).await.expect("a response").body, "IH");
    app.begin_stop();
    assert_eq!(app.stopped().await, Err(ShutdownError::CutOff(1)));
    drop((halfway, complete));
}

#[tokio::test]
async fn aborted_complete_requests_are_counted_and_make_the_shutdown_fail() {
    let upstream = FakeUpstream::held().await;
    let app = app(&upstream, &[("SHUTDOWN_TIMEOUT", "100ms")]).await;
    let token = app.cognito.token();
    let mut complete = Connection::open(app.public).await;
    complete.send(shout(&token, "one")).await;
    let mut streams = Http2::open(app.public).await;
    streams.shout(1, &token, "two").await;
    upstream.called(2).await;
    // Incomplete requests do not count.
    let request = shout(&token, "a body");
    let mut half = Connection::open(app.public).await;
    half.send(&request[..request.len() - 1]).await;
    until("all are in flight", async || {
        app.metric("http_server_active_requests", &[]).await == 3.0
    })
    .await;
    app.begin_stop();
    let stopped = tokio::time::timeout(Duration::from_secs(20), app.stopped()).await;
    // Less than the default of SHUTDOWN_TIMEOUT.
    assert_eq!(stopped.expect("seconds"), Err(ShutdownError::CutOff(2)));
    assert_eq!(complete.rest().await, "");
    assert_eq!(streams.response(1).await, None);
    drop(half);
}

#[tokio::test]
async fn the_admin_listener_serves_until_the_last_request_is_complete() {
    let upstream = FakeUpstream::held().await;
    let app = app(&upstream, &[]).await;
    let mut waiting = Connection::open(app.public).await;
    waiting.send(shout(&app.cognito.token(), "one")).await;
    upstream.called(1).await;
    start_shutdown(&app).await;
    until_closed(&app).await;
    for path in ["/livez", "/metrics", "/version"] {
        assert_eq!(app.admin(path).await.status(), 200, "{path}");
    }
    assert_eq!(app.admin("/readyz").await.status(), 503);
    upstream.release();
    assert_eq!(waiting.response().await.body, "ENO");
    let admin = app.admin;
    assert_clean_end(app).await;
    assert!(TcpStream::connect(admin).await.is_err());
}
