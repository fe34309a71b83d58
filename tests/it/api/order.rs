//! The order of the checks: which error a request with several faults gets, and how much of it is read before.

use serde_json::{Map, Value, json};

use crate::support::App;
use crate::support::http1::{Connection, Response};
use crate::support::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, Http2, block, frame, shout_fields};

const LIMIT: usize = 100;

/// A valid request into which faults are injected.
struct Request {
    method: &'static str,
    path: &'static str,
    claims: Map<String, Value>,
    quota_is_used_up: bool,
    content_type: &'static str,
    accept: &'static str,
    declares_too_much: bool,
    is_too_long: bool,
    is_malformed: bool,
}

type Fault = (u16, fn(&mut Request));

/// Every fault, in the order of the checks.
const FAULTS: [Fault; 10] = [
    (404, |request| request.path = "/v2"),
    (405, |request| request.method = "PUT"),
    (413, |request| request.declares_too_much = true),
    (401, |request| {
        request.claims.insert("exp".to_owned(), json!(1));
    }),
    (403, |request| {
        request.claims.insert("scope".to_owned(), json!("openid"));
    }),
    (429, |request| request.quota_is_used_up = true),
    (415, |request| request.content_type = "text/html"),
    (406, |request| request.accept = "image/png"),
    (413, |request| request.is_too_long = true),
    (400, |request| request.is_malformed = true),
];

impl Request {
    /// Creates a valid request of a user with an unused quota.
    fn of(app: &App, user: &str) -> Self {
        let mut claims = app.cognito.claims();
        claims.insert("sub".to_owned(), json!(user));
        Self {
            method: "POST",
            path: "/v1",
            claims,
            quota_is_used_up: false,
            content_type: "application/json",
            accept: "*/*",
            declares_too_much: false,
            is_too_long: false,
            is_malformed: false,
        }
    }

    async fn send(&self, app: &App) -> Response {
        let mut connection = Connection::open(app.public).await;
        connection
            .send(format!(
                "{} {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {}\r\naccept: {}\r\n",
                self.method,
                self.path,
                app.cognito.sign(&self.claims),
                self.content_type,
                self.accept
            ))
            .await;
        if self.declares_too_much {
            connection
                .send(format!("content-length: {}\r\n\r\n", LIMIT + 1))
                .await;
        } else {
            let mut body = if self.is_malformed { "{" } else { r#"{"data":""}"# }.to_owned();
            if self.is_too_long {
                body.push_str(&" ".repeat(LIMIT));
            }
            connection
                .send(format!(
                    "transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                    body.len()
                ))
                .await;
        }
        connection.response().await
    }
}

#[tokio::test]
async fn the_first_fault_determines_the_response() {
    let limit = LIMIT.to_string();
    let app = App::start(&[
        ("MAX_BODY_BYTES", limit.as_str()),
        ("RATE_LIMIT_PER_CLIENT", "1/h"),
        ("RATE_LIMIT_BURST", "1"),
    ])
    .await;
    assert_eq!(Request::of(&app, "valid").send(&app).await.status, 200);
    let singles = FAULTS.iter().map(|fault| vec![*fault]);
    let pairs = (0..FAULTS.len())
        .flat_map(|first| (first + 1..FAULTS.len()).map(move |second| vec![FAULTS[first], FAULTS[second]]));
    let all_after = (0..FAULTS.len()).map(|first| FAULTS[first..].to_vec());
    for (user, faults) in singles.chain(pairs).chain(all_after).enumerate() {
        let statuses: Vec<_> = faults.iter().map(|(status, _)| *status).collect();
        let user = user.to_string();
        let mut request = Request::of(&app, &user);
        for (_, inject) in &faults {
            inject(&mut request);
        }
        if request.quota_is_used_up {
            let valid = Request::of(&app, &user);
            assert_eq!(valid.send(&app).await.status, 200, "{statuses:?}");
        }
        let answer = request.send(&app).await;
        assert_eq!(answer.status, statuses[0], "{statuses:?}: {answer:?}");
        answer.problem();
    }
}

#[tokio::test]
async fn the_body_is_not_requested_before_the_headers_are_accepted() {
    let app = App::start(&[]).await;
    let valid = app.cognito.token();
    let forbidden = app.token_with(&[("scope", json!("openid"))]);
    for (token, length, media_type, accept, status) in [
        ("bad", "5", "text/plain", "*/*", 401),
        (forbidden.as_str(), "5", "text/plain", "*/*", 403),
        (&valid, "65537", "text/plain", "*/*", 413),
        (&valid, "5", "text/html", "*/*", 415),
        (&valid, "5", "text/plain", "image/png", 406),
        (&valid, "5", "text/plain", "*/*", 100),
    ] {
        let mut connection = Connection::open(app.public).await;
        connection
            .send(format!(
                "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: {media_type}\r\n\
                 accept: {accept}\r\ncontent-length: {length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
            ))
            .await;
        assert_eq!(connection.response().await.status, status);
        if status == 100 {
            connection.send("hello").await;
            let answer = connection.response().await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "OLLEH"));
        }
        assert_eq!(connection.rest().await, "", "{status}");
    }
}

/// A token, changed header fields, and the status and problem of the response.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn on_http_2_100_continue_is_417_before_the_body_arrives() {
    let app = App::start(&[]).await;
    let valid = app.cognito.token();
    let forbidden = app.token_with(&[("scope", json!("openid"))]);
    let mut connection = Http2::open(app.public).await;
    let cases: [Case<'_>; 9] = [
        (&valid, &[("content-length", "65537")], 413, "content-too-large"),
        ("bad", &[], 401, "unauthenticated"),
        (&forbidden, &[], 403, "forbidden"),
        (
            &valid,
            &[("content-type", "text/html")],
            415,
            "unsupported-media-type",
        ),
        (&valid, &[("accept", "image/png")], 406, "not-acceptable"),
        (&valid, &[], 417, "expectation-failed"),
        (&valid, &[("content-length", "5")], 417, "expectation-failed"),
        (&valid, &[("expect", "100-Continue")], 417, "expectation-failed"),
        (
            &valid,
            &[("expect", "x=1 , 100-continue")],
            417,
            "expectation-failed",
        ),
    ];
    for (index, (token, changes, status, problem)) in cases.into_iter().enumerate() {
        let mut list = shout_fields(token);
        list.push(("expect".to_owned(), "100-continue".to_owned()));
        list.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        list.extend(
            changes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let stream = 2 * u32::try_from(index).expect("a few") + 1;
        connection
            .send(&frame(HEADERS, END_HEADERS, stream, &block(&list)))
            .await;
        let response = connection.response(stream).await.expect("a response");
        assert_eq!(response.status, status, "{list:?}");
        assert!(
            response.body.contains(&format!("/docs#{problem}\"")),
            "{}",
            response.body
        );
    }
    let mut list = shout_fields(&valid);
    list.push(("expect".to_owned(), "other".to_owned()));
    connection
        .send(&frame(HEADERS, END_HEADERS, 99, &block(&list)))
        .await;
    connection.send(&frame(DATA, END_STREAM, 99, b"hi")).await;
    let response = connection.response(99).await.expect("a response");
    assert_eq!(response.body, "IH", "another expectation is ignored");
}

#[tokio::test]
async fn an_expectation_on_http_1_never_leaves_both_sides_waiting() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    for (version, expect, status) in [
        ("1.1", "100-continue", 100),
        ("1.1", "100-Continue", 100),
        ("1.1", "100-continue\r\nexpect: 100-continue", 100),
        ("1.1", "x, 100-continue", 417),
        ("1.1", "100-continue\r\nexpect: x", 417),
    ] {
        let mut connection = Connection::open(app.public).await;
        connection
            .send(format!(
                "POST /v1 HTTP/{version}\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
                 content-type: text/plain\r\ncontent-length: 5\r\nexpect: {expect}\r\n\r\n"
            ))
            .await;
        assert_eq!(connection.response().await.status, status, "{version} {expect}");
    }
    // HTTP/1.0 has no expectations (RFC 9110 section 10.1.1): its clients send the body at once.
    let mut connection = Connection::open(app.public).await;
    let request = crate::support::http1::shout(&token, "hi").replace("HTTP/1.1", "HTTP/1.0");
    connection
        .send(request.replacen("\r\n", "\r\nexpect: 100-continue\r\n", 1))
        .await;
    assert_eq!(connection.response().await.body, "IH");
}
