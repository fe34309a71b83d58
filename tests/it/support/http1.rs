//! HTTP/1.1 byte by byte: requests that reqwest would never send, and responses that it would not show.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::task::AbortOnDropHandle;

/// Returns a complete request for a shout of `text`.
pub fn shout(token: &str, text: &str) -> String {
    format!(
        "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// Returns a request of 1 MiB whose response is 6 MiB, which is more than the buffers of a connection hold, and the length of that
/// response's body.
pub fn shout_with_long_response(token: &str) -> (String, usize) {
    let controls = "\u{1}".repeat(1024 * 1024);
    let request = shout(token, &controls).replacen("\r\n", "\r\naccept: application/json\r\n", 1);
    (request, r#"{"data":""}"#.len() + r"\u0001".len() * controls.len())
}

/// Sends `bytes` on a new connection and returns everything until the peer closes it.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut connection = Connection::open(address).await;
    connection.send(bytes).await;
    connection.rest().await
}

/// Does the same for more bytes than the peer reads before it responds.
pub async fn exchange_while_writing(address: SocketAddr, bytes: Vec<u8>) -> String {
    let Connection {
        mut reader,
        mut writer,
        ..
    } = Connection::open(address).await;
    let writing = AbortOnDropHandle::new(tokio::spawn(async move {
        writer.write_all(&bytes).await.expect("an open connection");
        // Kept open: the peer may treat a half-closed connection as closed.
        writer
    }));
    let mut read = Vec::new();
    _ = reader.read_to_end(&mut read).await;
    drop(writing);
    String::from_utf8_lossy(&read).into_owned()
}

/// A connection, and the bytes read from it beyond the last response.
pub struct Connection {
    reader: OwnedReadHalf,
    pub writer: OwnedWriteHalf,
    read: Vec<u8>,
}

/// One response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let (reader, writer) = TcpStream::connect(address)
            .await
            .expect("a connection")
            .into_split();
        Self {
            reader,
            writer,
            read: Vec::new(),
        }
    }

    /// Resets the connection, as a client does that ends with unread bytes.
    pub fn reset(self) {
        let stream = self.reader.reunite(self.writer).expect("both halves");
        stream.set_zero_linger().expect("an open socket");
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer
            .write_all(bytes.as_ref())
            .await
            .expect("an open connection");
    }

    /// Waits until there are bytes of a response, without reading them.
    pub async fn readable(&self) {
        self.reader.readable().await.expect("an open connection");
    }

    /// Reads the next response, interim ones included, with a body of `content-length` bytes.
    pub async fn response(&mut self) -> Response {
        loop {
            if let Some(response) = self.take_response() {
                return response;
            }
            assert_ne!(
                self.reader.read_buf(&mut self.read).await.expect("bytes"),
                0,
                "closed after {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    fn take_response(&mut self) -> Option<Response> {
        let end = self.read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.read[..end].to_vec()).expect("ASCII");
        let status = head.split(' ').nth(1)?.parse().expect("a status");
        let mut response = Response {
            status,
            head,
            body: String::new(),
        };
        let length: usize = response
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a number"));
        let body = self.read.get(end..end + length)?;
        response.body = String::from_utf8(body.to_vec()).expect("UTF-8");
        self.read.drain(..end + length);
        Some(response)
    }

    /// Reads everything until the peer closes or resets the connection.
    pub async fn rest(mut self) -> String {
        _ = self.reader.read_to_end(&mut self.read).await;
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

impl Response {
    /// Returns the only value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} occurs twice: {}", self.head);
        value
    }

    /// Returns the last part of the problem's `type`.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["status"], self.status, "{problem}");
        let kind = problem["type"].as_str().expect("a type");
        kind.strip_prefix("/docs#").expect("a section").to_owned()
    }
}
