//! Detects the protocol of a connection from its first bytes: HTTP/1.1, or possibly HTTP/2.
//!
//! hyper-util's detection alone would work, but takes more memory: it reads the first bytes and puts them back in front
//! of the others, whereupon hyper doubles the buffer of every HTTP/1.1 connection to 16 KiB. Here the bytes are peeked
//! at in the socket, and nothing of hyper is allocated until they arrive.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use hyper_util::server::graceful::GracefulConnection;

use super::monitored_stream::MonitoredStream;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// hyper could not parse a request head, or it exceeds a limit.
    ParseError,
    Otherwise,
}

impl From<Result<(), BoxError>> for Ended {
    fn from(result: Result<(), BoxError>) -> Self {
        let error = result.as_ref().err().and_then(|error| error.downcast_ref());
        if error.is_some_and(hyper::Error::is_parse) {
            Self::ParseError
        } else {
            Self::Otherwise
        }
    }
}

/// A connection, created by `open` from its stream and whether it may be HTTP/2.
pub(super) enum ProtocolDetect<C, O> {
    /// No bytes have arrived.
    Pending(Box<MonitoredStream>, O),
    Active(Pin<Box<C>>),
    Closed,
}

impl<C, O> ProtocolDetect<C, O>
where
    C: GracefulConnection<Error = BoxError>,
    O: FnOnce(MonitoredStream, bool) -> C,
{
    pub(super) fn new(stream: MonitoredStream, open: O) -> Self {
        Self::Pending(Box::new(stream), open)
    }

    /// Polls the connection; ready when it has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            match self {
                Self::Pending(stream, _) => {
                    let may_be_http2 = ready!(stream.poll_may_be_http2(cx));
                    if let Self::Pending(stream, open) = mem::replace(self, Self::Closed) {
                        *self = Self::Active(Box::pin(open(*stream, may_be_http2)));
                    }
                }
                Self::Active(connection) => return connection.as_mut().poll(cx).map(Ended::from),
                Self::Closed => return Poll::Ready(Ended::Otherwise),
            }
        }
    }

    pub(super) fn graceful_shutdown(&mut self) {
        match self {
            Self::Pending(..) => *self = Self::Closed,
            Self::Active(connection) => connection.as_mut().graceful_shutdown(),
            Self::Closed => {}
        }
    }
}
