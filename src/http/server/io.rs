//! A connection's socket: tells its [`Activity`] what comes, and closes so that the last answer arrives.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::connection::Activity;

/// How long, and how much, is read of what a client sends to a connection that was answered and closed. Closing a socket
/// with unread bytes resets the connection, and a reset overtakes the answer: a client that is still sending the body of a
/// request that was refused would see a broken pipe, not the refusal.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 1024 * 1024;

/// What a client of HTTP/2 sends first (RFC 9113 section 3.4). Less than the whole of it is a head that did not arrive.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket whose reads are seen.
pub(super) struct Observed {
    /// `None` only while being dropped.
    stream: Option<TcpStream>,
    activity: Activity,
    /// What is still to come of the preface; `None` once it is whole, or something else came.
    preface: Option<&'static [u8]>,
    /// Nothing more will come.
    ended: bool,
}

impl Observed {
    pub(super) fn new(stream: TcpStream, activity: Activity) -> Self {
        Self {
            stream: Some(stream),
            activity,
            preface: Some(HTTP2_PREFACE),
            ended: false,
        }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("taken only by drop"))
    }
}

impl AsyncRead for Observed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buf.filled().len();
        let read = ready!(self.stream().poll_read(cx, buf));
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
        self.stream().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
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
            runtime.spawn(linger(stream));
        }
    }
}

async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(LINGER_BYTES);
        // However it ends, the socket is closed then.
        _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}
