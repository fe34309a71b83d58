//! SHOUTCLOUD, as it is called and whatever it answers.

mod answers;
mod breaker;
mod bulkhead;
mod failures;
mod faults;
mod metrics;
mod request;
mod retries;
mod script;

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;

use crate::support::{App, assert_problem, raw};

/// Many failures in a row, each of one call.
const ONE_CALL: [(&str, &str); 3] = [
    ("SHOUTCLOUD_MAX_RETRIES", "0"),
    ("BREAKER_MIN_CALLS", "1000"),
    ("CACHE_CAPACITY", "0"),
];

async fn app_with(upstream: &raw::Server, more: &[(&str, &str)]) -> App {
    let url = format!("http://{}/V1/SHOUT", upstream.address);
    let mut variables = vec![("SHOUTCLOUD_URL", url.as_str())];
    variables.extend(ONE_CALL.iter().chain(more));
    App::start(&variables).await
}

/// An upstream that answers what was put into it last.
struct Puppet {
    server: raw::Server,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Puppet {
    async fn start() -> Self {
        let answer = Arc::new(Mutex::new(Vec::new()));
        let next = Arc::clone(&answer);
        let server = raw::Server::start(move |_, mut stream| {
            let bytes = next.lock().expect("not poisoned").clone();
            async move {
                _ = stream.write_all(&bytes).await;
                _ = stream.shutdown().await;
            }
        })
        .await;
        Self { server, answer }
    }

    /// Asserts that a shout of `hi` ends so when this is the answer.
    async fn assert(&self, app: &App, answer: &[u8], status: u16, name: &str) {
        *self.answer.lock().expect("not poisoned") = answer.to_vec();
        let calls = self.server.connections();
        let response = app.shout("hi").send().await.expect("an answer");
        let case = String::from_utf8_lossy(answer);
        assert_eq!(response.status(), status, "{case}");
        assert_eq!(self.server.connections(), calls + 1, "{case}");
        assert_eq!(
            response.headers().contains_key("retry-after"),
            status == 503,
            "{case}"
        );
        let problem = assert_problem(response, status, name).await;
        assert!(!problem.to_string().contains("s3cret"), "{problem}");
    }
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn assert_unavailable(app: &App, case: &str) {
    let response = app.shout("hi").send().await.expect("an answer");
    assert_eq!(response.status(), 503, "{case}");
    let wait: u64 = response.headers()["retry-after"]
        .to_str()
        .expect("ASCII")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&wait), "{case}: {wait}");
    assert_problem(response, 503, "upstream-unavailable").await;
}
