//! Defaults for every outgoing HTTP call: the client, reading a bounded body, and error texts.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{ClientBuilder, Response};

/// `user-agent` of every request.
pub const USER_AGENT: &str = concat!("shoutback/", env!("CARGO_PKG_VERSION"));

/// Time limit to connect, which all addresses of a name share: without one, a first address that does not react uses up the
/// whole timeout of the request.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns a builder for a client without proxy, redirects and retries.
///
/// A proxy from the environment would see every text and could replace the signing keys, a redirect would leave the
/// configured host, and a hidden retry would bypass the retry budget.
pub fn client() -> ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(USER_AGENT)
}

/// Why the body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It exceeds the limit.
    #[error("the response is longer than {limit} bytes")]
    TooLong {
        /// Maximum number of bytes.
        limit: usize,
    },
    /// It is incomplete, or not framed as HTTP.
    #[error("{}", innermost(.0))]
    Transport(#[from] reqwest::Error),
}

/// Reads the whole body of `response`; fails if it exceeds `limit` bytes.
pub async fn read(mut response: Response, limit: usize) -> Result<Bytes, ReadError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(ReadError::TooLong { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Returns the text of the innermost cause, since reqwest's own is only "error sending request" and the URL.
///
/// Stops at a hyper error whose source is not an I/O error: that source is h2, whose message includes the peer's GOAWAY
/// debug data.
pub fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        if cause.is::<hyper::Error>() && !source.is::<std::io::Error>() {
            break;
        }
        cause = source;
    }
    if error.source().is_none() {
        "no response".to_owned()
    } else {
        cause.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;

    use super::client;

    #[tokio::test]
    async fn a_silent_first_address_leaves_time_for_the_next() {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("a free port");
        let silent = socket.listen(0).expect("listens");
        let first = silent.local_addr().expect("bound");
        // Once the backlog is full, the kernel drops further SYN packets.
        let mut connected = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(first)).await {
            connected.push(stream.expect("connects"));
        }
        let listener = TcpListener::bind(("127.0.0.2", first.port()))
            .await
            .expect("a free port");
        let second = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                _ = stream.read(&mut [0; 1024]).await;
                _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        });
        let client = client()
            .resolve_to_addrs("keys.test", &[first, second])
            .build()
            .expect("a client");
        // The time limit of a fetch of keys.
        let url = format!("http://keys.test:{}/", first.port());
        let response = timeout(Duration::from_secs(3), client.get(url).send()).await;
        let response = response.expect("in time").expect("a response");
        assert_eq!(response.status(), 204);
    }
}
