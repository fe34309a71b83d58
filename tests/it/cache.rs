//! The cache: what is answered from it, what is shared, and what it is good for when SHOUTCLOUD cannot be had.

mod failures;
mod keeping;
mod metrics;
mod sharing;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::support::{App, raw};

const STORED: &str = "shoutback; fwd=miss; stored";
const HIT: &str = "shoutback; hit";
const COLLAPSED: &str = "shoutback; fwd=miss; collapsed";
const STALE: &str = "shoutback; hit; detail=stale-if-error";
const RENEWED: &str = "shoutback; fwd=request; stored";
const BYPASSED: &str = "shoutback; fwd=bypass";

/// Each request of a text that is not kept is one call, and so is each that fails.
const ONE_CALL: [(&str, &str); 2] = [("SHOUTCLOUD_MAX_RETRIES", "0"), ("BREAKER_MIN_CALLS", "1000")];

async fn app_with(upstream: &Upstream, more: &[(&str, &str)]) -> App {
    let url = format!("http://{}/V1/SHOUT", upstream.server.address);
    let mut variables = vec![("SHOUTCLOUD_URL", url.as_str())];
    variables.extend(ONE_CALL.iter().chain(more));
    App::start(&variables).await
}

/// What an [`Upstream`] does.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Shouts,
    /// Holds calls until it does something else.
    Waits,
    /// Answers with this status.
    Fails(u16),
}

/// A SHOUTCLOUD that does what it is told, and counts its calls.
struct Upstream {
    server: raw::Server,
    does: watch::Sender<Does>,
}

impl Upstream {
    async fn start(does: Does) -> Self {
        let does = watch::Sender::new(does);
        let told = does.subscribe();
        let server = raw::Server::start(move |request, stream| answer(request, stream, told.clone())).await;
        Self { server, does }
    }

    fn now(&self, does: Does) {
        self.does.send_replace(does);
    }

    fn calls(&self) -> usize {
        self.server.connections()
    }

    /// Waits until so many calls have been made.
    async fn called(&self, times: usize) {
        let called = async || self.calls() == times;
        crate::support::until(&format!("{times} calls"), called).await;
    }
}

async fn answer(request: String, mut stream: TcpStream, mut told: watch::Receiver<Does>) {
    let Ok(does) = told.wait_for(|does| *does != Does::Waits).await.map(|does| *does) else {
        return;
    };
    let (status, body) = match does {
        Does::Fails(status) => (status, json!({})),
        _ => {
            let (_, body) = request.split_once("\r\n\r\n").expect("a head");
            let asked: Value = serde_json::from_str(body).expect("JSON");
            let input = asked["INPUT"].as_str().expect("a text");
            (200, json!({ "INPUT": input, "OUTPUT": input.to_uppercase() }))
        }
    };
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    _ = stream.write_all(answer.as_bytes()).await;
}

/// `cache-status`, of which there is exactly one.
fn cache_status(response: &Response) -> String {
    let mut values = response.headers().get_all("cache-status").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        panic!("{:?}", response.headers());
    };
    value.to_str().expect("ASCII").to_owned()
}

/// Sends a request for a shout of `hi` and asserts that it is one, had in this way.
async fn assert_shout(request: RequestBuilder, status: &str) {
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200, "{status}");
    assert_eq!(cache_status(&response), status);
    assert_eq!(response.text().await.expect("UTF-8"), "IH");
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}
