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
use tokio::task::unconstrained;

use super::super::error::{Error, InvalidResponse, Transient};
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
        // Unconstrained: a task that checks more than 128 connections has used up its budget, and the rest would seem open.
        let driven = pin!(unconstrained(poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })));
        _ = driven.poll(&mut Context::from_waker(Waker::noop()));
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
        let response = self.head(request).await?;
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

    async fn head(&mut self, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>, Error> {
        // Unconstrained, because its waker does nothing: without budget it would be pending for ever.
        let mut response = pin!(unconstrained(self.sender.send_request(request)));
        let (driver, is_open) = (&mut self.driver, &mut self.is_open);
        poll_fn(|cx| {
            drive(driver, is_open, cx);
            // Only the driver can make it ready, and that has just been polled.
            match response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(response) => Poll::Ready(response.map_err(|error| Error::from_hyper(&error))),
                // The driver saw the end of the stream before it took the request, which is never completed then.
                Poll::Pending if !*is_open => Poll::Ready(Err(Transient::closed().into())),
                Poll::Pending => Poll::Pending,
            }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::coop::poll_proceed;
    use tokio::time::{sleep, timeout};

    use super::{Connection, Error, InvalidResponse, Stream};

    fn request() -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from_static(b"text")));
        request
            .headers_mut()
            .insert("host", "a".parse().expect("a header value"));
        request
    }

    /// Sends a request to a server that responds with `parts`, one after the other. Returns the body, and whether the failure was
    /// that of a stale connection; `used` is whether the connection has been used before.
    async fn send(parts: &[&'static str], limit: usize, used: bool) -> Result<Bytes, (Error, bool)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await;
        let (mut server, _) = listener.accept().await.expect("a connection");
        let stream = Stream::Plain(stream.expect("a connection"));
        let mut connection = Connection::handshake(stream).await.expect("no I/O");
        connection.is_reused = used;
        let serve = async move {
            server.read_u8().await.expect("a request");
            for part in parts {
                server
                    .write_all(part.as_bytes())
                    .await
                    .expect("an open connection");
                // The client reads it before the next one arrives.
                sleep(Duration::from_secs(1)).await;
            }
        };
        let mut status = None;
        let (response, ()) = tokio::join!(connection.send(request(), limit, &mut status), serve);
        response
            .map(|response| response.body)
            .map_err(|failure| (failure.error, failure.is_stale))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_at_most_the_limit() {
        const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for parts in [
            &[HEAD, "4\r\nabcd\r\n0\r\n\r\n"][..],
            &[HEAD, "3\r\nabc\r\n", "1\r\nd\r\n", "0\r\n\r\n"],
            &["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", "ab", "cd"],
        ] {
            let whole = Ok(Bytes::from_static(b"abcd"));
            assert_eq!(send(parts, 5, false).await, whole, "{parts:?}");
            assert_eq!(send(parts, 4, false).await, whole, "{parts:?}");
            let too_long = Error::from(InvalidResponse::TooLong { limit: 3 });
            assert_eq!(send(parts, 3, false).await, Err((too_long, false)), "{parts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_stale_only_if_it_was_used_and_no_byte_has_arrived() {
        for (parts, used, expected) in [
            (&[][..], true, true),
            (&[], false, false),
            (&["HTTP/1.1 2"], true, false),
        ] {
            let failed = send(parts, 10, used).await;
            let is_stale = failed.map_err(|(_, is_stale)| is_stale);
            assert_eq!(is_stale, Err(expected), "{parts:?}, used before: {used}");
        }
    }

    /// Returns a connection that has been used and that the server has closed since, which nothing has noticed.
    async fn closed_by_server() -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await;
        let (mut server, _) = listener.accept().await.expect("a connection");
        let stream = stream.expect("a connection").into_std().expect("no I/O");
        let observer = stream.try_clone().expect("a descriptor");
        let observer = TcpStream::from_std(observer).expect("a runtime");
        let stream = Stream::Plain(TcpStream::from_std(stream).expect("a runtime"));
        let mut connection = Connection::handshake(stream).await.expect("no I/O");
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let serve = async {
            server.read_u8().await.expect("a request");
            server.write_all(response).await.expect("an open connection");
        };
        let mut status = None;
        let (first, ()) = tokio::join!(connection.send(request(), 10, &mut status), serve);
        assert!(first.is_ok_and(|response| response.body == "ok"));
        server.shutdown().await.expect("an open connection");
        let mut byte = [0];
        while observer.try_read(&mut byte).is_err() {
            observer.readable().await.expect("an open socket");
        }
        connection
    }

    /// Polls `future`, the first time with a budget of `left` operations before the task has to yield.
    async fn with_budget<F: Future>(left: usize, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut is_first = true;
        poll_fn(|cx| {
            if std::mem::take(&mut is_first) {
                // A task has 128.
                for _ in left..128 {
                    let proceed = poll_proceed(cx);
                    if let Poll::Ready(progress) = proceed {
                        progress.made_progress();
                    }
                }
            }
            future.as_mut().poll(cx)
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_that_is_seen_when_the_request_is_sent_makes_it_stale_at_once() {
        for left in 0..8 {
            let mut connection = closed_by_server().await;
            let mut status = None;
            let sent = with_budget(left, connection.send(request(), 10, &mut status));
            let sent = timeout(Duration::from_secs(1), sent).await;
            assert!(
                sent.expect("no wait").is_err_and(|failure| failure.is_stale),
                "{left} operations left"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_checks_many_connections_notices_each_close() {
        let mut connections = Vec::new();
        for _ in 0..200 {
            connections.push(closed_by_server().await);
        }
        // The runtime hears of the last ones, too.
        sleep(Duration::from_secs(1)).await;
        assert!(!connections.iter_mut().any(Connection::is_ready));
    }
}
