//! An upstream that plays a part for each attempt and remembers when it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::answer;
use crate::support::raw;

/// What happens to an attempt once its request was read.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// These bytes, then the connection is closed.
    Bytes(Vec<u8>),
    /// Nothing, as long as the peer stays.
    Stall,
    /// These bytes, then a reset.
    Reset(&'static str),
    /// A head, then a piece again and again, with a pause after each, until the peer has had enough.
    Endless {
        head: &'static str,
        piece: String,
        pause: Duration,
    },
    /// A shout of what was sent.
    Shout,
    /// The same, its body a byte at a time.
    DrippedShout { pause: Duration },
}

impl Part {
    pub(super) fn status(status: &str) -> Self {
        Self::Bytes(answer(status, b"s3cret"))
    }

    pub(super) fn body(body: impl AsRef<[u8]>) -> Self {
        Self::Bytes(answer("200 OK", body.as_ref()))
    }

    async fn play(self, request: &str, stream: &mut TcpStream) {
        match self {
            Self::Bytes(bytes) => {
                _ = stream.write_all(&bytes).await;
                _ = stream.shutdown().await;
            }
            Self::Stall => gone(stream).await,
            Self::Reset(bytes) => {
                _ = stream.write_all(bytes.as_bytes()).await;
                stream.set_zero_linger().expect("an open socket");
            }
            Self::Endless { head, piece, pause } => {
                _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(piece.as_bytes()).await.is_ok() {
                    sleep(pause).await;
                }
            }
            Self::Shout => _ = stream.write_all(&shout_of(request)).await,
            Self::DrippedShout { pause } => {
                let shout = shout_of(request);
                let body = shout
                    .windows(4)
                    .position(|bytes| bytes == b"\r\n\r\n")
                    .expect("a head")
                    + 4;
                _ = stream.write_all(&shout[..body]).await;
                for byte in &shout[body..] {
                    // Before the byte: with the last one the attempt is over.
                    sleep(pause).await;
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn shout_of(request: &str) -> Vec<u8> {
    let body = request.split_once("\r\n\r\n").expect("a head").1;
    let sent: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let text = sent["INPUT"].as_str().expect("a string");
    let shout = serde_json::json!({"INPUT": text, "OUTPUT": text.to_uppercase()});
    answer("200 OK", shout.to_string().as_bytes())
}

#[derive(Default)]
struct Stage {
    next: VecDeque<Part>,
    attempts: Vec<Instant>,
    now: usize,
    most: usize,
}

/// The upstream.
pub(super) struct Script {
    pub(super) server: raw::Server,
    stage: Arc<Mutex<Stage>>,
}

impl Script {
    /// Plays `parts`, and the last of them for ever.
    pub(super) async fn start(parts: impl IntoIterator<Item = Part>) -> Self {
        let stage = Arc::new(Mutex::new(Stage {
            next: parts.into_iter().collect(),
            ..Stage::default()
        }));
        let shared = Arc::clone(&stage);
        let server = raw::Server::start(move |request, mut stream| {
            let shared = Arc::clone(&shared);
            async move {
                let part = {
                    let mut stage = shared.lock().expect("not poisoned");
                    stage.attempts.push(Instant::now());
                    stage.now += 1;
                    stage.most = stage.most.max(stage.now);
                    let part = stage.next.pop_front().expect("a last part");
                    if stage.next.is_empty() {
                        stage.next.push_back(part.clone());
                    }
                    part
                };
                part.play(&request, &mut stream).await;
                shared.lock().expect("not poisoned").now -= 1;
            }
        })
        .await;
        Self { server, stage }
    }

    /// What is played from now on.
    pub(super) fn then(&self, parts: impl IntoIterator<Item = Part>) {
        self.stage.lock().expect("not poisoned").next = parts.into_iter().collect();
    }

    /// When each attempt so far was made.
    pub(super) fn attempts(&self) -> Vec<Instant> {
        self.stage.lock().expect("not poisoned").attempts.clone()
    }

    /// Attempts under way.
    pub(super) fn under_way(&self) -> usize {
        self.stage.lock().expect("not poisoned").now
    }

    /// The most attempts that were under way at once.
    pub(super) fn most_at_once(&self) -> usize {
        self.stage.lock().expect("not poisoned").most
    }
}

/// Waits until the peer has closed the connection; it sends nothing after its request.
async fn gone(stream: &TcpStream) {
    let mut byte = [0];
    while !matches!(stream.peek(&mut byte).await, Ok(0) | Err(_)) {
        stream.readable().await.expect("an open socket");
    }
}
