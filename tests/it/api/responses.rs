//! One of each response of every path of the API. Each case is sent to each path: one that does not call SHOUTCLOUD responds to a
//! failure of SHOUTCLOUD with 200.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::App;
use crate::support::http1::{Connection, Response};
use crate::support::tcp_server::TcpServer;
use crate::support::upstream::FakeUpstream;

/// Responses after the check of the quota report it.
const QUOTA: (&str, &str) = ("RATE_LIMIT_PER_CLIENT", "1/h");

/// A received response.
pub struct RecordedResponse {
    pub case: &'static str,
    pub path: String,
    pub method: &'static str,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl RecordedResponse {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().expect("ASCII"))
    }

    /// Returns a member of the JSON body; null if there is none.
    pub fn member(&self, name: &str) -> Value {
        serde_json::from_str::<Value>(&self.body).map_or(Value::Null, |body| body[name].clone())
    }

    /// Returns the last part of the problem's `type`; `None` if the body is no problem.
    pub fn problem(&self) -> Option<String> {
        let problem: Value = serde_json::from_str(&self.body).ok()?;
        let name = problem["type"].as_str()?.strip_prefix("/docs#")?;
        Some(name.to_owned())
    }
}

/// Returns one response per path and case, with the case as its request id.
pub async fn all() -> &'static [RecordedResponse] {
    static RESPONSES: OnceCell<Vec<RecordedResponse>> = OnceCell::const_new();
    RESPONSES.get_or_init(record).await
}

async fn record() -> Vec<RecordedResponse> {
    let mut responses = Vec::new();
    for path in App::start(&[]).await.api_paths().await {
        let of_path = record_path(&path).await;
        responses.extend(of_path.into_iter().map(|response| RecordedResponse {
            path: path.clone(),
            ..response
        }));
    }
    responses
}

async fn record_path(path: &str) -> Vec<RecordedResponse> {
    let (mut responses, invalid, keyless, stalled, slow, overloaded) = tokio::join!(
        of_client_and_quota(path),
        of_invalid_upstream(path),
        of_missing_keys(path),
        of_stalled_body(path),
        of_slow_upstream(path),
        of_too_many_requests(path)
    );
    responses.extend([invalid, keyless, stalled, slow, overloaded]);
    responses
}

async fn send(case: &'static str, request: RequestBuilder) -> RecordedResponse {
    let response = request
        .header("x-request-id", case)
        .send()
        .await
        .expect("a response");
    RecordedResponse {
        case,
        path: String::new(),
        method: "post",
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.text().await.expect("UTF-8"),
    }
}

async fn of_client_and_quota(path: &str) -> Vec<RecordedResponse> {
    let app = App::start(&[
        ("MAX_BODY_BYTES", "1000"),
        QUOTA,
        ("RATE_LIMIT_BURST", "1"),
        ("SHOUTCLOUD_MAX_RETRIES", "0"),
    ])
    .await;
    let of_user = |sub: &str, text: &str| app.text_to(path, &app.token_with(&[("sub", json!(sub))]), text);
    let url = format!("http://{}{path}", app.public);
    let long = "a".repeat(1001);
    let chunked = Full::new(bytes::Bytes::from(long.clone())).map_frame(|frame| frame);
    let forbidden = app.token_with(&[("scope", json!("openid"))]);
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
    let http2 = http2.build().expect("a client");
    let mut responses = vec![
        send("text", of_user("a", "hi")).await,
        send("json", of_user("b", "hi").header("accept", "application/json")).await,
        send("empty", of_user("c", "")).await,
        send("malformed", of_user("d", "").body(&b"\xff"[..])).await,
        send("no-token", app.post_to(path)).await,
        send("bad-token", app.text_to(path, "bad", "hi")).await,
        send("no-scope", app.text_to(path, &forbidden, "hi")).await,
        send("no-form", of_user("e", "hi").header("accept", "image/png")).await,
        send("too-long", of_user("f", &long)).await,
        send(
            "too-long-chunked",
            of_user("g", "").body(reqwest::Body::wrap(chunked)),
        )
        .await,
        // Two media types are rejected like an unknown one.
        send(
            "other-type",
            of_user("h", "hi").header("content-type", "text/html"),
        )
        .await,
        send(
            "expects-100",
            http2
                .post(&url)
                .bearer_auth(app.token_with(&[("sub", json!("j"))]))
                .header("content-type", "text/plain")
                .header("expect", "100-continue")
                .body("hi"),
        )
        .await,
        send(
            "other-coding",
            of_user("k", "hi").header("content-encoding", "gzip"),
        )
        .await,
        send("too-often", of_user("a", "hi")).await,
    ];
    app.shoutcloud
        .set_behaviour(shoutback_emulators::shoutcloud::Behaviour {
            failure_rate: 1.0,
            ..Default::default()
        });
    responses.push(send("upstream-fails", of_user("i", "ho")).await);
    let methods = app.client.request(reqwest::Method::OPTIONS, &url);
    let other = app.client.get(&url);
    for (method, response) in [
        ("options", send("methods", methods).await),
        ("get", send("other-method", other).await),
    ] {
        responses.push(RecordedResponse { method, ..response });
    }
    responses
}

async fn of_invalid_upstream(path: &str) -> RecordedResponse {
    let upstream = TcpServer::responding("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
    let url = format!("http://{}/V1/SHOUT", upstream.address);
    let app = App::start(&[("SHOUTCLOUD_URL", &url), QUOTA]).await;
    send("upstream-lies", app.text_to(path, &app.cognito.token(), "hi")).await
}

async fn of_missing_keys(path: &str) -> RecordedResponse {
    // Bound and not listening: connections are refused, and no other process can bind the port.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let endpoint = format!("http://{}", socket.local_addr().expect("bound"));
    let app = App::start_unready(&[("COGNITO_JWKS_ENDPOINT", &endpoint), QUOTA]).await;
    send("no-keys", app.text_to(path, &app.cognito.token(), "hi")).await
}

async fn of_stalled_body(path: &str) -> RecordedResponse {
    let app = App::start(&[
        ("REQUEST_TIMEOUT", "200ms"),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "100ms"),
        ("SHOUTCLOUD_DEADLINE", "100ms"),
        QUOTA,
    ])
    .await;
    let mut connection = Connection::open(app.public).await;
    connection.send(headers_for_two_bytes("stalls", path, &app)).await;
    recorded("stalls", connection.response().await)
}

/// The attempt timeout is close to the request timeout, and the body is late by more than the difference, so the
/// request times out during the upstream call.
async fn of_slow_upstream(path: &str) -> RecordedResponse {
    let upstream = FakeUpstream::held().await;
    let url = upstream.url();
    let app = App::start(&[
        ("SHOUTCLOUD_URL", &url),
        ("REQUEST_TIMEOUT", "3s"),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "2900ms"),
        ("SHOUTCLOUD_DEADLINE", "2900ms"),
        QUOTA,
    ])
    .await;
    let mut connection = Connection::open(app.public).await;
    connection.send(headers_for_two_bytes("slow", path, &app)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    connection.send("hi").await;
    recorded("slow", connection.response().await)
}

/// Another request in flight uses up the limit.
async fn of_too_many_requests(path: &str) -> RecordedResponse {
    let app = App::start(&[("MAX_REQUESTS_IN_FLIGHT", "1"), QUOTA]).await;
    let mut other = Connection::open(app.public).await;
    other.send(headers_for_two_bytes("other", path, &app)).await;
    crate::support::until("it is in flight", async || {
        app.metric("http_server_active_requests", &[]).await == 1.0
    })
    .await;
    send("overloaded", app.text_to(path, &app.cognito.token(), "hi")).await
}

fn headers_for_two_bytes(case: &str, path: &str, app: &App) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: text/plain\r\n\
         content-length: 2\r\nx-request-id: {case}\r\n\r\n",
        app.cognito.token()
    )
}

fn recorded(case: &'static str, answer: Response) -> RecordedResponse {
    let headers = answer.head.lines().filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| {
        let name: HeaderName = name.parse().expect("a name");
        (name, value.trim().parse().expect("a value"))
    });
    RecordedResponse {
        case,
        path: String::new(),
        method: "post",
        status: answer.status,
        headers: headers.collect(),
        body: answer.body,
    }
}
