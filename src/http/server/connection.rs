//! The task of one connection: polls it, applies its deadlines and shuts it down.
//!
//! A request head that does not arrive in time aborts the connection without a response; an idle connection is closed
//! gracefully; a request in progress has no deadline here, because its own layers bound it and [`super::h2_executor`]
//! or the idle timeout bounds its response. During a shutdown each phase of [`Drain`] narrows these limits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use hyper_util::server::graceful::GracefulConnection;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::connection_state::{ConnectionState, End, Timeouts};
use super::monitored_stream::MonitoredStream;
use super::protocol_detect::{Ended, ProtocolDetect};
use super::upstream_call;
use crate::lifecycle::{Drain, Phase};
use crate::telemetry::metrics::{ConnectionMetrics, ConnectionRejection};

/// Age at which an HTTP/2 connection gets a GOAWAY, ± 10 %. An ingress keeps its connections open as long as it has
/// requests, so without it a replica that was added later would get none of them. A new connection costs little more than
/// a request, and 10 minutes are short compared with the ramps of a load that a scale-up follows.
const MAX_HTTP2_AGE: Duration = Duration::from_secs(600);

/// A connection with its deadlines and its shutdown.
pub(super) struct ConnectionTask<C, O> {
    connection: ProtocolDetect<C, O>,
    state: ConnectionState,
    timeouts: Timeouts,
    /// Fires at or before the current deadline; re-armed lazily, because resetting it for every request is costlier.
    timer: Pin<Box<Sleep>>,
    /// When an HTTP/2 connection gets a GOAWAY.
    expires: Instant,
    drain: Drain,
    metrics: ConnectionMetrics,
    phase: Phase,
    next_phase: Pin<Box<WaitForCancellationFutureOwned>>,
    /// hyper was asked to shut the connection down: GOAWAY on HTTP/2, no further request on HTTP/1.1.
    closing: bool,
}

impl<C, O> ConnectionTask<C, O>
where
    C: GracefulConnection<Error = BoxError>,
    O: FnOnce(MonitoredStream, bool) -> C,
{
    pub(super) fn new(
        connection: ProtocolDetect<C, O>,
        state: ConnectionState,
        timeouts: Timeouts,
        drain: Drain,
        metrics: ConnectionMetrics,
    ) -> Self {
        let timer = Box::pin(sleep_until(state.opened() + timeouts.head));
        // With jitter, so that connections that were opened together are not replaced together.
        let max_age = MAX_HTTP2_AGE.mul_f64(rand::random_range(0.9..=1.1));
        Self {
            connection,
            expires: state.opened() + max_age,
            state,
            timeouts,
            timer,
            phase: Phase::Serving,
            next_phase: Box::pin(drain.phase_ended(Phase::Serving)),
            drain,
            metrics,
            closing: false,
        }
    }

    /// Polls the connection, and sends GOAWAY once the phase calls for it.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut was_eof_due = false;
        loop {
            let polled = upstream_call::scope(&self.state, || self.connection.poll(cx));
            if let Poll::Ready(ended) = polled {
                if ended == Ended::ParseError {
                    self.metrics.record_rejected(ConnectionRejection::Parser);
                }
                return Poll::Ready(());
            }
            // hyper has not seen the end of the stream, which ends the connection by now.
            let is_eof_due = self.state.has_eof() && self.state.eof_ends_connection();
            if is_eof_due && !std::mem::replace(&mut was_eof_due, true) {
                continue;
            }
            // Not before the first request in `Phase::Draining`: a client that has just connected may have sent it
            // already. An HTTP/1.1 client gets `connection: close` on its next response, because hyper would close an
            // idle connection here.
            if self.closing || !self.state.is_http2() {
                return Poll::Pending;
            }
            let is_due =
                self.phase == Phase::Closing || self.phase == Phase::Draining && self.state.had_request();
            // The timer need not fire at that time: an idle connection has no requests that it keeps from others.
            if !is_due && Instant::now() < self.expires {
                return Poll::Pending;
            }
            self.closing = true;
            self.connection.graceful_shutdown();
        }
    }

    /// Polls the connection once more, with reads that bypass readiness, so that a request which is in the socket
    /// already is served even if tokio has not seen the socket become readable.
    fn read_now(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.bypass_readiness(true);
        let polled = self.poll_connection(cx);
        self.state.bypass_readiness(false);
        polled
    }
}

impl<C, O> Future for ConnectionTask<C, O>
where
    C: GracefulConnection<Error = BoxError>,
    O: FnOnce(MonitoredStream, bool) -> C + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        while this.next_phase.as_mut().poll(cx).is_ready() {
            this.phase = this.phase.next();
            if this.phase == Phase::Aborting {
                return Poll::Ready(());
            }
            this.next_phase.set(this.drain.phase_ended(this.phase));
        }
        if this.poll_connection(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let deadline = this.state.deadline(this.timeouts, &this.drain);
            match deadline {
                Some((at, end)) if at <= Instant::now() => {
                    if this.read_now(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    if this.state.deadline(this.timeouts, &this.drain) != deadline {
                        continue;
                    }
                    if end == End::Abort && this.drain.closing_deadline().is_none() {
                        this.metrics.record_rejected(ConnectionRejection::HeaderTimeout);
                    }
                    if end == End::Abort || std::mem::replace(&mut this.closing, true) {
                        return Poll::Ready(());
                    }
                    this.connection.graceful_shutdown();
                    if this.connection.poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    // A peer that does not react to the GOAWAY gets the header timeout once more.
                    this.timeouts.idle += this.timeouts.head;
                }
                Some((at, _)) if at < this.timer.deadline() => this.timer.as_mut().reset(at),
                _ if this.timer.as_mut().poll(cx).is_pending() => return Poll::Pending,
                _ => {
                    let at = deadline.map_or_else(|| Instant::now() + this.timeouts.head, |(at, _)| at);
                    this.timer.as_mut().reset(at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::{advance, pause, resume};
    use tokio_util::task::AbortOnDropHandle;

    use super::super::{Server, Timeouts, listen};
    use super::MAX_HTTP2_AGE;
    use crate::lifecycle::Drain;

    const GOAWAY: u8 = 7;

    /// Reads a frame: header and payload.
    async fn frame(client: &mut TcpStream) -> ([u8; 9], Vec<u8>) {
        let mut head = [0; 9];
        client.read_exact(&mut head).await.expect("a frame");
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        client.read_exact(&mut payload).await.expect("a payload");
        (head, payload)
    }

    /// Requests `/` on a stream, and returns the payloads of the GOAWAY frames up to the end of the response.
    async fn request(client: &mut TcpStream, stream: u8) -> Vec<Vec<u8>> {
        // HEADERS with END_STREAM and END_HEADERS: GET, http, /, authority x.
        let head = [0, 0, 6, 1, 5, 0, 0, 0, stream, 0x82, 0x86, 0x84, 0x41, 1, b'x'];
        client.write_all(&head).await.expect("an open connection");
        let mut goaways = Vec::new();
        let mut has_ended = false;
        // The GOAWAY follows the request's HEADERS, and may follow its response.
        while !has_ended {
            let (head, payload) = frame(client).await;
            has_ended = head[8] == stream && head[3] == 0 && head[4] & 1 == 1;
            if head[3] == GOAWAY {
                goaways.push(payload);
            }
        }
        goaways
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

    /// Starts a server and returns an HTTP/2 connection to it.
    async fn connect(timeouts: Timeouts) -> (AbortOnDropHandle<()>, TcpStream) {
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let routes = Router::new().route("/", get(|| async { "served" }));
        let server = Server::new(listener, routes, timeouts, Drain::new(60 * MINUTE));
        let server = AbortOnDropHandle::new(tokio::spawn(server.run()));
        let mut client = TcpStream::connect(address).await.expect("a connection");
        client.write_all(PREFACE).await.expect("an open connection");
        (server, client)
    }

    async fn pass(time: Duration) {
        pause();
        advance(time).await;
        resume();
    }

    #[tokio::test]
    async fn an_idle_http_2_connection_gets_a_goaway_and_the_header_timeout_to_react() {
        let timeouts = Timeouts {
            head: MINUTE,
            idle: 4 * MINUTE,
        };
        let (_server, mut client) = connect(timeouts).await;
        assert_eq!(request(&mut client, 1).await, [[0; 0]; 0]);
        pass(4 * MINUTE).await;
        while frame(&mut client).await.0[3] != GOAWAY {}
        // The client may have sent it before the GOAWAY arrived.
        assert_eq!(request(&mut client, 3).await, [[0; 0]; 0]);
        pass(5 * MINUTE).await;
        client.read_to_end(&mut Vec::new()).await.expect("a close");
    }

    #[tokio::test]
    async fn an_http_2_connection_gets_a_goaway_at_its_maximum_age() {
        let timeouts = Timeouts {
            head: 60 * MINUTE,
            idle: 60 * MINUTE,
        };
        let (_server, mut client) = connect(timeouts).await;
        let mut goaways = request(&mut client, 1).await;
        pass(MAX_HTTP2_AGE.mul_f64(0.89)).await;
        goaways.extend(request(&mut client, 3).await);
        assert_eq!(goaways, [[0; 0]; 0], "before the jitter's earliest time");
        pass(MAX_HTTP2_AGE.mul_f64(0.22)).await;
        // In flight when it is sent; the next one may come before the client reads it.
        goaways.extend(request(&mut client, 5).await);
        goaways.extend(request(&mut client, 7).await);
        // Every stream that the client may have opened is served, and there was no error.
        assert_eq!(goaways, [[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]]);
    }
}
