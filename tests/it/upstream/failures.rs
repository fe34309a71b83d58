//! Answers that do not come, not in time, or without an end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::{ONE_CALL, Puppet, app_with, assert_unavailable};
use crate::support::{App, assert_problem, raw};

#[tokio::test]
async fn an_answer_that_breaks_off_is_503() {
    let puppet = Puppet::start().await;
    let app = app_with(&puppet.server, &[]).await;
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
        puppet
            .assert(&app, part.as_bytes(), 503, "upstream-unavailable")
            .await;
    }
}

#[tokio::test]
async fn a_refused_or_reset_connection_is_503() {
    // Bound and not listening: connections are refused, and nobody else gets the port.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let url = format!("http://{}/V1/SHOUT", socket.local_addr().expect("bound"));
    let refusing = App::start(&[("SHOUTCLOUD_URL", &url), ONE_CALL[0]]).await;
    assert_unavailable(&refusing, "refused").await;
    for before in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"] {
        let upstream = raw::Server::start(move |_, mut stream: TcpStream| async move {
            _ = stream.write_all(before.as_bytes()).await;
            stream.set_zero_linger().expect("an open socket");
        })
        .await;
        let app = app_with(&upstream, &[]).await;
        assert_unavailable(&app, before).await;
        assert_eq!(upstream.connections(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_by_the_attempt_timeout_is_503() {
    let answer = Arc::new(Mutex::new(("", "")));
    let next = Arc::clone(&answer);
    let upstream = raw::Server::start(move |_, mut stream| {
        let (head, drop) = *next.lock().expect("not poisoned");
        async move {
            _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(drop.as_bytes()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    })
    .await;
    let times = [
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "200ms"),
        ("SHOUTCLOUD_DEADLINE", "20s"),
    ];
    let app = app_with(&upstream, &times).await;
    for (head, drop) in [
        ("", ""),
        ("HTTP/1.1 200 OK\r\n", ""),
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", " "),
        ("HTTP/1.1 200 OK\r\n\r\n{\"INPUT\":\"ih\",\"OUTPUT\":\"IH\"}", " "),
    ] {
        *answer.lock().expect("not poisoned") = (head, drop);
        assert_unavailable(&app, &format!("{head:?} {drop:?}")).await;
    }
}

#[tokio::test]
async fn endless_answers_are_cut_off_with_502() {
    for (case, head, piece) in [
        ("body", "HTTP/1.1 200 OK\r\n\r\n", "s3cret s3cret s3cret "),
        (
            "white space",
            "HTTP/1.1 200 OK\r\n\r\n{\"INPUT\":\"ih\",\"OUTPUT\":\"IH\"}",
            "          ",
        ),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "6\r\ns3cret\r\n",
        ),
        ("headers", "HTTP/1.1 200 OK\r\n", "x-s3cret: s3cret\r\n"),
        (
            "one header",
            "HTTP/1.1 200 OK\r\nx-s3cret: ",
            "s3cret s3cret s3cret ",
        ),
    ] {
        let upstream = raw::Server::start(move |_, mut stream| async move {
            let piece = piece.repeat(100);
            _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(piece.as_bytes()).await.is_ok() {}
        })
        .await;
        let times = [
            ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "20s"),
            ("SHOUTCLOUD_DEADLINE", "25s"),
        ];
        let app = app_with(&upstream, &times).await;
        let response = app.shout("hi").send().await.expect("an answer");
        assert_eq!(response.status(), 502, "{case}");
        let problem = assert_problem(response, 502, "upstream-invalid").await;
        assert!(!problem.to_string().contains("s3cret"), "{problem}");
        assert_eq!(upstream.connections(), 1, "{case}");
    }
}

#[tokio::test]
async fn the_emulator_is_asked_once_for_a_shout_that_it_refuses_to_give() {
    let app = App::start(&ONE_CALL).await;
    app.shoutcloud
        .set_behaviour(shoutback_emulators::shoutcloud::Behaviour {
            failure_rate: 1.0,
            ..Default::default()
        });
    assert_unavailable(&app, "emulator").await;
    assert_eq!(app.shoutcloud.calls(), 1);
}
