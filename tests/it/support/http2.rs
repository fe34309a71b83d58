//! HTTP/2 frame by frame: frames that no client library would send or show.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// The error code of GOAWAY for a client that causes too much load.
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// Far more time than any frame takes.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection, and the bytes read from it beyond the last frame.
pub struct Http2 {
    stream: TcpStream,
    read: Vec<u8>,
    /// Error codes of the GOAWAYs so far.
    pub goaways: Vec<u32>,
}

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// One response.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

/// Encodes a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short payload")
        .to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Encodes fields as HPACK literals, never indexed and without Huffman codes.
pub fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            let mut rest = text.len();
            if rest < 127 {
                block.push(rest as u8);
            } else {
                block.push(127);
                rest -= 127;
                while rest >= 128 {
                    block.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                block.push(rest as u8);
            }
            block.extend(text.as_bytes());
        }
    }
    block
}

/// Returns the header fields of a shout; no `authorization` for an empty token.
pub fn shout_fields(token: &str) -> Vec<(String, String)> {
    let mut list = vec![
        (":method", "POST".to_owned()),
        (":scheme", "http".to_owned()),
        (":path", "/v1".to_owned()),
        (":authority", "x".to_owned()),
        ("content-type", "text/plain".to_owned()),
    ];
    if !token.is_empty() {
        list.push(("authorization", format!("Bearer {token}")));
    }
    list.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

pub fn block(list: &[(String, String)]) -> Vec<u8> {
    fields(list.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

impl Http2 {
    /// Opens a connection and sends preface and SETTINGS. Without a dynamic table, so that statuses are readable.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_with_window(address, 65_535).await
    }

    /// Does the same with this initial window per response.
    pub async fn open_with_window(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut connection = Self {
            stream,
            read: Vec::new(),
            goaways: Vec::new(),
        };
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let settings = [&[0, 1, 0, 0, 0, 0, 0, 4][..], &window.to_be_bytes()].concat();
        bytes.extend(frame(SETTINGS, 0, 0, &settings));
        connection.send(&bytes).await;
        connection
    }

    /// Sends bytes. Ignores errors: the peer may have closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) {
        _ = self.stream.write_all(bytes).await;
    }

    /// Sends a complete request for a shout.
    pub async fn shout(&mut self, stream: u32, token: &str, text: &str) {
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &block(&shout_fields(token)));
        let mut parts = text.as_bytes().chunks(16_384).peekable();
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() { END_STREAM } else { 0 };
            bytes.extend(frame(DATA, flags, stream, part));
        }
        if text.is_empty() {
            bytes.extend(frame(DATA, END_STREAM, stream, b""));
        }
        self.send(&bytes).await;
    }

    /// Enlarges the window of a stream.
    pub async fn grant(&mut self, stream: u32, window: u32) {
        self.send(&frame(WINDOW_UPDATE, 0, stream, &window.to_be_bytes()))
            .await;
    }

    /// Sends fields of any length: HEADERS and as many CONTINUATIONs as necessary.
    pub async fn send_block(&mut self, stream: u32, block: &[u8]) {
        let mut parts = block.chunks(16_384).peekable();
        let mut kind = HEADERS;
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
            self.send(&frame(kind, flags, stream, part)).await;
            kind = CONTINUATION;
        }
    }

    /// Returns the next frame, after acknowledging SETTINGS and PINGs; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(received) = self.take_frame() {
                match received.kind {
                    SETTINGS | PING if received.flags & ACK == 0 => {
                        let payload = if received.kind == PING {
                            &received.payload[..]
                        } else {
                            &[]
                        };
                        self.send(&frame(received.kind, ACK, 0, payload)).await;
                    }
                    GOAWAY => {
                        let reason = received.payload[4..8].try_into().expect("four bytes");
                        self.goaways.push(u32::from_be_bytes(reason));
                        return Some(received);
                    }
                    _ => return Some(received),
                }
            } else {
                let reading = self.stream.read_buf(&mut self.read);
                let read = tokio::time::timeout(FRAME_TIMEOUT, reading).await;
                if !matches!(read.expect("a frame or the end"), Ok(1..)) {
                    return None;
                }
            }
        }
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let head = self.read.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: self.read.get(9..9 + length)?.to_vec(),
        };
        self.read.drain(..9 + length);
        Some(frame)
    }

    /// Returns the response on a stream; `None` if the stream or the connection ends without one. Drops frames of other
    /// streams.
    pub async fn response(&mut self, stream: u32) -> Option<Response> {
        let mut status = None;
        let mut body = Vec::new();
        loop {
            let received = self.next().await?;
            if received.stream != stream {
                continue;
            }
            match received.kind {
                HEADERS => status = Some(status_of(&received.payload)),
                DATA => body.extend(&received.payload),
                RST_STREAM if status.is_none() => return None,
                _ => continue,
            }
            // A reset without an error may follow a complete response to an incomplete request.
            if received.flags & END_STREAM != 0 {
                return Some(Response {
                    status: status.expect("headers come first"),
                    body: String::from_utf8(body).expect("UTF-8"),
                });
            }
        }
    }

    /// Closes the sending side of the connection.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.expect("an open connection");
    }

    /// Reads until the peer closes the connection.
    pub async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// Decodes `:status`, which is the first field.
fn status_of(mut block: &[u8]) -> u16 {
    // The peer acknowledges the size of the dynamic table.
    while let [0x20..=0x3f, rest @ ..] = block {
        block = rest;
    }
    match *block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        // A literal whose name is that of the static table's entry 8.
        [0x08 | 0x18 | 0x48, length, a, b, c, ..] if length & 0x80 == 0 => std::str::from_utf8(&[a, b, c])
            .expect("digits")
            .parse()
            .expect("a status"),
        [0x08 | 0x18 | 0x48, length, ref rest @ ..] => {
            let length = usize::from(length & 0x7f);
            huffman_digits(&rest[..length])
        }
        _ => panic!("no status: {block:x?}"),
    }
}

/// Decodes three digits in the Huffman code of HPACK: 0 to 2 have five bits, 3 to 9 six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut number = 0;
    for _ in 0..3 {
        let five = (0..5).fold(0, |code, _| code << 1 | bits.next().expect("five bits"));
        let digit = if five < 3 {
            five
        } else {
            (five << 1 | bits.next().expect("six bits")) - 0b01_1001 + 3
        };
        number = number * 10 + u16::from(digit);
    }
    number
}
