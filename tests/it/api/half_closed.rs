//! Clients that close their sending side after a request, as `nc -N` and some proxies do.

use serde_json::json;

use crate::support::http1::{Connection, shout};
use crate::support::http2::Http2;
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::settings::LONG_TIMEOUTS;
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{App, until};

use tokio::io::AsyncWriteExt as _;

// The tests run on several workers, so that the end of the stream arrives at any point of the request.

/// How often each response is requested: a race loses some of them only.
const ROUNDS: usize = 25;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// Sends `request`, closes the sending side, and returns the connection.
async fn half_closed(address: std::net::SocketAddr, request: &str) -> Connection {
    let mut connection = Connection::open(address).await;
    connection.send(request).await;
    connection.writer.shutdown().await.expect("half a close");
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_without_an_upstream_call_always_arrive() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    let long = "a".repeat(60_000);
    for text in ["hi", &long] {
        assert_eq!(
            app.shout_with(&token, text)
                .send()
                .await
                .expect("a response")
                .status(),
            200
        );
    }
    let calls = app.shoutcloud.calls();
    let malformed = shout(&token, "hi").replace("text/plain", "application/json");
    for (address, request, status) in [
        (app.public, get("/docs"), 200),
        (app.public, get("/openapi.json"), 200),
        (app.public, get("/"), 307),
        (app.public, get("/nothing"), 404),
        (app.public, get("/v1"), 405),
        (app.public, shout(&token, "hi"), 200),
        (app.public, shout(&token, &long), 200),
        (app.public, shout(&token, ""), 200),
        (app.public, shout("bad", "hi"), 401),
        (app.public, shout(&token, &"a".repeat(70_000)), 413),
        (app.public, malformed, 400),
        (app.admin, get("/livez"), 200),
        (app.admin, get("/readyz"), 200),
        (app.admin, get("/metrics"), 200),
        (app.admin, get("/version"), 200),
    ] {
        for round in 0..ROUNDS {
            let mut connection = half_closed(address, &request).await;
            let response = connection.response().await;
            assert_eq!(response.status, status, "{round}: {}", &request[..20]);
            let length = response.header("content-length").expect("a length").to_owned();
            assert_eq!(response.body.len().to_string(), length);
            assert_eq!(connection.rest().await, "", "the connection is closed");
        }
    }
    assert_eq!(app.shoutcloud.calls(), calls);
    let cancelled = app.metric(
        "http_server_request_duration_seconds_count",
        &["error_type=\"cancelled\""],
    );
    assert_eq!(cancelled.await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_before_the_half_close_get_responses() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    assert_eq!(app.status_with(&token).await, 200);
    for _ in 0..ROUNDS {
        let requests = shout("bad", "hi") + &shout(&token, "hi") + &get("/docs");
        let mut connection = half_closed(app.public, &requests).await;
        for status in [401, 200, 200] {
            assert_eq!(connection.response().await.status, status);
        }
        assert_eq!(connection.rest().await, "");
    }
}

#[tokio::test]
async fn a_half_close_while_the_key_is_fetched_does_not_cancel_the_request() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let url = keys.url();
    let app = App::start(&[("COGNITO_JWKS_ENDPOINT", url.as_str())]).await;
    keys.set(KeyResponse::Stall);
    let before = keys.requests();
    let request = shout(&BOB.token("bob", &app.cognito.claims()), "hi");
    let mut connection = half_closed(app.public, &request).await;
    until("it waits for the key", async || keys.requests() > before).await;
    keys.set(KeyResponse::of(500, ""));
    assert_eq!(connection.response().await.problem(), "keys-unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejections_by_the_bulkhead_and_the_breaker_always_arrive() {
    let upstream = FakeUpstream::held().await;
    let url = upstream.url();
    let variables = [
        &LONG_TIMEOUTS[..],
        &[
            ("SHOUTCLOUD_URL", url.as_str()),
            ("SHOUTCLOUD_MAX_CONCURRENCY", "1"),
            ("SHOUTCLOUD_MAX_QUEUE", "0"),
            ("SHOUTCLOUD_MAX_RETRIES", "0"),
            ("BREAKER_MIN_CALLS", "1"),
            ("BREAKER_OPEN_FOR", "1h"),
        ],
    ]
    .concat();
    let app = App::start(&variables).await;
    let token = app.cognito.token();
    let mut first = Connection::open(app.public).await;
    first.send(shout(&token, "first")).await;
    upstream.called(1).await;
    for round in 0..ROUNDS {
        let mut connection = half_closed(app.public, &shout(&token, &round.to_string())).await;
        assert_eq!(connection.response().await.problem(), "overloaded");
    }
    upstream.release_with(Reply::Status(500));
    assert_eq!(first.response().await.status, 503);
    for round in 0..ROUNDS {
        let mut connection = half_closed(app.public, &shout(&token, &round.to_string())).await;
        assert_eq!(connection.response().await.problem(), "upstream-unavailable");
    }
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_an_upstream_call_a_half_close_cancels_the_request() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let url = upstream.url();
    let variables = [
        &LONG_TIMEOUTS[..],
        &[
            ("SHOUTCLOUD_URL", url.as_str()),
            ("SHOUTCLOUD_MAX_CONCURRENCY", "1"),
        ],
    ]
    .concat();
    let app = App::start(&variables).await;
    let token = app.cognito.token();
    let no_store = |text: &str| shout(&token, text).replacen("\r\n", "\r\ncache-control: no-store\r\n", 1);
    for request in [no_store("direct"), no_store("direct, twice")] {
        // Before the call and during it.
        assert_eq!(half_closed(app.public, &request).await.rest().await, "");
        upstream.wait_in_flight(0).await;
        let calls = upstream.calls();
        let mut connection = Connection::open(app.public).await;
        connection.send(&request).await;
        upstream.called(calls + 1).await;
        connection.writer.shutdown().await.expect("half a close");
        assert_eq!(connection.rest().await, "");
        upstream.wait_in_flight(0).await;
    }
    // A shared call outlives its caller.
    upstream.set([Reply::Held]);
    let calls = upstream.calls();
    let shared = half_closed(app.public, &shout(&token, "shared")).await;
    assert_eq!(shared.rest().await, "");
    upstream.called(calls + 1).await;
    // A queued call is cancelled, too.
    assert_eq!(
        half_closed(app.public, &no_store("queued")).await.rest().await,
        ""
    );
    until("nothing waits", async || {
        app.metric("http_server_active_requests", &[]).await == 0.0
    })
    .await;
    upstream.release();
    until("the shared call is cached", async || {
        let response = app.shout_with(&token, "shared").send().await.expect("a response");
        response.headers()["cache-status"] == "shoutback; hit"
    })
    .await;
    let cancelled = app.metric(
        "http_server_request_duration_seconds_count",
        &["error_type=\"cancelled\""],
    );
    assert_eq!(cancelled.await, 6.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_body_is_not_a_complete_request() {
    let app = App::start(&[("REQUEST_TIMEOUT", "10m")]).await;
    let token = app.cognito.token();
    let sized = shout(&token, "hello").replace("\r\n\r\nhello", "\r\n\r\nhel");
    let chunked = shout(&token, "").replace(
        "content-length: 0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n3\r\nhel",
    );
    for request in [sized, chunked] {
        for _ in 0..ROUNDS {
            let rest = half_closed(app.public, &request).await.rest().await;
            assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{rest}");
        }
    }
    assert_eq!(app.shoutcloud.calls(), 0);
    let forbidden = app.token_with(&[("scope", json!("openid"))]);
    let unread = shout(&forbidden, "hello").replace("\r\n\r\nhello", "\r\n\r\nhel");
    assert_eq!(
        half_closed(app.public, &unread).await.response().await.status,
        403
    );
}

/// On HTTP/2 a stream is half-closed by END_STREAM, and a connection that the client can no longer send on is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_http_2_a_half_close_cancels_the_open_streams() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let url = keys.url();
    let app = App::start(&[("COGNITO_JWKS_ENDPOINT", url.as_str())]).await;
    keys.set(KeyResponse::Stall);
    let before = keys.requests();
    let mut connection = Http2::open(app.public).await;
    let token = BOB.token("bob", &app.cognito.claims());
    connection.shout(1, &token, "hi").await;
    until("it waits for the key", async || keys.requests() > before).await;
    connection.half_close().await;
    assert_eq!(connection.response(1).await, None);
    let cancelled = async || {
        let labels = ["error_type=\"cancelled\""];
        app.metric("http_server_request_duration_seconds_count", &labels)
            .await
    };
    until("it is cancelled", async || cancelled().await == 1.0).await;
    assert_eq!(app.shoutcloud.calls(), 0);
}
