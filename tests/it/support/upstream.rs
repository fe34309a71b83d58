//! A fake SHOUTCLOUD: it plays a script, one reply per call, and records the calls.
//!
//! Unlike the emulator it can hold calls back, break HTTP and break the connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::tcp_server::TcpServer;
use super::{App, until};

/// What the upstream does once it has read a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Responds with the text in upper case.
    Shout,
    /// Responds likewise, one byte of the body per `pause`.
    DrippedShout { pause: Duration },
    /// Waits for [`FakeUpstream::release`].
    Held,
    /// Responds with this status and secrets.
    Status(u16),
    /// Writes these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Writes nothing until the client disconnects.
    Stall,
    /// Writes these bytes and resets the connection.
    Reset(&'static str),
    /// Writes `head`, then `piece` every `pause` until the client disconnects.
    Endless {
        head: &'static str,
        piece: String,
        pause: Duration,
    },
}

impl Reply {
    /// A response with status 200 and this body.
    pub fn body(body: impl AsRef<[u8]>) -> Self {
        Self::response("200 OK", body)
    }

    /// A response with this status line and body.
    pub fn response(status: &str, body: impl AsRef<[u8]>) -> Self {
        Self::Bytes(response(status, body.as_ref()))
    }

    async fn play(self, request: &str, stream: &mut TcpStream) {
        let bytes = match self {
            Self::Shout | Self::Held => shout_of(request),
            Self::Status(status) => response(&format!("{status} s3cret"), b"s3cret"),
            Self::Bytes(bytes) => bytes,
            Self::DrippedShout { pause } => {
                let shout = shout_of(request);
                let head = shout.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                let (head, body) = shout.split_at(head.expect("a head") + 4);
                _ = stream.write_all(head).await;
                for byte in body {
                    // Before the byte: the attempt ends with the last one.
                    sleep(pause).await;
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
                return;
            }
            Self::Stall => return disconnected(stream).await,
            Self::Reset(bytes) => {
                _ = stream.write_all(bytes.as_bytes()).await;
                return stream.set_zero_linger().expect("an open socket");
            }
            Self::Endless { head, piece, pause } => {
                _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(piece.as_bytes()).await.is_ok() {
                    sleep(pause).await;
                }
                return;
            }
        };
        _ = stream.write_all(&bytes).await;
        _ = stream.shutdown().await;
    }
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Returns the text of a request.
pub fn text_of(request: &str) -> String {
    let (_, body) = request.split_once("\r\n\r\n").expect("a head");
    let body: Value = serde_json::from_str(body).expect("JSON");
    body["INPUT"].as_str().expect("a text").to_owned()
}

/// Returns the response to a request with its text in upper case.
pub fn shout_of(request: &str) -> Vec<u8> {
    let text = text_of(request);
    let shout = json!({"INPUT": text, "OUTPUT": text.to_uppercase()});
    response("200 OK", shout.to_string().as_bytes())
}

/// Waits until the client closes the connection; it sends nothing after its request.
async fn disconnected(stream: &TcpStream) {
    let mut byte = [0];
    while !matches!(stream.peek(&mut byte).await, Ok(0) | Err(_)) {
        stream.readable().await.expect("an open socket");
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    requests: Vec<String>,
    in_flight: usize,
    max_in_flight: usize,
}

/// The fake. Dropping it closes its port and all connections.
pub struct FakeUpstream {
    server: TcpServer,
    state: Arc<Mutex<State>>,
    release: watch::Sender<Option<Reply>>,
}

impl FakeUpstream {
    /// Starts an upstream that plays `script` and repeats its last reply.
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let state = Arc::new(Mutex::new(State {
            script: script.into_iter().collect(),
            ..State::default()
        }));
        let release = watch::Sender::new(None);
        let (shared, released) = (Arc::clone(&state), release.subscribe());
        let server = TcpServer::start(move |request, mut stream| {
            let (shared, mut released) = (Arc::clone(&shared), released.clone());
            async move {
                let mut reply = lock(&shared).begin(request.clone());
                if matches!(reply, Reply::Held) {
                    let Ok(released) = released.wait_for(Option::is_some).await else {
                        return;
                    };
                    reply = released.clone().expect("waited for");
                }
                reply.play(&request, &mut stream).await;
                lock(&shared).in_flight -= 1;
            }
        })
        .await;
        Self {
            server,
            state,
            release,
        }
    }

    /// Starts an upstream that shouts.
    pub async fn shouting() -> Self {
        Self::start([Reply::Shout]).await
    }

    /// Starts an upstream that holds all calls until [`Self::release`].
    pub async fn held() -> Self {
        Self::start([Reply::Held]).await
    }

    /// Replaces the rest of the script.
    pub fn set(&self, script: impl IntoIterator<Item = Reply>) {
        self.lock().script = script.into_iter().collect();
    }

    /// Responds with a shout to all held calls, present and future.
    pub fn release(&self) {
        self.release_with(Reply::Shout);
    }

    /// Plays `reply` for all held calls, present and future.
    pub fn release_with(&self, reply: Reply) {
        self.release.send_replace(Some(reply));
    }

    /// Returns the value of `SHOUTCLOUD_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/V1/SHOUT", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Returns the number of calls so far.
    pub fn calls(&self) -> usize {
        self.lock().requests.len()
    }

    /// Waits until there were at least `number` calls.
    pub async fn called(&self, number: usize) {
        until(&format!("{number} calls"), async || self.calls() >= number).await;
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// Returns the number of calls in flight.
    pub fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// Waits until exactly `number` calls are in flight.
    pub async fn wait_in_flight(&self, number: usize) {
        until(&format!("{number} calls in flight"), async || {
            self.in_flight() == number
        })
        .await;
    }

    /// Returns the largest number of calls in flight at once.
    pub fn max_in_flight(&self) -> usize {
        self.lock().max_in_flight
    }

    /// Starts a ready application that calls this upstream.
    pub async fn app(&self, settings: &[(&str, &str)]) -> App {
        let url = self.url();
        App::start(&[&[("SHOUTCLOUD_URL", url.as_str())], settings].concat()).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("not poisoned")
}

impl State {
    fn begin(&mut self, request: String) -> Reply {
        self.requests.push(request);
        self.in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
        let reply = self.script.pop_front().expect("a reply");
        if self.script.is_empty() {
            self.script.push_back(reply.clone());
        }
        reply
    }
}
