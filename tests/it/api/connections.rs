//! Connections: framing, pipelining, HTTP/2, timeouts.

use std::time::{Duration, Instant};

use super::promptly;
use crate::support::http1::Connection;
use crate::support::http1::{self, shout};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::{App, assert_problem, until};

#[tokio::test]
async fn pipelined_requests_get_their_responses_in_order() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    let mut connection = Connection::open(app.public).await;
    let invalid = shout("bad", "");
    connection
        .send(shout(&token, "one") + &invalid + &shout(&token, "two") + &shout(&token, ""))
        .await;
    for (status, body) in [(200, "ENO"), (401, "unauthenticated"), (200, "OWT"), (200, "")] {
        let answer = connection.response().await;
        assert_eq!(answer.status, status);
        let content = if status == 200 {
            answer.body.clone()
        } else {
            answer.problem()
        };
        assert_eq!(content, body);
    }
}

#[tokio::test]
async fn requests_rejected_by_the_parser_get_an_empty_400_and_a_close() {
    let app = App::start(&[]).await;
    let post = "POST /v1 HTTP/1.1\r\nhost: x\r\n";
    for request in [
        "GARBAGE\r\n\r\n".to_owned(),
        "POST /v1 HTTP/9.9\r\n\r\n".to_owned(),
        format!("{post}no colon\r\n\r\n"),
        format!("{post}na me: x\r\n\r\n"),
        format!("{post}content-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        format!("{post}content-length: -1\r\n\r\n"),
        format!("{post}content-length: 99999999999999999999999\r\n\r\n"),
        format!("{post}transfer-encoding: gzip\r\n\r\n"),
    ] {
        let answer = http1::exchange(app.public, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer:?}");
        assert!(answer.ends_with("\r\n\r\n"), "{request:?}: {answer:?}");
        assert_eq!(answer.matches("\r\n\r\n").count(), 1, "{request:?}: {answer:?}");
    }
    assert_eq!(app.status_with(&app.cognito.token()).await, 200);
}

#[tokio::test]
async fn http_2_with_prior_knowledge_works() {
    let app = App::start(&[]).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let post = |token: &str, text: &str| {
        client
            .post(format!("http://{}/v1", app.public))
            .bearer_auth(token)
            .header("content-type", "text/plain")
            .body(text.to_owned())
    };
    let token = app.cognito.token();
    let shouts = ["one", "two", "three"].map(|text| post(&token, text).send());
    for (shout, expected) in shouts.into_iter().zip(["ENO", "OWT", "EERHT"]) {
        let response = shout.await.expect("a response");
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.expect("UTF-8"), expected);
    }
    let rejected = post("bad", "hi").send().await.expect("a response");
    assert_eq!(rejected.version(), reqwest::Version::HTTP_2);
    assert_problem(rejected, 401, "unauthenticated").await;
    let long = post(&token, &"a".repeat(100_000))
        .send()
        .await
        .expect("a response");
    assert_problem(long, 413, "content-too-large").await;
    assert_eq!(
        post(&token, "").send().await.expect("a response").status(),
        200,
        "the connection stays open"
    );
}

#[tokio::test]
async fn incomplete_headers_time_out_without_a_response() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms")]).await;
    for part in ["", "P", "POST /v1 HTTP/1.1\r\nhost: x\r\n", "\r\n"] {
        let exchange = promptly(http1::exchange(app.public, part.as_bytes()));
        assert_eq!(exchange.await, "", "{part:?}");
    }
    let mut connection = Connection::open(app.public).await;
    connection.send(shout(&app.cognito.token(), "hi")).await;
    assert_eq!(connection.response().await.body, "IH");
    connection.send("POST /v1 HTTP/1.1\r\nhost: x\r\n").await;
    assert_eq!(promptly(connection.rest()).await, "", "after a request");
}

#[tokio::test]
async fn pipelined_incomplete_headers_time_out_like_others() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "200ms"), ("IDLE_TIMEOUT", "1h")]).await;
    let token = app.cognito.token();
    let partial = "POST /v1 HTTP/1.1\r\nhost: x\r\n";
    for complete in [
        shout(&token, "hi"),
        "GET /docs HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
    ] {
        for requests in [complete.clone(), complete.repeat(3)] {
            let mut connection = Connection::open(app.public).await;
            connection.send(requests.clone() + partial).await;
            for _ in 0..requests.matches("HTTP/1.1").count() {
                assert_eq!(connection.response().await.status, 200);
            }
            assert_eq!(promptly(connection.rest()).await, "", "{requests}");
        }
    }
    // The body of a rejected request comes before the next request head.
    let other_type = shout(&token, "hi").replace("text/plain", "text/html");
    let chunked = "transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    for (rejected, status) in [
        (shout("bad", "hi"), 401),
        (shout("bad", &"a".repeat(30_000)), 401),
        (
            shout("bad", "").replace("content-length: 0\r\n\r\n", chunked),
            401,
        ),
        (other_type, 415),
        (shout(&token, "hi").replace("/v1", "/nothing"), 404),
        (shout(&token, "hi").replace("POST", "PUT"), 405),
        (
            shout(&token, "hi").replacen("\r\n", "\r\naccept: image/png\r\n", 1),
            406,
        ),
    ] {
        for requests in [rejected.clone(), rejected.repeat(3)] {
            let mut connection = Connection::open(app.public).await;
            connection.send(requests.clone() + partial).await;
            for _ in 0..requests.matches("HTTP/1.1").count() {
                assert_eq!(connection.response().await.status, status);
            }
            assert_eq!(promptly(connection.rest()).await, "", "{requests}");
        }
    }
    // Bytes that arrive while the request is in progress are pipelined, too.
    let mut connection = Connection::open(app.public).await;
    let request = shout(&token, "hi there");
    let (first, rest) = request.split_at(request.len() - 3);
    connection.send(first).await;
    until("it is in progress", async || {
        app.metric("http_server_active_requests", &[]).await == 1.0
    })
    .await;
    connection.send(rest.to_owned() + partial).await;
    assert_eq!(connection.response().await.body, "EREHT IH");
    assert_eq!(promptly(connection.rest()).await, "");
}

#[tokio::test]
async fn a_rejected_request_with_its_body_leaves_the_connection_idle() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "200ms"), ("IDLE_TIMEOUT", "1h")]).await;
    let token = app.cognito.token();
    for (rejected, status) in [
        (shout("bad", "hi"), 401),
        (shout(&token, "hi").replace("text/plain", "text/html"), 415),
    ] {
        let mut connection = Connection::open(app.public).await;
        for _ in 0..2 {
            connection.send(rejected.clone()).await;
            assert_eq!(connection.response().await.status, status);
            // Opened later, so the time for a request head has passed for both.
            assert_eq!(promptly(http1::exchange(app.public, b"P")).await, "");
        }
        connection.send(shout(&token, "hi")).await;
        assert_eq!(connection.response().await.body, "IH");
    }
}

#[tokio::test]
async fn an_incomplete_http_2_preface_times_out_like_headers() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms"), ("IDLE_TIMEOUT", "1h")]).await;
    assert_eq!(
        promptly(http1::exchange(app.public, b"PRI * HTTP/2.0\r\n")).await,
        ""
    );
}

/// HTTP/2's preface and an empty SETTINGS frame, of a client that then sends nothing and ignores PINGs.
const SILENT_HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[tokio::test]
async fn a_silent_http_2_connection_is_closed() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms"), ("IDLE_TIMEOUT", "1s")]).await;
    let exchange = http1::exchange(app.public, SILENT_HTTP_2);
    let frames = tokio::time::timeout(Duration::from_secs(20), exchange).await;
    assert_ne!(frames.expect("the connection is closed"), "");
}

#[tokio::test]
async fn an_http_2_connection_that_reads_no_response_is_closed() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms"), ("IDLE_TIMEOUT", "1s")]).await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0: no byte of a response body may be sent.
    bytes.extend(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00");
    // HEADERS of stream 1: GET, http, /docs, authority x.
    bytes.extend(b"\x00\x00\x0c\x01\x05\x00\x00\x00\x01\x82\x86\x04\x05/docs\x01\x01x");
    let exchange = http1::exchange(app.public, &bytes);
    let frames = tokio::time::timeout(Duration::from_secs(20), exchange).await;
    assert!(!frames.expect("the connection is closed").contains("<html"));
    assert_eq!(
        app.metric(
            "http_server_request_duration_seconds_count",
            &["http_route=\"/docs\""]
        )
        .await,
        1.0
    );
}

#[tokio::test]
async fn shutdown_does_not_wait_for_connections_without_a_complete_request() {
    let app = App::start(&[
        ("HEADER_READ_TIMEOUT", "1m"),
        ("IDLE_TIMEOUT", "1h"),
        ("SHUTDOWN_TIMEOUT", "10m"),
    ])
    .await;
    let mut connections = Vec::new();
    for part in [b"".as_slice(), b"POST /v1 HTTP/1.1\r\nhost:", SILENT_HTTP_2] {
        let mut connection = Connection::open(app.public).await;
        connection.send(part).await;
        connections.push(connection);
    }
    let mut idle = Connection::open(app.public).await;
    idle.send(shout(&app.cognito.token(), "hi")).await;
    assert_eq!(idle.response().await.body, "IH");
    let stopped = tokio::time::timeout(Duration::from_secs(20), app.stop()).await;
    stopped.expect("seconds, not the header timeout");
    drop((connections, idle));
}

#[tokio::test]
async fn the_header_timeout_does_not_apply_to_idle_connections() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms"), ("IDLE_TIMEOUT", "1h")]).await;
    let request = shout(&app.cognito.token(), "hi");
    let mut connection = Connection::open(app.public).await;
    for _ in 0..2 {
        connection.send(&request).await;
        assert_eq!(connection.response().await.body, "IH");
        // Longer than the header timeout.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    connection.send(&request).await;
    assert_eq!(connection.response().await.body, "IH");
}

#[tokio::test]
async fn the_body_of_a_rejected_request_does_not_start_the_header_timeout() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let url = keys.url();
    let app = App::start(&[
        ("COGNITO_JWKS_ENDPOINT", url.as_str()),
        ("HEADER_READ_TIMEOUT", "500ms"),
        ("IDLE_TIMEOUT", "1h"),
    ])
    .await;
    keys.set(KeyResponse::Stall);
    let before = keys.requests();
    let request = shout(&BOB.token("bob", &app.cognito.claims()), "a body");
    let (first, rest) = request.split_at(request.len() - "body".len());
    let mut connection = Connection::open(app.public).await;
    connection.send(first).await;
    until("it waits for its key", async || keys.requests() > before).await;
    connection.send(rest).await;
    keys.set(KeyResponse::of(500, ""));
    assert_eq!(connection.response().await.status, 503);
    // Longer than the header timeout.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    connection.send(shout("bad", "")).await;
    assert_eq!(connection.response().await.status, 401);
    connection.send("POST /v1 HTTP/1.1\r\nhost: x\r\n").await;
    assert_eq!(
        promptly(connection.rest()).await,
        "",
        "the header timeout applies again"
    );
}

#[tokio::test]
async fn idle_connections_are_closed_after_the_idle_timeout() {
    let app = App::start(&[("IDLE_TIMEOUT", "1s")]).await;
    let mut connection = Connection::open(app.public).await;
    let start = Instant::now();
    connection.send(shout(&app.cognito.token(), "hi")).await;
    assert_eq!(connection.response().await.body, "IH");
    assert_eq!(promptly(connection.rest()).await, "");
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}
