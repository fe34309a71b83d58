//! Responses that clients do not read: they count as in flight until a timeout.

use std::time::Duration;

use crate::support::http1::{Connection, shout, shout_with_long_response};
use crate::support::http2::{DATA, END_STREAM, Http2, RST_STREAM};
use crate::support::settings::LONG_TIMEOUTS;
use crate::support::upstream::FakeUpstream;
use crate::support::{App, until};

/// Waits until the responses to this number of requests are ready, read or not.
async fn until_responses_are_ready(app: &App, requests: f64) {
    until("the responses are ready", async || {
        app.metric("http_server_request_duration_seconds_count", &[])
            .await
            == requests
    })
    .await;
}

/// Sends one shout after the other and reads its response, until stream 1 is reset.
async fn shout_until_reset(connection: &mut Http2, token: &str) {
    let mut stream = 3;
    loop {
        connection.shout(stream, token, "hi").await;
        connection.grant(stream, 1_000).await;
        loop {
            let received = connection.next().await.expect("the connection stays open");
            match (received.stream, received.kind) {
                (1, RST_STREAM) => return,
                (1, DATA) => panic!("data without a window"),
                (other, DATA) if other == stream && received.flags & END_STREAM != 0 => break,
                _ => {}
            }
        }
        stream += 2;
    }
}

#[tokio::test]
async fn an_http_2_response_is_in_flight_until_it_is_read() {
    let app = App::start(&[("MAX_REQUESTS_IN_FLIGHT", "2")]).await;
    let token = app.cognito.token();
    let mut connections = Vec::new();
    // A rejection counts, too.
    for (token, status) in [(token.as_str(), 200), ("bad", 401)] {
        let mut connection = Http2::open_with_window(app.public, 0).await;
        connection.shout(1, token, "one").await;
        connections.push((connection, status));
    }
    until_responses_are_ready(&app, 2.0).await;
    assert_eq!(app.status_with(&token).await, 503);
    for (mut connection, status) in connections {
        connection.grant(1, 1_000).await;
        assert_eq!(connection.response(1).await.expect("a response").status, status);
        assert_eq!(app.status_with(&token).await, 200);
    }
}

#[tokio::test]
async fn a_stream_with_an_unread_response_is_reset_and_its_connection_stays_open() {
    let app = App::start(&[("IDLE_TIMEOUT", "1s")]).await;
    let token = app.cognito.token();
    let mut connection = Http2::open_with_window(app.public, 0).await;
    connection.shout(1, &token, "one").await;
    let reset = tokio::time::timeout(
        Duration::from_secs(60),
        shout_until_reset(&mut connection, &token),
    );
    reset.await.expect("seconds");
}

#[tokio::test]
async fn an_unread_response_to_a_shed_request_is_reset_within_seconds() {
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
    reset.await.expect("seconds, not the idle timeout");
    upstream.release();
    assert_eq!(waiting.response().await.body, "ENO");
}

#[tokio::test]
async fn an_http_1_connection_with_an_unread_response_frees_its_permit() {
    let app = App::start(&[
        ("IDLE_TIMEOUT", "1s"),
        ("HEADER_READ_TIMEOUT", "100ms"),
        ("MAX_BODY_BYTES", "1MiB"),
        ("MAX_CONNECTIONS", "1"),
    ])
    .await;
    let token = app.cognito.token();
    let mut slow = Connection::open(app.public).await;
    slow.send(shout_with_long_response(&token).0).await;
    slow.readable().await;
    let mut next = Connection::open(app.public).await;
    next.send(shout(&token, "hi")).await;
    let answer = tokio::time::timeout(Duration::from_secs(60), next.response());
    assert_eq!(answer.await.expect("seconds").body, "IH");
    drop(slow);
}
