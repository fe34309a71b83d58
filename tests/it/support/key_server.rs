//! A fake key server with a response per user pool, which counts requests.

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

/// The response to a request for the keys of a pool.
#[derive(Clone)]
pub enum KeyResponse {
    /// These bytes, then the connection is closed.
    Bytes(Arc<[u8]>),
    /// A key set that never ends.
    Endless,
    /// Nothing until the response is replaced.
    Stall,
}

impl KeyResponse {
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

/// The server. Dropping it closes its port and all connections.
pub struct KeyServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

struct Shared {
    responses: watch::Sender<HashMap<String, KeyResponse>>,
    requests: Mutex<HashMap<String, usize>>,
}

/// A port that refuses connections and is not available to others, until a server is started on it.
pub struct ReservedPort(TcpSocket);

impl ReservedPort {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(([127, 0, 0, 1], 0).into())
            .expect("a free loopback port");
        Self(socket)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("bound"))
    }

    pub fn start(self, response: KeyResponse) -> KeyServer {
        KeyServer::on(self.listen(), response)
    }

    /// Starts to accept connections.
    pub fn listen(self) -> TcpListener {
        self.0.listen(128).expect("it is bound")
    }
}

impl KeyServer {
    /// Serves on a free loopback port, with this response for [`POOL_ID`] and 404 for other pools.
    pub async fn start(response: KeyResponse) -> Self {
        Self::on(super::loopback().await, response)
    }

    fn on(listener: TcpListener, response: KeyResponse) -> Self {
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            responses: watch::Sender::new(HashMap::from([(POOL_ID.to_owned(), response)])),
            requests: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// Returns the value of `COGNITO_JWKS_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the response for [`POOL_ID`].
    pub fn set(&self, response: KeyResponse) {
        self.set_for(POOL_ID, response);
    }

    /// Replaces the response for `pool`.
    pub fn set_for(&self, pool: &str, response: KeyResponse) {
        self.shared
            .responses
            .send_modify(|responses| _ = responses.insert(pool.to_owned(), response));
    }

    /// Returns the number of requests for the keys of [`POOL_ID`].
    pub fn requests(&self) -> usize {
        self.requests_for(POOL_ID)
    }

    /// Returns the number of requests for the keys of `pool`.
    pub fn requests_for(&self, pool: &str) -> usize {
        let requests = self.shared.requests.lock().expect("not poisoned");
        requests.get(pool).copied().unwrap_or(0)
    }

    /// Returns the number of all requests.
    pub fn requests_for_all(&self) -> usize {
        let requests = self.shared.requests.lock().expect("not poisoned");
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
        .expect("not poisoned")
        .entry(pool.clone())
        .or_default() += 1;
    let mut responses = shared.responses.subscribe();
    let response = responses
        .wait_for(|responses| !matches!(responses.get(&pool), Some(KeyResponse::Stall)))
        .await
        .map(|responses| {
            responses
                .get(&pool)
                .cloned()
                .unwrap_or(KeyResponse::of(404, "{}"))
        });
    match response {
        Ok(KeyResponse::Bytes(bytes)) => {
            _ = stream.write_all(&bytes).await;
            _ = stream.shutdown().await;
        }
        Ok(KeyResponse::Endless) => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"keys\":[";
            let mut written = stream.write_all(head.as_bytes()).await;
            while written.is_ok() {
                written = stream.write_all(&[b' '; 4096]).await;
            }
        }
        Ok(KeyResponse::Stall) | Err(_) => {}
    }
}
