//! Traces: what spans there are, what they say, how they are continued, and what becomes of them.

mod collector;
mod exit;
mod keys;
mod propagation;
mod sampling;
mod secrets;
mod spans;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::collector::Collector;
use crate::support::{App, raw};

/// A caller's trace and span.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Spans are sent as soon as may be.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "5");

/// An application that exports to `collector`.
async fn app_with(collector: &Collector, more: &[(&str, &str)]) -> App {
    let url = collector.url();
    let mut variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), SOON];
    variables.extend(more);
    App::start(&variables).await
}

/// The same, open to everybody: no spans of keys are among the others.
async fn open_app_with(collector: &Collector, more: &[(&str, &str)]) -> App {
    app_with(collector, &[&[("AUTH_MODE", "disabled")], more].concat()).await
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// A SHOUTCLOUD that answers each call with the next status, then with shouts, and remembers the heads of its requests.
struct Upstream {
    server: raw::Server,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    async fn start(statuses: &'static [u16]) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let server = raw::Server::start(move |request, mut stream| {
            let (head, body) = request.split_once("\r\n\r\n").expect("a whole request");
            let mut seen = seen.lock().expect("not poisoned");
            let status = statuses.get(seen.len()).copied().unwrap_or(200);
            seen.push(head.to_owned());
            let input: Value = serde_json::from_str(body).expect("JSON");
            let input = input["INPUT"].as_str().expect("a text");
            let body = json!({"INPUT": input, "OUTPUT": input.to_uppercase()}).to_string();
            let answer = format!(
                "HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            async move { _ = stream.write_all(answer.as_bytes()).await }
        })
        .await;
        Self { server, heads }
    }

    fn url(&self) -> String {
        format!("http://{}/V1/SHOUT", self.server.address)
    }

    /// The header fields of the requests so far: names in lower case, and values.
    fn headers(&self) -> Vec<Vec<(String, String)>> {
        let heads = self.heads.lock().expect("not poisoned").clone();
        let fields = |head: String| {
            let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            fields
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect()
        };
        heads.into_iter().map(fields).collect()
    }

    /// The values of one field of the requests so far; empty where there is none.
    fn sent(&self, name: &str) -> Vec<String> {
        let find = |fields: Vec<(String, String)>| {
            let mut fields = fields.into_iter().filter(|field| field.0 == name);
            fields.next().map(|field| field.1).unwrap_or_default()
        };
        self.headers().into_iter().map(find).collect()
    }
}
