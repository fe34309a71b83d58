//! Responses that are sent before the body of their request has arrived: they announce that the connection is closed.

use std::net::SocketAddr;

use serde_json::json;

use super::promptly;
use crate::support::http1::{Connection, shout};
use crate::support::{App, until};

const BODY: &str = "hi";

/// Sends `head` and `sent` of its body, and returns the status of the response and whether it announces a close.
async fn respond(connection: &mut Connection, head: &str, sent: &str) -> (u16, bool) {
    connection.send(format!("{head}{sent}")).await;
    let answer = promptly(connection.response()).await;
    let field = answer.header("connection");
    assert!(matches!(field, None | Some("close")), "{head}: {field:?}");
    (answer.status, field.is_some())
}

/// Returns requests without their bodies, and the statuses of their responses.
fn rejected(app: &App) -> Vec<(String, u16)> {
    let head = |token: &str| {
        let request = shout(token, BODY);
        request.strip_suffix(BODY).expect("a body").to_owned()
    };
    let (valid, forbidden) = (
        head(&app.cognito.token()),
        head(&app.token_with(&[("scope", json!("openid"))])),
    );
    let limited = head(&app.token_with(&[("sub", json!("eve"))]));
    vec![
        (head("bad"), 401),
        (head("bad").replace("authorization: Bearer bad\r\n", ""), 401),
        (forbidden, 403),
        (valid.replace("/v1", "/nothing"), 404),
        (valid.replace("POST", "PUT"), 405),
        (valid.replace("POST", "OPTIONS"), 204),
        (valid.replace("POST /v1", "GET /docs"), 200),
        (limited, 429),
        (valid.replace("text/plain", "text/html"), 415),
        (valid.replacen("\r\n", "\r\naccept: image/png\r\n", 1), 406),
    ]
}

/// Starts the service with the quota of the user `eve` used up.
async fn limited_app() -> App {
    let app = App::start(&[("RATE_LIMIT_PER_CLIENT", "1/h"), ("RATE_LIMIT_BURST", "20")]).await;
    let eve = app.token_with(&[("sub", json!("eve"))]);
    while app.status_with(&eve).await == 200 {}
    app
}

#[tokio::test]
async fn a_response_before_the_body_announces_the_close() {
    let app = limited_app().await;
    for (head, status) in rejected(&app) {
        for sent in ["", "h"] {
            let mut connection = Connection::open(app.public).await;
            let response = respond(&mut connection, &head, sent).await;
            assert_eq!(response, (status, true), "{sent:?} of {head}");
            assert_eq!(promptly(connection.rest()).await, "", "{sent:?} of {head}");
        }
        let chunked = head.replace("content-length: 2", "transfer-encoding: chunked");
        for sent in ["", "2\r\nhi\r\n"] {
            let mut connection = Connection::open(app.public).await;
            let response = respond(&mut connection, &chunked, sent).await;
            assert_eq!(response, (status, true), "{sent:?} of {chunked}");
            assert_eq!(promptly(connection.rest()).await, "", "{sent:?} of {chunked}");
        }
    }
}

#[tokio::test]
async fn a_response_to_a_complete_request_leaves_the_connection_open() {
    let app = limited_app().await;
    for (head, status) in rejected(&app) {
        let chunked = head.replace("content-length: 2", "transfer-encoding: chunked");
        let large = head.replace("content-length: 2", "content-length: 20000");
        for (head, body) in [
            (&head, BODY),
            (&chunked, "2\r\nhi\r\n0\r\n\r\n"),
            (&large, &"a".repeat(20_000)),
        ] {
            let mut connection = Connection::open(app.public).await;
            for _ in 0..3 {
                let response = respond(&mut connection, head, body).await;
                assert_eq!(response, (status, false), "{head}");
            }
        }
    }
}

#[tokio::test]
async fn a_rejected_expectation_announces_the_close() {
    let app = limited_app().await;
    for (head, status) in rejected(&app) {
        let head = head.replacen("\r\n", "\r\nexpect: 100-continue\r\n", 1);
        for sent in ["", BODY] {
            let mut connection = Connection::open(app.public).await;
            let response = respond(&mut connection, &head, sent).await;
            assert_eq!(response, (status, true), "{sent:?} of {head}");
            assert_eq!(promptly(connection.rest()).await, "", "{sent:?} of {head}");
        }
    }
}

#[tokio::test]
async fn shed_requests_and_long_bodies_announce_the_close() {
    let app = App::start(&[("MAX_REQUESTS_IN_FLIGHT", "1")]).await;
    let token = app.cognito.token();
    let request = shout(&token, BODY);
    let head = request.strip_suffix(BODY).expect("a body");
    let mut in_flight = Connection::open(app.public).await;
    in_flight.send(head).await;
    until("it is in flight", async || {
        app.metric("http_server_active_requests", &[]).await == 1.0
    })
    .await;
    assert_closes(app.public, head, "", 503).await;
    in_flight.send(BODY).await;
    assert_eq!(in_flight.response().await.status, 200);
    assert_closes(app.public, &head.replace(": 2\r\n", ": 65537\r\n"), "", 413).await;
    // More than is read of the body of a rejected request.
    let app = App::start(&[("MAX_BODY_BYTES", "1MiB")]).await;
    let long = "a".repeat(300_000);
    let head = shout("bad", &long).replace(&long, "");
    assert_closes(app.public, &head, &long, 401).await;
}

async fn assert_closes(address: SocketAddr, head: &str, sent: &str, status: u16) {
    let mut connection = Connection::open(address).await;
    let response = respond(&mut connection, head, sent).await;
    assert_eq!(response, (status, true), "{head}");
    assert_eq!(promptly(connection.rest()).await, "", "{head}");
}

#[tokio::test]
async fn on_http_1_0_the_close_overrides_the_callers_keep_alive() {
    let app = limited_app().await;
    let old = |head: &str| {
        let head = head.replace("HTTP/1.1", "HTTP/1.0");
        head.replacen("\r\n", "\r\nconnection: keep-alive\r\n", 1)
    };
    for (head, status) in rejected(&app) {
        assert_closes(app.public, &old(&head), "", status).await;
    }
}
