//! A connection to SHOUTCLOUD, driven by the attempt that has it.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::error::{Error, InvalidResponse};
use super::stream::Stream;

/// An HTTP/1.1 connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<TokioIo<ObservedStream>, Full<Bytes>>>>,
    is_open: bool,
    is_reused: bool,
    has_received: Arc<AtomicBool>,
}

/// A response with its body. The body of another status than 200 is not read.
pub(in super::super) struct Response {
    pub(in super::super) status: StatusCode,
    pub(in super::super) version: Version,
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) body: Bytes,
}

/// A request without a response.
pub(super) struct Failure {
    pub(super) error: Error,
    /// The connection had been used before, and no byte of a response arrived.
    pub(super) is_stale: bool,
}

impl Connection {
    /// Starts HTTP on a connected stream.
    pub(super) async fn handshake(stream: Stream) -> Result<Self, hyper::Error> {
        let has_received = Arc::new(AtomicBool::new(false));
        let stream = ObservedStream {
            stream,
            has_received: Arc::clone(&has_received),
        };
        // Not vectored: a request of a few hundred bytes is copied faster.
        let (sender, driver) = http1::Builder::new()
            .writev(false)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self {
            sender,
            driver: Box::pin(driver),
            is_open: true,
            is_reused: false,
            has_received,
        })
    }

    /// Returns whether the connection can send a request now. Notices that the server has closed it.
    pub(super) fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.is_open && self.sender.is_ready()
    }

    /// Sends `request` and reads the response. A body of more than `limit` bytes is an error. Sets `status` before it reads the body.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: usize,
        status: &mut Option<StatusCode>,
    ) -> Result<Response, Failure> {
        self.has_received.store(false, Ordering::Relaxed);
        let was_reused = std::mem::replace(&mut self.is_reused, true);
        let result = self.exchange(request, limit, status).await;
        result.map_err(|error| Failure {
            is_stale: was_reused && !self.has_received.load(Ordering::Relaxed),
            error,
        })
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: usize,
        status: &mut Option<StatusCode>,
    ) -> Result<Response, Error> {
        let response = self
            .head(request)
            .await
            .map_err(|error| Error::from_hyper(&error))?;
        let (parts, body) = response.into_parts();
        *status = Some(parts.status);
        let body = if parts.status == StatusCode::OK {
            self.body(body, limit).await?
        } else {
            // hyper reads a short rest and otherwise closes the connection.
            Bytes::new()
        };
        Ok(Response {
            status: parts.status,
            version: parts.version,
            headers: parts.headers,
            body,
        })
    }

    async fn head(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<http::Response<Incoming>> {
        let mut response = pin!(self.sender.send_request(request));
        let (driver, is_open) = (&mut self.driver, &mut self.is_open);
        poll_fn(|cx| {
            drive(driver, is_open, cx);
            // Only the driver can make it ready, and that has just been polled.
            response.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }

    async fn body(&mut self, mut body: Incoming, limit: usize) -> Result<Bytes, Error> {
        let mut read = BytesMut::new();
        loop {
            let frame = poll_fn(|cx| {
                let mut noop = Context::from_waker(Waker::noop());
                if let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(&mut noop) {
                    return Poll::Ready(frame);
                }
                self.drive(cx);
                Pin::new(&mut body).poll_frame(&mut noop)
            })
            .await;
            let Some(frame) = frame else {
                return Ok(read.freeze());
            };
            let Ok(data) = frame.map_err(|error| Error::from_hyper(&error))?.into_data() else {
                continue;
            };
            if read.len() + data.len() > limit {
                return Err(InvalidResponse::TooLong { limit }.into());
            }
            if read.is_empty() && body.is_end_stream() {
                return Ok(data);
            }
            read.extend_from_slice(&data);
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, &mut self.is_open, cx);
    }
}

/// Lets the connection read and write what it can now.
fn drive(
    driver: &mut Pin<Box<http1::Connection<TokioIo<ObservedStream>, Full<Bytes>>>>,
    is_open: &mut bool,
    cx: &mut Context<'_>,
) {
    // A completed future must not be polled again.
    if *is_open && driver.as_mut().poll(cx).is_ready() {
        *is_open = false;
    }
}

/// A stream that records whether bytes have arrived.
struct ObservedStream {
    stream: Stream,
    has_received: Arc<AtomicBool>,
}

impl AsyncRead for ObservedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.has_received.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for ObservedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
