//! An emulator of SHOUTCLOUD, which capitalises text.
//!
//! `POST /V1/SHOUT` with `content-type: application/json` and `{"INPUT":"…"}` answers `{"INPUT":"…","OUTPUT":"…"}`. The
//! peculiarities of the real server, which is written in Go, are kept, since a client is only worth testing against them:
//!
//! - the content type is compared as a string: `application/json; charset=utf-8` gets 400;
//! - capitals follow Unicode's *simple* mapping ([`simple_uppercase`]): `ß` and `ﬁ` stay as they are;
//! - JSON is read and written as Go's `encoding/json` does: a missing `INPUT` is empty text, `<>&` are escaped;
//! - bodies of any size are read; other methods get 405 and other paths 404, in plain text or with no body at all.
//!
//! It differs from the real server where tests need it to: it can be told to be slow and to fail ([`Behaviour`]), from
//! Rust or by `PUT /_emulator/behaviour`, and it counts its calls. It knows Rust's version of Unicode, a newer one than
//! the real server's, so a few letters of late additions get capitals here only. Go's redirect of untidy paths
//! (`//V1/SHOUT`) is a 404 here.

mod behaviour;
mod go_json;

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

use super::server;
use crate::shout::simple_uppercase;

pub use self::behaviour::Behaviour;

/// A running emulator. Dropping it stops the server, open connections included.
#[derive(Debug)]
pub struct Emulator {
    origin: String,
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<()>,
}

impl Emulator {
    /// Serves on `listener`, which should be a loopback one: nobody is asked who they are.
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

    /// The address to shout at, `http://127.0.0.1:PORT/V1/SHOUT`.
    pub fn url(&self) -> String {
        format!("{}/V1/SHOUT", self.origin)
    }

    /// Requests that have arrived at [`url`](Self::url) so far, failed, refused and abandoned ones included.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Changes the behaviour for requests that arrive from now on.
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
            get(behaviour::show).put(behaviour::change),
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
            let answer = go_json::encode(&input, &simple_uppercase(&input));
            ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
        }
        _ => go_error(StatusCode::BAD_REQUEST, "Bad Request\n"),
    }
}

/// A refusal as Go's `http.Error` writes it.
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
    async fn capitalises_and_says_so_in_json() {
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
    async fn wants_exactly_its_content_type() {
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
    async fn takes_a_missing_input_for_empty_and_refuses_malformed_json() {
        let emulator = start(Behaviour::default()).await;
        let empty = r#"{"INPUT":"","OUTPUT":""}"#.to_owned();
        assert_eq!(shout(&emulator, "{}").await, (200, empty));
        assert_eq!(shout(&emulator, "{\"INPUT\":").await.0, 400);
    }

    #[tokio::test]
    async fn refuses_other_methods_and_paths() {
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
    async fn knows_no_size_limit() {
        let emulator = start(Behaviour::default()).await;
        let text = "a".repeat(3 << 20);
        let (status, answer) = shout(&emulator, &format!(r#"{{"INPUT":"{text}"}}"#)).await;
        assert_eq!(status, 200);
        assert!(answer.len() > 6 << 20);
    }

    #[tokio::test]
    async fn counts_every_call_and_fails_after_the_delay_when_told_to() {
        let delay = Duration::from_millis(80);
        let emulator = start(Behaviour {
            delay,
            failure_rate: 1.0,
        })
        .await;
        let begun = Instant::now();
        assert_eq!(shout(&emulator, r#"{"INPUT":"a"}"#).await.0, 503);
        assert!(begun.elapsed() >= delay);
        emulator.set_behaviour(Behaviour::default());
        assert_eq!(shout(&emulator, r#"{"INPUT":"a"}"#).await.0, 200);
        assert_eq!(shout(&emulator, "not JSON").await.0, 400);
        assert_eq!(emulator.calls(), 3);
    }

    #[tokio::test]
    async fn stops_when_dropped_and_cuts_kept_alive_connections() {
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
        panic!("still answering");
    }
}
