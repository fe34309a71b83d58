//! An HTTP server with one constant response.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Serves `json` on a free port until the runtime ends.
pub async fn serve(json: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("bound");
    let length = json.len();
    let response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}"
    );
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("descriptors are available");
            let response = response.clone();
            tokio::spawn(async move {
                let mut bytes = Vec::with_capacity(4096);
                while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                    if is_complete(&bytes) {
                        bytes.clear();
                        if stream.write_all(response.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// Returns an address at which nothing listens.
pub async fn unused_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    listener.local_addr().expect("bound")
}

/// Returns whether `bytes` hold a request head and a body of the declared length.
pub fn is_complete(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    bytes.len() >= end + 4 + length
}
