//! The socket of a connection: records in its [`ConnectionState`] what it reads and writes, and closes so that the
//! client receives the last response.

use std::io::{ErrorKind, IoSlice, Read as _, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::connection_state::ConnectionState;
use crate::lifecycle::{CountGuard, Drain};
use crate::telemetry::metrics::GaugeGuard;

/// Limits of a lingering close, which reads and discards what the client still sends. Closing a socket with unread
/// bytes resets the connection, and a reset overtakes the response: a client that is still sending the body of a
/// rejected request would see a broken pipe instead of the rejection.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 1024 * 1024;

/// The first bytes of an HTTP/2 client (RFC 9113 section 3.4). Until all of them have arrived, the header timeout
/// applies.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A TCP stream that records its reads and writes.
pub(super) struct MonitoredStream {
    /// `None` only while being dropped.
    stream: Option<TcpStream>,
    state: ConnectionState,
    drain: Drain,
    /// The bytes of the preface that have not arrived; `None` once it is complete, or after other bytes.
    preface: Option<&'static [u8]>,
    /// The client has closed its side.
    read_closed: bool,
    /// Counts a response that waits for the socket as pending.
    blocked_response: Option<CountGuard>,
    /// Tracks the lingering close.
    tracker: TaskTracker,
    /// Held until the socket is closed; `None` only while being dropped, and in tests.
    permit: Option<ConnectionPermit>,
}

/// Permission to have a connection open, and its count among the open ones.
pub(super) struct ConnectionPermit {
    /// `None` if the number of connections is not limited.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
    pub(super) _counted: GaugeGuard,
}

impl MonitoredStream {
    pub(super) fn new(
        stream: TcpStream,
        state: ConnectionState,
        drain: Drain,
        tracker: TaskTracker,
        permit: Option<ConnectionPermit>,
    ) -> Self {
        Self {
            stream: Some(stream),
            state,
            drain,
            preface: Some(HTTP2_PREFACE),
            read_closed: false,
            blocked_response: None,
            tracker,
            permit,
        }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("taken only by drop"))
    }

    /// Reads by a system call. tokio makes one only after epoll has reported the socket, which may be yet to come.
    fn read_now(&mut self, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let stream = self.stream();
        match (&*SockRef::from(&*stream)).read(buf.initialize_unfilled()) {
            Ok(read) => {
                buf.advance(read);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Peeks at the first bytes and returns whether they can begin HTTP/2. The end of the stream cannot.
    pub(super) fn poll_may_be_http2(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut bytes = [0; HTTP2_PREFACE.len()];
        let mut buf = ReadBuf::new(&mut bytes);
        let peeked = self.stream().poll_peek(cx, &mut buf);
        if peeked.is_pending() && self.state.bypasses_readiness() {
            // The read that follows bypasses readiness and finds out.
            return Poll::Ready(true);
        }
        // The read that follows meets an error again.
        _ = ready!(peeked);
        let first = buf.filled();
        Poll::Ready(!first.is_empty() && HTTP2_PREFACE.starts_with(first))
    }

    fn record_write<T>(&mut self, written: Poll<T>) -> Poll<T> {
        // Without a request there is no response, only HTTP/2's own frames.
        let is_blocked = written.is_pending() && self.state.had_request();
        if is_blocked != self.blocked_response.is_some() {
            self.blocked_response = is_blocked.then(|| self.drain.count_pending());
            self.state.set_write_blocked(is_blocked);
        }
        written
    }
}

impl AsyncRead for MonitoredStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if self.state.has_eof() {
            return if self.state.eof_ends_connection() {
                Poll::Ready(Ok(()))
            } else {
                // `ConnectionTask` polls again when it may be read.
                Poll::Pending
            };
        }
        let before = buf.filled().len();
        let mut read = self.stream().poll_read(cx, buf);
        if read.is_pending() && self.state.bypasses_readiness() {
            read = self.read_now(buf);
        }
        if read.is_pending() {
            self.state.nothing_read();
        }
        let read = ready!(read);
        let bytes = buf.filled().get(before..).unwrap_or_default();
        if bytes.is_empty() {
            self.read_closed = true;
            if read.is_ok() {
                self.state.eof_read();
                if !self.state.eof_ends_connection() {
                    return Poll::Pending;
                }
            }
        } else {
            if let Some(preface) = self.preface {
                if bytes.starts_with(preface) {
                    self.state.set_http2();
                }
                self.preface = preface.strip_prefix(bytes).filter(|rest| !rest.is_empty());
            }
            self.state.bytes_read();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for MonitoredStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = self.stream().poll_write(cx, buf);
        self.record_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = self.stream().poll_write_vectored(cx, bufs);
        self.record_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl Drop for MonitoredStream {
    fn drop(&mut self) {
        if let (Some(stream), false, Ok(runtime)) = (
            self.stream.take(),
            self.read_closed,
            tokio::runtime::Handle::try_current(),
        ) {
            let permit = self.permit.take();
            self.tracker.spawn_on(linger(stream, permit), &runtime);
        }
    }
}

/// Closes the sending side and discards what the client still sends, within the limits of a lingering close.
async fn linger(mut stream: TcpStream, _permit: Option<ConnectionPermit>) {
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(LINGER_BYTES);
        // The socket is closed afterwards in any case.
        _ = tokio::time::timeout(LINGER_TIMEOUT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read as _, Write as _};
    use std::pin::Pin;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
    use tokio::net::TcpListener;
    use tokio_util::task::TaskTracker;

    use super::{ConnectionState, Drain, HTTP2_PREFACE, MonitoredStream};

    /// Returns both ends of a connection, and the state that the server's end records.
    async fn connect() -> (std::net::TcpStream, MonitoredStream, ConnectionState) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let client = std::net::TcpStream::connect(address).expect("a connection");
        let (stream, _) = listener.accept().await.expect("a connection");
        let state = ConnectionState::new();
        let drain = Drain::new(Duration::ZERO);
        let socket = MonitoredStream::new(stream, state.clone(), drain, TaskTracker::new(), None);
        (client, socket, state)
    }

    #[tokio::test]
    async fn a_preface_in_pieces_begins_http_2_and_other_bytes_do_not() {
        let not_a_preface = [&HTTP2_PREFACE[..23], b"x"].concat();
        for (bytes, is_http2) in [(HTTP2_PREFACE, true), (&*not_a_preface, false)] {
            let (mut client, mut socket, state) = connect().await;
            for piece in bytes.chunks(10) {
                assert!(!state.is_http2());
                client.write_all(piece).expect("the send buffer has space");
                socket.read_exact(&mut vec![0; piece.len()]).await.expect("bytes");
            }
            assert_eq!(state.is_http2(), is_http2);
        }
    }

    #[tokio::test]
    async fn a_plain_write_is_a_write() {
        let (mut client, mut socket, _) = connect().await;
        assert_eq!(socket.write(b"bytes").await.expect("an open connection"), 5);
        let mut bytes = [0; 5];
        client.read_exact(&mut bytes).expect("bytes");
        assert_eq!(&bytes, b"bytes");
    }

    #[tokio::test]
    async fn bypassing_readiness_reads_bytes_that_the_runtime_has_not_seen() {
        let (mut client, mut socket, state) = connect().await;
        // The runtime's only thread runs this future, so it polls no I/O events in between.
        poll_fn(|cx| {
            let mut bytes = [0; 8];
            let mut buf = ReadBuf::new(&mut bytes);
            assert!(Pin::new(&mut socket).poll_read(cx, &mut buf).is_pending());
            client.write_all(b"late").expect("the send buffer has space");
            assert!(Pin::new(&mut socket).poll_read(cx, &mut buf).is_pending());
            state.bypass_readiness(true);
            assert!(Pin::new(&mut socket).poll_read(cx, &mut buf).is_ready());
            assert_eq!(buf.filled(), b"late");
            assert!(
                Pin::new(&mut socket).poll_read(cx, &mut buf).is_pending(),
                "no more bytes"
            );
            Poll::Ready(())
        })
        .await;
    }
}
