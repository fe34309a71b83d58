//! Connections: framing, pipelines, HTTP/2, and how long they last.

use std::time::Duration;

use crate::support::http1::Connection;
use crate::support::http1::{self, shout};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::{App, assert_problem, until};

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    let mut connection = Connection::open(app.public).await;
    let refused = shout("bad", "");
    connection
        .send(shout(&token, "one") + &refused + &shout(&token, "two") + &shout(&token, ""))
        .await;
    for (status, body) in [(200, "ENO"), (401, "unauthenticated"), (200, "OWT"), (200, "")] {
        let answer = connection.response().await;
        assert_eq!(answer.status, status);
        let said = if status == 200 {
            answer.body.clone()
        } else {
            answer.problem()
        };
        assert_eq!(said, body);
    }
}

#[tokio::test]
async fn content_length_beside_transfer_encoding_never_hides_a_second_request() {
    // After the answer to the first request an idle connection is closed, and what came on it is all there is.
    let app = App::start(&[("IDLE_TIMEOUT", "1s")]).await;
    let token = app.cognito.token();
    let hidden = shout(&token, "hidden");
    let chunked = format!("2\r\nhi\r\n0\r\n\r\n{hidden}");
    let length = format!("content-length: {}\r\n", chunked.len());
    let coding = "transfer-encoding: chunked\r\n";
    for framing in [format!("{length}{coding}"), format!("{coding}{length}")] {
        for token in [token.as_str(), "bad"] {
            let request = format!(
                "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: text/plain\r\n\
                 {framing}\r\n{chunked}"
            );
            let answers = http1::exchange(app.public, request.as_bytes()).await;
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{framing}{answers}");
        }
    }
}

#[tokio::test]
async fn what_the_parser_refuses_is_an_empty_400_and_the_end() {
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
async fn http_2_without_an_upgrade_works() {
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
        let response = shout.await.expect("an answer");
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.expect("UTF-8"), expected);
    }
    let refused = post("bad", "hi").send().await.expect("an answer");
    assert_eq!(refused.version(), reqwest::Version::HTTP_2);
    assert_problem(refused, 401, "unauthenticated").await;
    let long = post(&token, &"a".repeat(100_000))
        .send()
        .await
        .expect("an answer");
    assert_problem(long, 413, "content-too-large").await;
    assert_eq!(
        post(&token, "").send().await.expect("an answer").status(),
        200,
        "the connection goes on"
    );
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off_without_an_answer() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms")]).await;
    for part in ["", "P", "POST /v1 HTTP/1.1\r\nhost: x\r\n", "\r\n"] {
        assert_eq!(http1::exchange(app.public, part.as_bytes()).await, "", "{part:?}");
    }
    let mut connection = Connection::open(app.public).await;
    connection.send(shout(&app.cognito.token(), "hi")).await;
    assert_eq!(connection.response().await.body, "IH");
    connection.send("POST /v1 HTTP/1.1\r\nhost: x\r\n").await;
    assert_eq!(connection.rest().await, "", "after a request");
}

#[tokio::test]
async fn half_a_preface_of_http_2_is_a_head_that_never_ends() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms"), ("IDLE_TIMEOUT", "1h")]).await;
    let exchange = http1::exchange(app.public, b"PRI * HTTP/2.0\r\n");
    let answer = tokio::time::timeout(Duration::from_secs(20), exchange).await;
    assert_eq!(
        answer.expect("the connection is cut off, not kept as an idle one"),
        ""
    );
}

/// HTTP/2's preface and an empty SETTINGS frame: a client that then says nothing, and answers no PING.
const SILENT_HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[tokio::test]
async fn a_silent_peer_of_http_2_is_not_kept() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms"), ("IDLE_TIMEOUT", "1s")]).await;
    let exchange = http1::exchange(app.public, SILENT_HTTP_2);
    let frames = tokio::time::timeout(Duration::from_secs(20), exchange).await;
    assert_ne!(
        frames.expect("the connection is closed, GOAWAY answered or not"),
        ""
    );
}

#[tokio::test]
async fn a_peer_of_http_2_that_takes_no_answer_is_not_kept() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms"), ("IDLE_TIMEOUT", "1s")]).await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0: nothing may be sent of any body.
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
async fn a_stop_does_not_wait_for_what_is_no_request() {
    let app = App::start(&[
        ("HEADER_READ_TIMEOUT", "1m"),
        ("IDLE_TIMEOUT", "1h"),
        ("SHUTDOWN_TIMEOUT", "10m"),
    ])
    .await;
    let mut connections = Vec::new();
    for begun in [b"".as_slice(), b"POST /v1 HTTP/1.1\r\nhost:", SILENT_HTTP_2] {
        let mut connection = Connection::open(app.public).await;
        connection.send(begun).await;
        connections.push(connection);
    }
    let mut idle = Connection::open(app.public).await;
    idle.send(shout(&app.cognito.token(), "hi")).await;
    assert_eq!(idle.response().await.body, "IH");
    let stopped = tokio::time::timeout(Duration::from_secs(20), app.stop()).await;
    stopped.expect("seconds, not the minute that a head may take");
    drop((connections, idle));
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_head() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "100ms"), ("IDLE_TIMEOUT", "1h")]).await;
    let request = shout(&app.cognito.token(), "hi");
    let mut connection = Connection::open(app.public).await;
    for _ in 0..2 {
        connection.send(&request).await;
        assert_eq!(connection.response().await.body, "IH");
        // That nothing happens can only be waited for.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    connection.send(&request).await;
    assert_eq!(connection.response().await.body, "IH");
}

#[tokio::test]
async fn the_body_of_a_request_that_was_refused_begins_no_head() {
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
    let (begun, rest) = request.split_at(request.len() - "body".len());
    let mut connection = Connection::open(app.public).await;
    connection.send(begun).await;
    until("it waits for its key", async || keys.requests() > before).await;
    connection.send(rest).await;
    keys.set(KeyResponse::of(500, ""));
    assert_eq!(connection.response().await.status, 503);
    // That nothing happens can only be waited for.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    connection.send(shout("bad", "")).await;
    assert_eq!(connection.response().await.status, 401);
    connection.send("POST /v1 HTTP/1.1\r\nhost: x\r\n").await;
    let rest = tokio::time::timeout(Duration::from_secs(60), connection.rest());
    assert_eq!(rest.await.expect("a head has its time again"), "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let app = App::start(&[("IDLE_TIMEOUT", "1s")]).await;
    let mut connection = Connection::open(app.public).await;
    connection.send(shout(&app.cognito.token(), "hi")).await;
    assert_eq!(connection.response().await.body, "IH");
    assert_eq!(connection.rest().await, "");
}
