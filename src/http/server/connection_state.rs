//! State of one connection, shared by its stream, its requests and its task, and the deadline that follows from it.
//!
//! The fields are separate atomics, so that a request takes no lock. All that belongs to an HTTP/1.1 connection runs in
//! one task; HTTP/2 streams run in tasks of their own, so a reader may see one of two related stores only.

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::Drain;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Time limits of a connection, outside of request handlers.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a request head (or the start of the connection) to its end.
    pub head: Duration,
    /// Between two requests, and for the client to read a response.
    pub idle: Duration,
}

/// Shared state of a connection. Cheap to clone; all clones share the state.
#[derive(Clone)]
pub(super) struct ConnectionState(Arc<State>);

struct State {
    opened: Instant,
    /// Requests whose response is not ready yet.
    requests: AtomicUsize,
    /// Responses that are ready and not sent yet.
    responses: AtomicUsize,
    had_request: AtomicBool,
    /// Bytes have arrived since the last request ended, or the connection is new: a request head is arriving.
    head_begun: AtomicBool,
    /// The last request's body was not read to its end.
    awaits_body: AtomicBool,
    /// On HTTP/2, bytes alone do not start a request: PING, SETTINGS and other frames belong to no request.
    is_http2: AtomicBool,
    /// During a request on HTTP/1.1: hyper has read all that arrived, and tried to read more. Otherwise bytes of the next
    /// request may be in its buffer, where nothing here sees them.
    is_buffer_empty: AtomicBool,
    /// The client has closed its side of the connection.
    has_eof: AtomicBool,
    /// The request has a part of its body only, and waits for more after the end of the stream.
    is_truncated: AtomicBool,
    /// The request waits for the upstream.
    in_upstream_call: AtomicBool,
    /// The socket's send buffer is full.
    is_write_blocked: AtomicBool,
    /// Reads make a system call even if tokio has not seen the socket become readable.
    bypasses_readiness: AtomicBool,
    /// When the current head or idle phase began, in nanoseconds after `opened`.
    phase_began: AtomicU64,
    /// When the last response became ready or was sent, in nanoseconds after `opened`.
    last_response: AtomicU64,
}

impl ConnectionState {
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            responses: AtomicUsize::new(0),
            had_request: AtomicBool::new(false),
            head_begun: AtomicBool::new(true),
            awaits_body: AtomicBool::new(false),
            is_buffer_empty: AtomicBool::new(false),
            has_eof: AtomicBool::new(false),
            is_truncated: AtomicBool::new(false),
            in_upstream_call: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            is_write_blocked: AtomicBool::new(false),
            bypasses_readiness: AtomicBool::new(false),
            phase_began: AtomicU64::new(0),
            last_response: AtomicU64::new(0),
        }))
    }

    /// Returns when the connection was accepted.
    pub(super) fn opened(&self) -> Instant {
        self.0.opened
    }

    /// Records that the first bytes were the HTTP/2 preface.
    pub(super) fn set_http2(&self) {
        self.0.is_http2.store(true, Ordering::Release);
    }

    pub(super) fn is_http2(&self) -> bool {
        self.0.is_http2.load(Ordering::Acquire)
    }

    /// Records that bytes were read.
    pub(super) fn bytes_read(&self) {
        let state = &self.0;
        if state.requests.load(Ordering::Acquire) > 0 {
            state.is_buffer_empty.store(false, Ordering::Release);
            return;
        }
        if state.awaits_body.swap(false, Ordering::AcqRel) {
            // The rest of a rejected request's body, after which the connection is closed.
            state.phase_began.store(self.age(), Ordering::Release);
        } else if !state.head_begun.swap(true, Ordering::AcqRel) {
            // On HTTP/2 the idle time continues.
            if !self.is_http2() {
                state.phase_began.store(self.age(), Ordering::Release);
            }
        }
    }

    /// Records that hyper tried to read and that nothing has arrived. It does so only when its buffer is empty, or holds
    /// an incomplete head while no request is in progress.
    pub(super) fn nothing_read(&self) {
        self.0.is_buffer_empty.store(true, Ordering::Release);
    }

    /// Returns whether bytes of the last request's body may still arrive.
    pub(super) fn awaits_body(&self) -> bool {
        self.0.awaits_body.load(Ordering::Acquire)
    }

    /// Returns whether hyper has read all that arrived during the request in progress.
    pub(super) fn is_buffer_empty(&self) -> bool {
        self.0.is_buffer_empty.load(Ordering::Acquire)
    }

    /// Records that the client has closed its side.
    pub(super) fn eof_read(&self) {
        self.nothing_read();
        self.0.has_eof.store(true, Ordering::Release);
    }

    pub(super) fn has_eof(&self) -> bool {
        self.0.has_eof.load(Ordering::Acquire)
    }

    /// Returns whether the end of the client's stream ends the connection. Until then it is hidden from hyper, which would
    /// drop the request in progress.
    ///
    /// The client may still read, so it gets its response. While a request waits for the upstream the client counts as
    /// disconnected: the two look the same, and a call for a client that is gone is wasted. HTTP/2 clients do not close
    /// one side only.
    pub(super) fn eof_ends_connection(&self) -> bool {
        let state = &self.0;
        if self.is_http2() {
            true
        } else if state.requests.load(Ordering::Acquire) > 0 {
            state.in_upstream_call.load(Ordering::Acquire) || state.is_truncated.load(Ordering::Acquire)
        } else {
            !self.is_sending()
        }
    }

    /// Records that the request in progress waits for the upstream.
    pub(super) fn set_in_upstream_call(&self) {
        self.0.in_upstream_call.store(true, Ordering::Release);
    }

    /// Records that a request waits for more of its body.
    pub(super) fn body_pending(&self) {
        if self.has_eof() {
            self.0.is_truncated.store(true, Ordering::Release);
        }
    }

    /// Records whether bytes of a request body may still arrive.
    pub(super) fn set_awaits_body(&self, awaits: bool) {
        self.0.awaits_body.store(awaits, Ordering::Release);
    }

    /// Records whether the socket's send buffer is full.
    pub(super) fn set_write_blocked(&self, blocked: bool) {
        self.0.is_write_blocked.store(blocked, Ordering::Release);
    }

    /// Returns whether a read makes a system call regardless of tokio's readiness.
    pub(super) fn bypasses_readiness(&self) -> bool {
        self.0.bypasses_readiness.load(Ordering::Acquire)
    }

    pub(super) fn bypass_readiness(&self, bypass: bool) {
        self.0.bypasses_readiness.store(bypass, Ordering::Release);
    }

    /// Returns whether the connection has had a request.
    pub(super) fn had_request(&self) -> bool {
        self.0.had_request.load(Ordering::Acquire)
    }

    /// Records that a request head is complete; the guard lives until its response is ready. The idle timeout runs
    /// while the client reads the response, because a peer may keep its window closed; in `Phase::Closing` only the
    /// shutdown timeout bounds that.
    pub(super) fn begin_request(&self) -> RequestGuard {
        self.0.had_request.store(true, Ordering::Release);
        self.0.is_buffer_empty.store(false, Ordering::Release);
        self.0.in_upstream_call.store(false, Ordering::Release);
        self.0.requests.fetch_add(1, Ordering::AcqRel);
        RequestGuard(self.clone())
    }

    fn age(&self) -> u64 {
        u64::try_from(self.0.opened.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn instant_of(&self, nanoseconds: &AtomicU64) -> Instant {
        self.0.opened + Duration::from_nanos(nanoseconds.load(Ordering::Acquire))
    }

    /// Returns whether a response is being sent.
    fn is_sending(&self) -> bool {
        self.0.responses.load(Ordering::Acquire) > 0 || self.0.is_write_blocked.load(Ordering::Acquire)
    }

    /// Returns when the connection ends, and how; `None` while a request is in progress.
    pub(super) fn deadline(&self, timeouts: Timeouts, drain: &Drain) -> Option<(Instant, End)> {
        let state = &self.0;
        if state.requests.load(Ordering::Acquire) > 0 {
            return None;
        }
        let began = self.instant_of(&state.phase_began);
        // hyper does not parse a pipelined head before the response has been sent.
        let awaits_head = state.head_begun.load(Ordering::Acquire) && !self.is_http2() && !self.is_sending();
        let (deadline, end) = if awaits_head {
            let began = began.max(self.instant_of(&state.last_response));
            (began + timeouts.head, End::Abort)
        } else {
            (began + timeouts.idle, End::Graceful)
        };
        let Some(closing_deadline) = drain.closing_deadline() else {
            return Some((deadline, end));
        };
        if self.is_sending() {
            // The response to a complete request is being sent.
            return None;
        }
        // On HTTP/2 a body that hyper has just dropped is not in the socket yet; and a connection from the backlog may
        // have been accepted after `Phase::Closing` began.
        let closing_deadline =
            closing_deadline.max(self.instant_of(&state.last_response) + drain.closing_timeout());
        Some(match end {
            End::Abort => (deadline.min(closing_deadline), end),
            End::Graceful => (closing_deadline, end),
        })
    }
}

/// How a connection ends at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Closes the socket without a response.
    Abort,
    /// Shuts the protocol down: GOAWAY on HTTP/2.
    Graceful,
}

/// Marks a request as in progress until its response is ready.
pub(super) struct RequestGuard(ConnectionState);

impl RequestGuard {
    pub(super) fn connection(&self) -> &ConnectionState {
        &self.0
    }

    /// Records that the response is ready; it is being sent until the returned guard is dropped.
    pub(super) fn response_ready(self) -> ResponseGuard {
        self.0.0.responses.fetch_add(1, Ordering::AcqRel);
        ResponseGuard(self.0.clone())
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let (state, now) = (&self.0.0, self.0.age());
        state.phase_began.store(now, Ordering::Release);
        state.last_response.store(now, Ordering::Release);
        // The body is complete, and what arrived after it is in hyper's buffer.
        let is_pipelined = !self.0.is_http2()
            && !state.awaits_body.load(Ordering::Acquire)
            && !state.is_buffer_empty.load(Ordering::Acquire);
        state.head_begun.store(is_pipelined, Ordering::Release);
        state.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Marks a response as being sent.
pub(super) struct ResponseGuard(ConnectionState);

impl Drop for ResponseGuard {
    fn drop(&mut self) {
        let (state, now) = (&self.0.0, self.0.age());
        state.last_response.store(now, Ordering::Release);
        state.responses.fetch_sub(1, Ordering::AcqRel);
    }
}
