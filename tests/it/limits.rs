//! The server's limits on connections, requests, headers and frames, and isolation of clients from each other.

mod floods;
mod large_texts;
mod slow_readers;
mod smuggling;

use std::time::Duration;

use crate::support::http1::Connection;
use crate::support::http1::shout;
use crate::support::http2::{self, END_HEADERS, END_STREAM, HEADERS, Http2, block, frame, shout_fields};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::settings::LONG_TIMEOUTS;
use crate::support::upstream::FakeUpstream;
use crate::support::{App, assert_problem, until};

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_another_is_closed() {
    let app = App::start(&[("MAX_CONNECTIONS", "2")]).await;
    let request = shout(&app.cognito.token(), "hi");
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(app.public).await;
        connection.send(&request).await;
        assert_eq!(connection.response().await.body, "IH");
        open.push(connection);
    }
    for _ in 0..3 {
        let mut waiting = Connection::open(app.public).await;
        waiting.send(&request).await;
        let others = async {
            for _ in 0..20 {
                for connection in &mut open {
                    connection.send(&request).await;
                    assert_eq!(connection.response().await.body, "IH");
                }
                assert_eq!(app.admin("/livez").await.status(), 200);
            }
        };
        tokio::select! {
            biased;
            () = others => {}
            () = waiting.readable() => panic!("a third connection is served"),
        }
        drop(open.remove(0));
        assert_eq!(waiting.response().await.body, "IH");
        open.push(waiting);
    }
}

#[tokio::test]
async fn the_admin_listener_has_no_connection_limit() {
    let app = App::start(&[("MAX_CONNECTIONS", "1")]).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut connection = Connection::open(app.admin).await;
        connection.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(connection.response().await.status, 200);
        open.push(connection);
    }
}

#[tokio::test]
async fn requests_over_the_limit_are_shed_until_another_completes() {
    let upstream = FakeUpstream::held().await;
    let app = App::start(
        &[
            &LONG_TIMEOUTS[..],
            &[
                ("SHOUTCLOUD_URL", &upstream.url()),
                ("MAX_REQUESTS_IN_FLIGHT", "2"),
            ],
        ]
        .concat(),
    )
    .await;
    let token = app.cognito.token();
    let mut first = Connection::open(app.public).await;
    first.send(shout(&token, "one")).await;
    let mut second = Http2::open(app.public).await;
    second.shout(1, &token, "two").await;
    upstream.called(2).await;

    let rejection = tokio::select! {
        rejection = app.shout("hi").send() => rejection.expect("a response"),
        () = upstream.called(3) => panic!("a third request is handled"),
    };
    assert_eq!(rejection.headers()["retry-after"], "1");
    for (name, value) in [
        ("cache-control", "no-store"),
        ("vary", "accept"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(rejection.headers()[name], value);
    }
    assert_problem(rejection, 503, "overloaded").await;
    second.shout(3, &token, "hi").await;
    let rejection = tokio::select! {
        rejection = second.response(3) => rejection.expect("a response"),
        () = upstream.called(3) => panic!("a third request is handled"),
    };
    assert_eq!(rejection.status, 503);
    assert!(rejection.body.contains("/docs#overloaded"), "{}", rejection.body);
    let counted = app
        .metric(
            "http_server_request_duration_seconds_count",
            &["error_type=\"overloaded\""],
        )
        .await;
    assert_eq!(counted, 2.0);
    assert_eq!(upstream.calls(), 2);

    upstream.release();
    assert_eq!(first.response().await.body, "ENO");
    assert_eq!(second.response(1).await.expect("a response").body, "OWT");
    assert_eq!(app.status_with(&token).await, 200);
}

#[tokio::test]
async fn a_client_that_disconnects_frees_its_permit() {
    let upstream = FakeUpstream::held().await;
    let app = App::start(
        &[
            &LONG_TIMEOUTS[..],
            &[
                ("SHOUTCLOUD_URL", &upstream.url()),
                ("MAX_REQUESTS_IN_FLIGHT", "1"),
                ("CACHE_CAPACITY", "0"),
            ],
        ]
        .concat(),
    )
    .await;
    let token = app.cognito.token();
    for (round, text) in ["one", "two", "three", "four"].into_iter().enumerate() {
        if round % 2 == 0 {
            let mut connection = Connection::open(app.public).await;
            connection.send(shout(&token, text)).await;
            upstream.called(round + 1).await;
        } else {
            let mut connection = Http2::open(app.public).await;
            connection.shout(1, &token, text).await;
            upstream.called(round + 1).await;
            connection
                .send(&frame(http2::RST_STREAM, 0, 1, &[0, 0, 0, 8]))
                .await;
            connection.shout(3, "bad", "").await;
            until("the stream is gone", async || {
                app.metric("http_server_active_requests", &[]).await == 0.0
            })
            .await;
        }
        until("its permit is free", async || app.status_with("bad").await == 401).await;
    }
}

/// Returns `fields` header fields to add to those of a shout; on HTTP/1.1 these include `host` and `content-length`.
fn padding(fields: usize) -> Vec<(String, String)> {
    (0..fields)
        .map(|index| (format!("x-{index}"), "y".to_owned()))
        .collect()
}

#[tokio::test]
async fn more_than_100_fields_are_431_with_an_empty_body() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    let request = shout(&token, "hi");
    for (more, status) in [(96, 200), (97, 431)] {
        let lines: String = padding(more)
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let mut connection = Connection::open(app.public).await;
        connection
            .send(request.replacen("host: x\r\n", &format!("host: x\r\n{lines}"), 1))
            .await;
        let answer = connection.response().await;
        assert_eq!(answer.status, status, "HTTP/1.1 {more}");
        if status == 431 {
            assert_eq!((answer.body.as_str(), connection.rest().await.as_str()), ("", ""));
        }
    }
    let mut connection = Http2::open(app.public).await;
    for (stream, more, status) in [(1, 98, 200), (3, 99, 431), (5, 3_000, 431), (7, 98, 200)] {
        let mut list = shout_fields(&token);
        list.extend(padding(more));
        connection.send_block(stream, &block(&list)).await;
        connection
            .send(&frame(http2::DATA, END_STREAM, stream, b"hi"))
            .await;
        let answer = connection.response(stream).await.expect("a response");
        let body = if status == 200 { "IH" } else { "" };
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, body),
            "HTTP/2 {more}"
        );
    }
}

#[tokio::test]
async fn headers_over_64_kib_are_431_with_an_empty_body() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    for (length, status) in [(60_000, 200), (70_000, 431)] {
        let long = "y".repeat(length);
        let mut connection = Connection::open(app.public).await;
        let request = shout(&token, "hi");
        connection
            .send(request.replacen("host: x\r\n", &format!("host: x\r\nx-long: {long}\r\n"), 1))
            .await;
        let answer = connection.response().await;
        assert_eq!(answer.status, status, "HTTP/1.1 {length}");
        assert_eq!(answer.body, if status == 200 { "IH" } else { "" });

        let mut list = shout_fields(&token);
        list.push(("x-long".to_owned(), long));
        let mut connection = Http2::open(app.public).await;
        connection.send_block(1, &block(&list)).await;
        connection.send(&frame(http2::DATA, END_STREAM, 1, b"hi")).await;
        let answer = connection.response(1).await.expect("a response");
        assert_eq!(answer.status, status, "HTTP/2 {length}");
        assert_eq!(answer.body, if status == 200 { "IH" } else { "" });
    }
}

#[tokio::test]
async fn five_hundred_incomplete_requests_do_not_affect_other_clients() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "5m")]).await;
    let mut incomplete = Vec::new();
    for _ in 0..500 {
        let mut connection = Connection::open(app.public).await;
        connection.send("POST /v1 HTTP/1.1\r\nhost: x\r\nx-slow").await;
        incomplete.push(connection);
    }
    let token = app.cognito.token();
    let others = async {
        for _ in 0..20 {
            assert_eq!(app.status_with(&token).await, 200);
        }
    };
    let others = tokio::time::timeout(Duration::from_secs(60), others).await;
    others.expect("seconds, not the header timeout");
    let mut http2 = Http2::open(app.public).await;
    http2
        .send(&frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &block(&shout_fields("bad")),
        ))
        .await;
    assert_eq!(http2.response(1).await.expect("a response").status, 401);
    drop(incomplete);
}

#[tokio::test]
async fn waiting_uploads_do_not_affect_other_streams() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let url = keys.url();
    let app = App::start(&[("COGNITO_JWKS_ENDPOINT", url.as_str())]).await;
    let claims = app.cognito.claims();
    let (known, unknown) = (ADA.token("ada", &claims), BOB.token("bob", &claims));
    keys.set(KeyResponse::Stall);
    let before = keys.requests();
    let mut connection = Http2::open(app.public).await;
    // The window of a stream; the connection's window is large enough for 99 of them from the start.
    let upload = "a".repeat(65_535);
    let granted = loop {
        let received = connection.next().await.expect("a frame");
        if (received.kind, received.stream) == (http2::WINDOW_UPDATE, 0) {
            break u32::from_be_bytes(received.payload.try_into().expect("four bytes"));
        }
    };
    assert!(granted >= 99 * 65_535, "{granted}");
    for index in 0..99 {
        connection.shout(2 * index + 1, &unknown, &upload).await;
    }
    until("they wait for the key", async || keys.requests() > before).await;
    connection.shout(199, &known, &upload).await;
    let answer = connection.response(199).await.expect("a response");
    assert_eq!(answer.body.len(), upload.len());
}
