//! One of every answer that `/v1` gives.

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

/// An answer as it came.
pub struct Seen {
    pub case: &'static str,
    pub method: &'static str,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    /// What a header says.
    pub fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().expect("ASCII"))
    }

    /// The last part of the problem's `type`; `None` if it is none.
    pub fn problem(&self) -> Option<String> {
        let problem: Value = serde_json::from_str(&self.body).ok()?;
        let name = problem["type"].as_str()?.strip_prefix("/docs#")?;
        Some(name.to_owned())
    }
}

/// Every answer that can be provoked. Each request's id is its case.
pub async fn answers() -> &'static [Seen] {
    static ANSWERS: OnceCell<Vec<Seen>> = OnceCell::const_new();
    ANSWERS.get_or_init(provoke).await
}

async fn provoke() -> Vec<Seen> {
    let (mut seen, invalid, keyless, stalled, slow, overloaded) = tokio::join!(
        of_client_and_quota(),
        of_invalid_upstream(),
        of_missing_keys(),
        of_stalled_body(),
        of_slow_upstream(),
        of_too_many_requests()
    );
    seen.extend([invalid, keyless, stalled, slow, overloaded]);
    seen
}

async fn send(case: &'static str, request: RequestBuilder) -> Seen {
    let response = request
        .header("x-request-id", case)
        .send()
        .await
        .expect("an answer");
    Seen {
        case,
        method: "post",
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.text().await.expect("UTF-8"),
    }
}

async fn of_client_and_quota() -> Vec<Seen> {
    let app = App::start(&[
        ("MAX_BODY_BYTES", "1000"),
        ("RATE_LIMIT_PER_CLIENT", "1/h"),
        ("RATE_LIMIT_BURST", "1"),
        ("SHOUTCLOUD_MAX_RETRIES", "0"),
    ])
    .await;
    let of_person = |sub: &str, text: &str| app.shout_with(&app.token_with(&[("sub", json!(sub))]), text);
    let url = format!("http://{}/v1", app.public);
    let long = "a".repeat(1001);
    let chunked = Full::new(bytes::Bytes::from(long.clone())).map_frame(|frame| frame);
    let forbidden = app.token_with(&[("scope", json!("openid"))]);
    let mut seen = vec![
        send("text", of_person("a", "hi")).await,
        send("json", of_person("b", "hi").header("accept", "application/json")).await,
        send("empty", of_person("c", "")).await,
        send("malformed", of_person("d", "").body(&b"\xff"[..])).await,
        send("no-token", app.post()).await,
        send("bad-token", app.shout_with("bad", "hi")).await,
        send("no-scope", app.shout_with(&forbidden, "hi")).await,
        send("no-form", of_person("e", "hi").header("accept", "image/png")).await,
        send("too-long", of_person("f", &long)).await,
        send(
            "too-long-chunked",
            of_person("g", "").body(reqwest::Body::wrap(chunked)),
        )
        .await,
        // Two media types are as wrong as another one.
        send(
            "other-type",
            of_person("h", "hi").header("content-type", "text/html"),
        )
        .await,
        send("too-often", of_person("a", "hi")).await,
    ];
    app.shoutcloud
        .set_behaviour(shoutback_emulators::shoutcloud::Behaviour {
            failure_rate: 1.0,
            ..Default::default()
        });
    seen.push(send("upstream-fails", of_person("i", "ho")).await);
    let methods = app.client.request(reqwest::Method::OPTIONS, &url);
    let other = app.client.get(&url);
    for (method, seen_there) in [
        ("options", send("methods", methods).await),
        ("get", send("other-method", other).await),
    ] {
        seen.push(Seen { method, ..seen_there });
    }
    seen
}

async fn of_invalid_upstream() -> Seen {
    let upstream = TcpServer::responding("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
    let url = format!("http://{}/V1/SHOUT", upstream.address);
    let app = App::start(&[("SHOUTCLOUD_URL", &url)]).await;
    send("upstream-lies", app.shout("hi")).await
}

async fn of_missing_keys() -> Seen {
    // Bound and not listening: connections are refused, and nobody else gets the port.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let endpoint = format!("http://{}", socket.local_addr().expect("bound"));
    let app = App::start_unready(&[("COGNITO_JWKS_ENDPOINT", &endpoint)]).await;
    send("no-keys", app.shout("hi")).await
}

async fn of_stalled_body() -> Seen {
    let app = App::start(&[
        ("REQUEST_TIMEOUT", "200ms"),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "100ms"),
        ("SHOUTCLOUD_DEADLINE", "100ms"),
    ])
    .await;
    let mut connection = Connection::open(app.public).await;
    connection.send(head_of_two_bytes("stalls", &app)).await;
    seen("stalls", connection.response().await)
}

/// An attempt may last nearly as long as a request, and this request's body is late by more than the difference: its
/// time is over while the upstream is being called.
async fn of_slow_upstream() -> Seen {
    let upstream = FakeUpstream::held().await;
    let url = upstream.url();
    let app = App::start(&[
        ("SHOUTCLOUD_URL", &url),
        ("REQUEST_TIMEOUT", "3s"),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "2900ms"),
        ("SHOUTCLOUD_DEADLINE", "2900ms"),
    ])
    .await;
    let mut connection = Connection::open(app.public).await;
    connection.send(head_of_two_bytes("slow", &app)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    connection.send("hi").await;
    seen("slow", connection.response().await)
}

/// Another request is under way, and that is as many as may be.
async fn of_too_many_requests() -> Seen {
    let app = App::start(&[("MAX_REQUESTS_IN_FLIGHT", "1")]).await;
    let mut other = Connection::open(app.public).await;
    other.send(head_of_two_bytes("other", &app)).await;
    crate::support::until("it is under way", async || {
        app.metric("http_server_active_requests", &[]).await == 1.0
    })
    .await;
    send("overloaded", app.shout("hi")).await
}

fn head_of_two_bytes(case: &str, app: &App) -> String {
    format!(
        "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: text/plain\r\n\
         content-length: 2\r\nx-request-id: {case}\r\n\r\n",
        app.cognito.token()
    )
}

fn seen(case: &'static str, answer: Response) -> Seen {
    let headers = answer.head.lines().filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| {
        let name: HeaderName = name.parse().expect("a name");
        (name, value.trim().parse().expect("a value"))
    });
    Seen {
        case,
        method: "post",
        status: answer.status,
        headers: headers.collect(),
        body: answer.body,
    }
}
