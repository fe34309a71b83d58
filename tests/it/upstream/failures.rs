//! Responses that are missing, late, incomplete or endless.

use std::time::Duration;

use tokio::net::TcpSocket;

use super::{app_with, assert_failure, assert_unavailable};
use crate::support::App;
use crate::support::settings::NO_RETRIES;
use crate::support::upstream::{FakeUpstream, Reply};

#[tokio::test]
async fn an_incomplete_response_is_503() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    for part in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-len",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"INPUT\":\"ih\"",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1c\r\n{\"INPUT\":\"ih\",\"OUTPUT\":\"IH\"}\r\n",
        // Without length and chunks only the JSON tells.
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n{",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"INPUT\":\"ih\",\"OUTP",
        "HTTP/1.0 200 OK\r\n\r\n{\"INPUT\":\"ih\",\"OUTPUT\":\"IH\"",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n{\"INPUT\":\"ih\",\"OUTPUT\":\"\\u00",
    ] {
        assert_failure(
            &upstream,
            &app,
            Reply::Bytes(part.into()),
            503,
            "upstream-unavailable",
        )
        .await;
    }
}

#[tokio::test]
async fn an_unreachable_upstream_or_a_reset_is_503() {
    // Bound but not listening: connections are refused, and no other test gets the port.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let url = format!("http://{}/V1/SHOUT", socket.local_addr().expect("bound"));
    let app = App::start(&[("SHOUTCLOUD_URL", &url), NO_RETRIES]).await;
    assert_unavailable(&app, "refused").await;
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    for bytes in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"] {
        assert_failure(&upstream, &app, Reply::Reset(bytes), 503, "upstream-unavailable").await;
    }
}

#[tokio::test]
async fn a_response_that_is_incomplete_at_the_attempt_timeout_is_503() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let timeouts = [
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "200ms"),
        ("SHOUTCLOUD_DEADLINE", "20s"),
    ];
    let app = app_with(&upstream, &timeouts).await;
    for (head, piece) in [
        ("", ""),
        ("HTTP/1.1 200 OK\r\n", ""),
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", " "),
        ("HTTP/1.1 200 OK\r\n\r\n{\"INPUT\":\"ih\",\"OUTPUT\":\"IH\"}", " "),
    ] {
        upstream.set([Reply::Endless {
            head,
            piece: piece.to_owned(),
            pause: Duration::from_millis(20),
        }]);
        assert_unavailable(&app, &format!("{head:?} {piece:?}")).await;
    }
}

#[tokio::test]
async fn endless_responses_are_502() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let timeouts = [
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "20s"),
        ("SHOUTCLOUD_DEADLINE", "25s"),
    ];
    let app = app_with(&upstream, &timeouts).await;
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "s3cret s3cret s3cret "),
        (
            "HTTP/1.1 200 OK\r\n\r\n{\"INPUT\":\"ih\",\"OUTPUT\":\"IH\"}",
            "          ",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "6\r\ns3cret\r\n",
        ),
        ("HTTP/1.1 200 OK\r\n", "x-s3cret: s3cret\r\n"),
        ("HTTP/1.1 200 OK\r\nx-s3cret: ", "s3cret s3cret s3cret "),
    ] {
        let reply = Reply::Endless {
            head,
            piece: piece.repeat(100),
            pause: Duration::ZERO,
        };
        assert_failure(&upstream, &app, reply, 502, "upstream-invalid").await;
    }
}

#[tokio::test]
async fn without_retries_there_is_one_call() {
    let app = App::start(&[NO_RETRIES]).await;
    app.shoutcloud
        .set_behaviour(shoutback_emulators::shoutcloud::Behaviour {
            failure_rate: 1.0,
            ..Default::default()
        });
    assert_unavailable(&app, "emulator").await;
    assert_eq!(app.shoutcloud.calls(), 1);
}
