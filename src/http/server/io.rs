//! A connection's socket: tells its [`Activity`] what comes, and closes so that the last answer arrives.

use std::io::{ErrorKind, IoSlice, Read as _, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::connection::Activity;
use crate::lifecycle::{Counted, Drain};

/// How long, and how much, is read of what a client sends to a connection that was answered and closed. Closing a socket
/// with unread bytes resets the connection, and a reset overtakes the answer: a client that is still sending the body of a
/// request that was refused would see a broken pipe, not the refusal.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 1024 * 1024;

/// What a client of HTTP/2 sends first (RFC 9113 section 3.4). Less than the whole of it is a head that did not arrive.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket whose reads and writes are seen.
pub(super) struct Observed {
    /// `None` only while being dropped.
    stream: Option<TcpStream>,
    activity: Activity,
    drain: Drain,
    /// What is still to come of the preface; `None` once it is whole, or something else came.
    preface: Option<&'static [u8]>,
    /// Nothing more will come.
    ended: bool,
    /// An answer that the socket has no room for is not given yet.
    unsent: Option<Counted>,
    /// Where the socket's last moments are waited for.
    tracker: TaskTracker,
    /// Its place among the connections, held until the socket is closed.
    place: Option<OwnedSemaphorePermit>,
}

impl Observed {
    pub(super) fn new(
        stream: TcpStream,
        activity: Activity,
        drain: Drain,
        tracker: TaskTracker,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            stream: Some(stream),
            activity,
            drain,
            preface: Some(HTTP2_PREFACE),
            ended: false,
            unsent: None,
            tracker,
            place,
        }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("taken only by drop"))
    }

    /// Reads by a system call. tokio asks the socket only once epoll has reported it, which may be yet to come.
    fn look(&mut self, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
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

    /// Whether what comes first, and is not read by this, can be the beginning of HTTP/2. The end of the stream cannot.
    pub(super) fn poll_may_be_http2(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut bytes = [0; HTTP2_PREFACE.len()];
        let mut buf = ReadBuf::new(&mut bytes);
        let peeked = self.stream().poll_peek(cx, &mut buf);
        if peeked.is_pending() && self.activity.looks() {
            // Whoever reads asks the socket itself, and finds out.
            return Poll::Ready(true);
        }
        // A fault is met again by whoever reads.
        _ = ready!(peeked);
        let came = buf.filled();
        Poll::Ready(!came.is_empty() && HTTP2_PREFACE.starts_with(came))
    }

    fn wrote<T>(&mut self, written: Poll<T>) -> Poll<T> {
        // Without a request there is no answer, only HTTP/2's own frames.
        let blocks = written.is_pending() && self.activity.was_asked();
        if blocks != self.unsent.is_some() {
            self.unsent = blocks.then(|| self.drain.unanswered());
            self.activity.write_blocks(blocks);
        }
        written
    }
}

impl AsyncRead for Observed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buf.filled().len();
        let mut read = self.stream().poll_read(cx, buf);
        if read.is_pending() && self.activity.looks() {
            read = self.look(buf);
        }
        let read = ready!(read);
        let came = buf.filled().get(before..).unwrap_or_default();
        if came.is_empty() {
            self.ended = true;
        } else {
            if let Some(preface) = self.preface {
                if came.starts_with(preface) {
                    self.activity.speaks_http2();
                }
                self.preface = preface.strip_prefix(came).filter(|rest| !rest.is_empty());
            }
            self.activity.bytes_came();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Observed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = self.stream().poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = self.stream().poll_write_vectored(cx, bufs);
        self.wrote(written)
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

impl Drop for Observed {
    fn drop(&mut self) {
        if let (Some(stream), false, Ok(runtime)) = (
            self.stream.take(),
            self.ended,
            tokio::runtime::Handle::try_current(),
        ) {
            let place = self.place.take();
            self.tracker.spawn_on(linger(stream, place), &runtime);
        }
    }
}

async fn linger(mut stream: TcpStream, _place: Option<OwnedSemaphorePermit>) {
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(LINGER_BYTES);
        // However it ends, the socket is closed then.
        _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;
    use std::pin::Pin;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::io::{AsyncRead as _, ReadBuf};
    use tokio::net::TcpListener;
    use tokio_util::task::TaskTracker;

    use super::{Activity, Drain, Observed};

    #[tokio::test]
    async fn a_look_finds_what_the_runtime_has_not_heard_of() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut client = std::net::TcpStream::connect(address).expect("a connection");
        let (stream, _) = listener.accept().await.expect("a connection");
        let activity = Activity::new();
        let drain = Drain::new(Duration::ZERO);
        let mut socket = Observed::new(stream, activity.clone(), drain, TaskTracker::new(), None);
        // The runtime's only thread is here: between two polls it hears of nothing.
        poll_fn(|cx| {
            let mut bytes = [0; 8];
            let mut buf = ReadBuf::new(&mut bytes);
            assert!(Pin::new(&mut socket).poll_read(cx, &mut buf).is_pending());
            client.write_all(b"late").expect("bytes are taken");
            assert!(Pin::new(&mut socket).poll_read(cx, &mut buf).is_pending());
            activity.set_looks(true);
            assert!(Pin::new(&mut socket).poll_read(cx, &mut buf).is_ready());
            assert_eq!(buf.filled(), b"late");
            assert!(
                Pin::new(&mut socket).poll_read(cx, &mut buf).is_pending(),
                "no more"
            );
            Poll::Ready(())
        })
        .await;
    }
}
