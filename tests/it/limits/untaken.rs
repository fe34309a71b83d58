//! Answers that nobody takes: they count as under way, and not for ever.

use std::time::Duration;

use crate::support::http1::Connection;
use crate::support::http1::shout;
use crate::support::http2::{DATA, END_STREAM, Http2, RST_STREAM};
use crate::support::settings::LONG_TIMEOUTS;
use crate::support::upstream::FakeUpstream;
use crate::support::{App, until};

/// Waits until so many requests were answered, taken or not.
async fn answered(app: &App, requests: f64) {
    until("the answers are ready", async || {
        app.metric("http_server_request_duration_seconds_count", &[])
            .await
            == requests
    })
    .await;
}

/// Asks for one shout after the other, and takes it, until the stream 1 is reset.
async fn ask_until_reset(connection: &mut Http2, token: &str) {
    let mut stream = 3;
    loop {
        connection.shout(stream, token, "hi").await;
        connection.grant(stream, 1_000).await;
        loop {
            let received = connection.next().await.expect("the connection goes on");
            match (received.stream, received.kind) {
                (1, RST_STREAM) => return,
                (1, DATA) => panic!("there is no window for it"),
                (other, DATA) if other == stream && received.flags & END_STREAM != 0 => break,
                _ => {}
            }
        }
        stream += 2;
    }
}

#[tokio::test]
async fn an_answer_of_http_2_is_under_way_until_it_is_taken() {
    let app = App::start(&[("MAX_REQUESTS_IN_FLIGHT", "2")]).await;
    let token = app.cognito.token();
    let mut connections = Vec::new();
    // A refusal's too.
    for (token, status) in [(token.as_str(), 200), ("bad", 401)] {
        let mut connection = Http2::open_with_window(app.public, 0).await;
        connection.shout(1, token, "one").await;
        connections.push((connection, status));
    }
    answered(&app, 2.0).await;
    assert_eq!(app.status_with(&token).await, 503);
    for (mut connection, status) in connections {
        connection.grant(1, 1_000).await;
        assert_eq!(connection.response(1).await.expect("an answer").status, status);
        assert_eq!(app.status_with(&token).await, 200);
    }
}

#[tokio::test]
async fn a_stream_whose_answer_nobody_takes_is_reset_and_its_connection_goes_on() {
    let app = App::start(&[("IDLE_TIMEOUT", "1s")]).await;
    let token = app.cognito.token();
    let mut connection = Http2::open_with_window(app.public, 0).await;
    connection.shout(1, &token, "one").await;
    let reset = tokio::time::timeout(Duration::from_secs(60), ask_until_reset(&mut connection, &token));
    reset.await.expect("seconds");
}

#[tokio::test]
async fn a_refusal_for_want_of_room_that_nobody_takes_is_reset_at_once() {
    let upstream = FakeUpstream::held().await;
    let url = upstream.url();
    let more = [
        ("SHOUTCLOUD_URL", url.as_str()),
        ("MAX_REQUESTS_IN_FLIGHT", "1"),
        ("IDLE_TIMEOUT", "1h"),
    ];
    let app = App::start(&[&LONG_TIMEOUTS[..], &more].concat()).await;
    let token = app.cognito.token();
    let mut waiting = Connection::open(app.public).await;
    waiting.send(shout(&token, "one")).await;
    upstream.called(1).await;
    let mut connection = Http2::open_with_window(app.public, 0).await;
    connection.shout(1, &token, "two").await;
    let reset = async { while connection.next().await.expect("a frame").kind != RST_STREAM {} };
    let reset = tokio::time::timeout(Duration::from_secs(60), reset);
    reset.await.expect("seconds, not the hour");
    upstream.release();
    assert_eq!(waiting.response().await.body, "ENO");
}

#[tokio::test]
async fn a_connection_of_http_1_whose_answer_nobody_takes_makes_room() {
    let app = App::start(&[
        ("IDLE_TIMEOUT", "1s"),
        ("HEADER_READ_TIMEOUT", "100ms"),
        ("MAX_BODY_BYTES", "16MiB"),
        ("MAX_CONNECTIONS", "1"),
    ])
    .await;
    let token = app.cognito.token();
    let mut untaken = Connection::open(app.public).await;
    untaken.send(shout(&token, &"a".repeat(12 * 1024 * 1024))).await;
    untaken.readable().await;
    let mut next = Connection::open(app.public).await;
    next.send(shout(&token, "hi")).await;
    let answer = tokio::time::timeout(Duration::from_secs(60), next.response());
    assert_eq!(answer.await.expect("seconds").body, "IH");
    drop(untaken);
}
