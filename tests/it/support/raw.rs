//! Raw sockets on both sides: a client that sends bytes as they are, and a server that answers with bytes as they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// A whole request for a shout of `text`.
pub fn shout(token: &str, text: &str) -> String {
    format!(
        "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// Sends `bytes` on a new connection and returns everything that comes until the peer closes it.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("bytes are taken");
    let mut answer = Vec::new();
    // A reset after the answer ends it as well as a close does.
    _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The same for more bytes than the peer takes before it answers.
pub async fn exchange_while_writing(address: SocketAddr, bytes: Vec<u8>) -> String {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut reading, mut writing) = stream.into_split();
    let writer = AbortOnDropHandle::new(tokio::spawn(async move {
        writing.write_all(&bytes).await.expect("bytes are taken");
        // Kept open: a peer may take a half-closed connection for one that is gone.
        writing
    }));
    let mut answer = Vec::new();
    _ = reading.read_to_end(&mut answer).await;
    drop(writer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A server that reads one request's head and body and hands the socket to `answer`.
pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _accepting: AbortOnDropHandle<()>,
}

impl Server {
    /// Serves on a free port of loopback. `answer` gets the request as it came and the socket.
    pub async fn start<F>(answer: impl Fn(String, TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = super::loopback().await;
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(request) = read_request(&mut stream).await {
                    tokio::spawn(answer(request, stream));
                }
            }
        });
        Self {
            address,
            connections,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// One that answers every request with the same bytes and closes.
    pub async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |_, mut stream| {
            let bytes = Arc::clone(&bytes);
            async move {
                _ = stream.write_all(&bytes).await;
                _ = stream.shutdown().await;
            }
        })
        .await
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A whole request: the head, and as much body as its `content-length` says.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}
