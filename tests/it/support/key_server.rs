//! A key server that answers as a test tells it, and counts who asks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::POOL_ID;

/// What a pool's key set is answered with.
#[derive(Clone)]
pub enum Answer {
    /// These bytes, then the end of the connection.
    Bytes(Arc<[u8]>),
    /// A key set that never ends.
    Endless,
    /// Nothing until there is another answer, which is given then.
    Stall,
}

impl Answer {
    /// A set of these keys.
    pub fn keys(keys: impl Into<Vec<Value>>) -> Self {
        Self::of(200, json!({"keys": keys.into()}).to_string())
    }

    /// Any status and body.
    pub fn of(status: u16, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!(
            "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        Self::bytes([head.as_bytes(), body].concat())
    }

    /// These bytes as they are.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(bytes.into().into())
    }
}

/// Everything ends when it is dropped, open connections included, and from then on connections are refused.
pub struct KeyServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

struct Shared {
    answers: watch::Sender<HashMap<String, Answer>>,
    requests: Mutex<HashMap<String, usize>>,
}

/// A port that refuses connections, and that nobody else can have, until the server is started on it.
pub struct Reserved(TcpSocket);

impl Reserved {
    pub fn port() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(([127, 0, 0, 1], 0).into())
            .expect("a free port of loopback");
        Self(socket)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("bound"))
    }

    pub fn start(self, answer: Answer) -> KeyServer {
        KeyServer::on(self.listen(), answer)
    }

    /// Accepts connections from now on.
    pub fn listen(self) -> TcpListener {
        self.0.listen(128).expect("it is bound")
    }
}

impl KeyServer {
    /// A server on a free port of loopback with this answer for [`POOL_ID`], and 404 for other pools.
    pub async fn start(answer: Answer) -> Self {
        Self::on(super::loopback().await, answer)
    }

    fn on(listener: TcpListener, answer: Answer) -> Self {
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            answers: watch::Sender::new(HashMap::from([(POOL_ID.to_owned(), answer)])),
            requests: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// What `COGNITO_JWKS_ENDPOINT` has to be.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this is the answer for [`POOL_ID`].
    pub fn set(&self, answer: Answer) {
        self.set_for(POOL_ID, answer);
    }

    /// From now on this is the answer for `pool`.
    pub fn set_for(&self, pool: &str, answer: Answer) {
        self.shared
            .answers
            .send_modify(|answers| _ = answers.insert(pool.to_owned(), answer));
    }

    /// How often the keys of [`POOL_ID`] were asked for.
    pub fn requests(&self) -> usize {
        self.requests_for(POOL_ID)
    }

    /// How often the keys of `pool` were asked for.
    pub fn requests_for(&self, pool: &str) -> usize {
        let requests = self.shared.requests.lock().expect("nobody panics with it");
        requests.get(pool).copied().unwrap_or(0)
    }

    /// How often anything was asked for.
    pub fn requests_for_all(&self) -> usize {
        let requests = self.shared.requests.lock().expect("nobody panics with it");
        requests.values().sum()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8_lossy(&request);
    let pool = request.split('/').nth(1).unwrap_or_default().to_owned();
    *shared
        .requests
        .lock()
        .expect("nobody panics with it")
        .entry(pool.clone())
        .or_default() += 1;
    let mut answers = shared.answers.subscribe();
    let answer = answers
        .wait_for(|answers| !matches!(answers.get(&pool), Some(Answer::Stall)))
        .await
        .map(|answers| answers.get(&pool).cloned().unwrap_or(Answer::of(404, "{}")));
    match answer {
        Ok(Answer::Bytes(bytes)) => {
            _ = stream.write_all(&bytes).await;
            _ = stream.shutdown().await;
        }
        Ok(Answer::Endless) => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"keys\":[";
            let mut written = stream.write_all(head.as_bytes()).await;
            while written.is_ok() {
                written = stream.write_all(&[b' '; 4096]).await;
            }
        }
        Ok(Answer::Stall) | Err(_) => {}
    }
}
