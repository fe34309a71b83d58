//! An upstream that answers nothing until it is told to.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

use super::{raw, until};

/// A SHOUTCLOUD that holds its answers back.
pub struct Held {
    server: raw::Server,
    released: Arc<Semaphore>,
}

impl Held {
    pub async fn start() -> Self {
        let released = Arc::new(Semaphore::new(0));
        let awaited = Arc::clone(&released);
        let server = raw::Server::start(move |request, mut stream| {
            let awaited = Arc::clone(&awaited);
            async move {
                _ = awaited.acquire().await;
                let (_, body) = request.split_once("\r\n\r\n").expect("a body");
                let sent: Value = serde_json::from_str(body).expect("JSON");
                let input = sent["INPUT"].as_str().expect("a text");
                let body = json!({"INPUT": input, "OUTPUT": input.to_uppercase()}).to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
        Self { server, released }
    }

    /// What `SHOUTCLOUD_URL` is set to.
    pub fn url(&self) -> String {
        format!("http://{}/V1/SHOUT", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Waits until it was called so often.
    pub async fn called(&self, times: usize) {
        until("the upstream is called", async || {
            self.server.connections() >= times
        })
        .await;
    }

    /// Calls so far.
    pub fn calls(&self) -> usize {
        self.server.connections()
    }

    /// Answers every call, those to come too.
    pub fn release(&self) {
        self.released.close();
    }
}
