//! An emulator of SHOUTCLOUD, which upper-cases text.
//!
//! The response to `POST /V1/SHOUT` with `content-type: application/json` and `{"INPUT":"…"}` is
//! `{"INPUT":"…","OUTPUT":"…"}`.
//! The emulator reproduces the quirks of the real server, which is written in Go:
//!
//! - The content type is compared as a string: `application/json; charset=utf-8` gets 400.
//! - Upper case follows Unicode's *simple* mapping: `ß` and `ﬁ` are unchanged.
//! - JSON is parsed and written as Go's `encoding/json` does: a missing `INPUT` is empty text, `<>&` are escaped.
//! - Bodies of any size are read; other methods get 405 and other paths 404, in plain text or with no body at all.
//!
//! It differs from the real server where tests need it to: its delay and failure rate are configurable
//! ([`Behaviour`]), from Rust or by `PUT /_emulator/behaviour`, and it counts its calls. It has Rust's version of
//! Unicode, which is newer than the real server's, so only the emulator upper-cases a few recently added letters. Go
//! redirects untidy paths (`//V1/SHOUT`); the emulator responds with 404.

mod behaviour;
mod go_json;
mod uppercase;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{Method, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::server;

pub use self::behaviour::Behaviour;
use self::uppercase::to_upper;

/// A running emulator. Dropping it stops the server and closes its connections.
#[derive(Debug)]
pub struct Emulator {
    origin: String,
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<()>,
}

impl Emulator {
    /// Serves on `listener`, which should be on loopback: callers are not authenticated.
    pub fn start(listener: TcpListener, behaviour: Behaviour) -> io::Result<Emulator> {
        let origin = server::origin(&listener)?;
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(behaviour),
            calls: AtomicU64::new(0),
        });
        let server = server::spawn(listener, router(shared.clone()))?;
        Ok(Emulator {
            origin,
            shared,
            _server: server,
        })
    }

    /// Returns the emulator's origin, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.origin
    }

    /// Returns the URL of the API, `http://127.0.0.1:PORT/V1/SHOUT`.
    pub fn url(&self) -> String {
        format!("{}/V1/SHOUT", self.origin)
    }

    /// Returns the number of requests to [`url`](Self::url) so far, including failed, rejected and cancelled ones.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Changes the behaviour for requests that arrive after this call.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }
}

#[derive(Debug)]
struct Shared {
    behaviour: watch::Sender<Behaviour>,
    calls: AtomicU64,
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/V1/SHOUT", any(shout))
        .route(
            "/_emulator/behaviour",
            get(behaviour::show).put(behaviour::update),
        )
        .fallback(|| async { go_error(StatusCode::NOT_FOUND, "404 page not found\n") })
        .with_state(shared)
}

async fn shout(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.calls.fetch_add(1, Ordering::Relaxed);
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let behaviour = *shared.behaviour.borrow();
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await;
    tokio::time::sleep(behaviour.delay).await;
    if rand::random::<f64>() < behaviour.failure_rate {
        return go_error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n");
    }
    let is_json = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value == "application/json");
    let input = body.ok().and_then(|body| go_json::decode(&body).ok());
    match input {
        Some(input) if is_json => {
            let body = go_json::encode(&input, &to_upper(&input));
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        _ => go_error(StatusCode::BAD_REQUEST, "Bad Request\n"),
    }
}

/// Builds an error response as Go's `http.Error` does.
fn go_error(status: StatusCode, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, Body::from(text)).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    pub(super) async fn start(behaviour: Behaviour) -> Emulator {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Emulator::start(listener, behaviour).unwrap()
    }

    pub(super) fn client() -> reqwest::Client {
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    async fn post(url: &str, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let request = client().post(url).header("content-type", content_type);
        let response = request.body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn shout(emulator: &Emulator, body: &str) -> (u16, String) {
        post(&emulator.url(), "application/json", body.to_owned()).await
    }

    #[tokio::test]
    async fn upper_cases_and_responds_in_json() {
        let emulator = start(Behaviour::default()).await;
        let request = client()
            .post(emulator.url())
            .header("content-type", "application/json")
            .body(r#"{"INPUT":"hello, <world> & straße"}"#);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(
            response.text().await.unwrap(),
            r#"{"INPUT":"hello, \u003cworld\u003e \u0026 straße","OUTPUT":"HELLO, \u003cWORLD\u003e \u0026 STRAßE"}"#
        );
    }

    #[tokio::test]
    async fn accepts_exactly_one_content_type() {
        let emulator = start(Behaviour::default()).await;
        for other in [
            "application/json; charset=utf-8",
            "application/JSON",
            "text/plain",
        ] {
            let (status, body) = post(&emulator.url(), other, r#"{"INPUT":"a"}"#).await;
            assert_eq!((status, body.as_str()), (400, "Bad Request\n"), "{other}");
        }
        let bare = client().post(emulator.url()).body(r#"{"INPUT":"a"}"#);
        assert_eq!(bare.send().await.unwrap().status(), 400);
    }

    #[tokio::test]
    async fn treats_a_missing_input_as_empty_and_rejects_malformed_json() {
        let emulator = start(Behaviour::default()).await;
        let empty = r#"{"INPUT":"","OUTPUT":""}"#.to_owned();
        assert_eq!(shout(&emulator, "{}").await, (200, empty));
        assert_eq!(shout(&emulator, "{\"INPUT\":").await.0, 400);
    }

    #[tokio::test]
    async fn rejects_other_methods_and_paths() {
        let emulator = start(Behaviour::default()).await;
        let wrong_method = client().get(emulator.url()).send().await.unwrap();
        assert_eq!(wrong_method.status(), 405);
        assert!(!wrong_method.headers().contains_key("allow"));
        for path in ["/", "/V1/SHOUT/", "/v1/shout"] {
            let url = emulator.url().replace("/V1/SHOUT", path);
            assert_eq!(post(&url, "application/json", "{}").await.0, 404, "{path}");
        }
    }

    #[tokio::test]
    async fn has_no_size_limit() {
        let emulator = start(Behaviour::default()).await;
        let text = "a".repeat(3 << 20);
        let (status, body) = shout(&emulator, &format!(r#"{{"INPUT":"{text}"}}"#)).await;
        assert_eq!(status, 200);
        assert!(body.len() > 6 << 20);
    }

    #[tokio::test]
    async fn counts_every_call_and_fails_after_the_configured_delay() {
        let delay = Duration::from_millis(80);
        let emulator = start(Behaviour {
            delay,
            failure_rate: 1.0,
        })
        .await;
        let started = Instant::now();
        assert_eq!(shout(&emulator, r#"{"INPUT":"a"}"#).await.0, 503);
        assert!(started.elapsed() >= delay);
        emulator.set_behaviour(Behaviour::default());
        assert_eq!(shout(&emulator, r#"{"INPUT":"a"}"#).await.0, 200);
        assert_eq!(shout(&emulator, "not JSON").await.0, 400);
        assert_eq!(emulator.calls(), 3);
    }

    #[tokio::test]
    async fn stops_when_dropped_and_closes_keep_alive_connections() {
        let emulator = start(Behaviour::default()).await;
        let url = emulator.url();
        let client = client();
        client.get(&url).send().await.unwrap();
        drop(emulator);
        for _ in 0..100 {
            if client.get(&url).send().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still responding");
    }
}
