//! `MAX_BODY_BYTES`, and incomplete bodies.

use http_body_util::{BodyExt as _, Full};
use tokio::io::AsyncWriteExt as _;

use super::promptly;
use crate::support::http1::Connection;
use crate::support::{App, assert_problem};

/// Returns headers without the framing and the empty line.
fn headers(token: &str) -> String {
    format!(
        "POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n"
    )
}

/// Creates a body without `content-length`.
fn chunked(body: String) -> reqwest::Body {
    reqwest::Body::wrap(Full::new(bytes::Bytes::from(body)).map_frame(|frame| frame))
}

#[tokio::test]
async fn bodies_over_max_body_bytes_are_413() {
    let app = App::start(&[("MAX_BODY_BYTES", "1000")]).await;
    for (length, status) in [(999, 200), (1000, 200), (1001, 413), (100_000, 413)] {
        let body = "a".repeat(length);
        for framing in ["content-length", "chunked"] {
            let request = match framing {
                "chunked" => app.shout("").body(chunked(body.clone())),
                _ => app.shout(&body),
            };
            let response = request.send().await.expect("a response");
            assert_eq!(response.status(), status, "{length} {framing}");
            if status == 413 {
                let problem = assert_problem(response, 413, "content-too-large").await;
                assert!(
                    problem["detail"].as_str().expect("text").contains("1000"),
                    "{problem}"
                );
            } else {
                assert_eq!(response.text().await.expect("UTF-8"), body.to_uppercase());
            }
        }
    }
}

#[tokio::test]
async fn the_default_limit_is_64_kib() {
    let app = App::start(&[]).await;
    for (length, status) in [(65_536, 200), (65_537, 413)] {
        let response = app.shout(&"a".repeat(length)).send().await.expect("a response");
        assert_eq!(response.status(), status, "{length}");
    }
}

#[tokio::test]
async fn a_large_content_length_is_413_before_body_and_token_are_read() {
    let app = App::start(&[]).await;
    let (valid, authorization) = (app.cognito.token(), "authorization: Bearer bad\r\n");
    for length in ["65537", "1000000000000", "18446744073709551613"] {
        for head in [
            headers(&valid),
            headers("bad"),
            headers("bad").replace(authorization, ""),
        ] {
            let mut connection = Connection::open(app.public).await;
            connection
                .send(format!("{head}content-length: {length}\r\n\r\n"))
                .await;
            let answer = connection.response().await;
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (413, "content-too-large")
            );
            assert_eq!(connection.rest().await, "", "{length} {head}");
        }
    }
    assert_eq!(app.metric("shoutback_auth_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_client_that_sends_1_mib_can_still_read_its_rejection() {
    let app = App::start(&[]).await;
    let large = App::start(&[("MAX_BODY_BYTES", "1MiB")]).await;
    let (token, length) = (app.cognito.token(), 1024 * 1024);
    let body = vec![b'a'; length];
    let sized = format!("content-length: {length}\r\n\r\n");
    let chunk = format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n");
    for (app, head, status, name) in [
        (&app, headers(&token) + &sized, 413, "content-too-large"),
        (&app, headers(&token) + &chunk, 413, "content-too-large"),
        (&large, headers("bad") + &sized, 401, "unauthenticated"),
        (&large, headers("bad") + &chunk, 401, "unauthenticated"),
    ] {
        let mut connection = Connection::open(app.public).await;
        let (first, rest) = body.split_at(70_000);
        connection.send(head).await;
        connection.send(first).await;
        connection.readable().await;
        connection.send(rest).await;
        let answer = connection.response().await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, name));
    }
}

#[tokio::test]
async fn a_stalled_body_is_408_and_closes_the_connection() {
    let app = App::start(&[
        ("REQUEST_TIMEOUT", "200ms"),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "100ms"),
        ("SHOUTCLOUD_DEADLINE", "100ms"),
    ])
    .await;
    let head = headers(&app.cognito.token()).replace("connection: close\r\n", "");
    for part in [
        "content-length: 10\r\n\r\n",
        "content-length: 10\r\n\r\nabc",
        "transfer-encoding: chunked\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut connection = Connection::open(app.public).await;
        connection.send(format!("{head}{part}")).await;
        let answer = promptly(connection.response()).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (408, "request-timeout")
        );
        assert_eq!(answer.header("connection"), Some("close"), "{part:?}");
        assert_eq!(connection.rest().await, "", "{part:?}");
    }
    assert_eq!(app.shoutcloud.calls(), 0);
}

#[tokio::test]
async fn truncated_and_misframed_bodies_cause_no_upstream_call() {
    let app = App::start(&[]).await;
    let head = headers(&app.cognito.token());
    for part in [
        "content-length: 10\r\n\r\nabc",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut connection = Connection::open(app.public).await;
        connection.send(format!("{head}{part}")).await;
        connection.writer.shutdown().await.expect("half a close");
        let rest = connection.rest().await;
        assert!(
            rest.is_empty() || rest.starts_with("HTTP/1.1 400 "),
            "{part:?}: {rest}"
        );
    }
    let mut connection = Connection::open(app.public).await;
    connection
        .send(format!("{head}transfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n"))
        .await;
    let answer = connection.response().await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "malformed-request")
    );
    assert_eq!(app.shoutcloud.calls(), 0);
}
