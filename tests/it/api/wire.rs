//! One HTTP/1.1 connection, byte by byte: what reqwest would never send, and answers that it would not show.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A connection and what was read of it beyond the last answer.
pub struct Connection {
    reader: OwnedReadHalf,
    pub writer: OwnedWriteHalf,
    read: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
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

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer
            .write_all(bytes.as_ref())
            .await
            .expect("bytes are taken");
    }

    /// Waits until something of an answer is there, without reading it.
    pub async fn readable(&self) {
        self.reader.readable().await.expect("an open connection");
    }

    /// The next answer, which may be an interim one; as much body as its `content-length` says.
    pub async fn answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.take_answer() {
                return answer;
            }
            assert_ne!(
                self.reader.read_buf(&mut self.read).await.expect("bytes"),
                0,
                "closed after {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    fn take_answer(&mut self) -> Option<Answer> {
        let end = self.read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.read[..end].to_vec()).expect("ASCII");
        let status = head.split(' ').nth(1)?.parse().expect("a status");
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        let length: usize = answer
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a number"));
        let body = self.read.get(end..end + length)?;
        answer.body = String::from_utf8(body.to_vec()).expect("UTF-8");
        self.read.drain(..end + length);
        Some(answer)
    }

    /// Everything until the peer closes the connection, in order or not.
    pub async fn rest(mut self) -> String {
        _ = self.reader.read_to_end(&mut self.read).await;
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

impl Answer {
    /// The only value of a header.
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

    /// The last part of the problem's `type`.
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
