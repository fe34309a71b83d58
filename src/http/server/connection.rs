//! The task of one connection: polls it, applies its deadlines and shuts it down.
//!
//! A request head that does not arrive in time aborts the connection without a response; an idle connection is closed
//! gracefully; a request in progress has no deadline here, because its own layers bound it and [`super::h2_executor`]
//! or the idle timeout bounds its response. During a shutdown each phase of [`Drain`] narrows these limits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use hyper_util::server::graceful::GracefulConnection;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::connection_state::{ConnectionState, End, Timeouts};
use super::monitored_stream::MonitoredStream;
use super::protocol_detect::{Ended, ProtocolDetect};
use crate::lifecycle::{Drain, Phase};
use crate::telemetry::metrics::{ConnectionMetrics, ConnectionRejection};

/// A connection with its deadlines and its shutdown.
pub(super) struct ConnectionTask<C, O> {
    connection: ProtocolDetect<C, O>,
    state: ConnectionState,
    timeouts: Timeouts,
    /// Fires at or before the current deadline; re-armed lazily, because resetting it for every request is costlier.
    timer: Pin<Box<Sleep>>,
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
        Self {
            connection,
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
        loop {
            if let Poll::Ready(ended) = self.connection.poll(cx) {
                if ended == Ended::ParseError {
                    self.metrics.record_rejected(ConnectionRejection::Parser);
                }
                return Poll::Ready(());
            }
            // Not before the first request in `Phase::Draining`: a client that has just connected may have sent it
            // already. An HTTP/1.1 client gets `connection: close` on its next response, because hyper would close an
            // idle connection here.
            let is_due =
                self.phase == Phase::Closing || self.phase == Phase::Draining && self.state.had_request();
            if self.closing || !is_due || !self.state.is_http2() {
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
