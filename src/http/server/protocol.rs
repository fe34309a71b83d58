//! A connection before and after its first bytes, which tell HTTP/1.1 from what may be HTTP/2.
//!
//! hyper-util's detection alone would do, were it not for memory: it reads the first bytes and puts them back in front of the
//! others, whereupon hyper doubles the buffer of every HTTP/1.1 connection to 16 KiB. Here they are looked at where they are.
//! Until they come there is nothing of hyper's at all.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper_util::server::graceful::GracefulConnection;

use super::io::Observed;

/// A connection, made by `open` of its socket and whether it may turn out to be HTTP/2.
pub(super) enum Chosen<C, O> {
    Silent(Box<Observed>, O),
    Open(Pin<Box<C>>),
    Closed,
}

impl<C, O> Chosen<C, O>
where
    C: GracefulConnection,
    O: FnOnce(Observed, bool) -> C,
{
    pub(super) fn new(io: Observed, open: O) -> Self {
        Self::Silent(Box::new(io), open)
    }

    /// Ready when the connection has ended, well or not.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                Self::Silent(io, _) => {
                    let may_be_http2 = ready!(io.poll_may_be_http2(cx));
                    if let Self::Silent(io, open) = mem::replace(self, Self::Closed) {
                        *self = Self::Open(Box::pin(open(*io, may_be_http2)));
                    }
                }
                Self::Open(connection) => return connection.as_mut().poll(cx).map(|_| ()),
                Self::Closed => return Poll::Ready(()),
            }
        }
    }

    pub(super) fn graceful_shutdown(&mut self) {
        match self {
            Self::Silent(..) => *self = Self::Closed,
            Self::Open(connection) => connection.as_mut().graceful_shutdown(),
            Self::Closed => {}
        }
    }
}
