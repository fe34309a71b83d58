//! One connection: one limit a state. A head that does not arrive is cut off without an answer; an idle connection is
//! closed in order; a request under way is bounded by its own layers, and its answer is in [`super::answer`]. At a stop, each
//! phase of [`Drain`] narrows them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Times;
use super::io::Observed;
use super::protocol::Chosen;
use crate::lifecycle::{Drain, Phase};

/// What a connection is doing, as its socket and its requests see it.
#[derive(Clone)]
pub(super) struct Activity(Arc<State>);

struct State {
    born: Instant,
    requests: AtomicUsize,
    /// Answers that are ready and not taken yet.
    answers: AtomicUsize,
    /// There was a request.
    was_asked: AtomicBool,
    /// Bytes have come since the last request ended, or the connection is new: a head is on its way.
    head_begun: AtomicBool,
    /// The last request's body was not read to its end.
    awaits_body: AtomicBool,
    /// Frames that belong to no request come and go (PING, SETTINGS), so bytes alone begin no head.
    is_http2: AtomicBool,
    /// The socket takes no more for now.
    is_write_blocked: AtomicBool,
    /// Reads look into the socket, whatever the runtime knows of it.
    looks: AtomicBool,
    /// When this phase began, in nanoseconds after `born`.
    phase_began: AtomicU64,
    /// When the last answer was ready or was taken, likewise.
    answered: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            born: Instant::now(),
            requests: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            was_asked: AtomicBool::new(false),
            head_begun: AtomicBool::new(true),
            awaits_body: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            is_write_blocked: AtomicBool::new(false),
            looks: AtomicBool::new(false),
            phase_began: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }))
    }

    /// Its first bytes were HTTP/2's preface.
    pub(super) fn speaks_http2(&self) {
        self.0.is_http2.store(true, Ordering::Release);
    }

    pub(super) fn is_http2(&self) -> bool {
        self.0.is_http2.load(Ordering::Acquire)
    }

    /// Bytes were read.
    pub(super) fn bytes_came(&self) {
        let state = &self.0;
        if state.requests.load(Ordering::Acquire) > 0 {
            return;
        }
        if state.awaits_body.swap(false, Ordering::AcqRel) {
            // The rest of a body that was refused: hyper reads it in one go, or closes the connection.
            state.phase_began.store(self.age(), Ordering::Release);
        } else if !state.head_begun.swap(true, Ordering::AcqRel) {
            // On HTTP/2 the idle time goes on.
            if !self.is_http2() {
                state.phase_began.store(self.age(), Ordering::Release);
            }
        }
    }

    /// Whether bytes of a request's body may be still to come.
    pub(super) fn awaits_body(&self, awaits: bool) {
        self.0.awaits_body.store(awaits, Ordering::Release);
    }

    /// Whether the socket takes what is written.
    pub(super) fn write_blocks(&self, blocks: bool) {
        self.0.is_write_blocked.store(blocks, Ordering::Release);
    }

    /// Whether a read should ask the socket itself.
    pub(super) fn looks(&self) -> bool {
        self.0.looks.load(Ordering::Acquire)
    }

    pub(super) fn set_looks(&self, looks: bool) {
        self.0.looks.store(looks, Ordering::Release);
    }

    /// There was a request.
    pub(super) fn was_asked(&self) -> bool {
        self.0.was_asked.load(Ordering::Acquire)
    }

    /// A head is complete; the request lasts until the guard is dropped, which is when its answer is ready. Taking the answer
    /// counts as idling, but for the last call: a peer that leaves its window shut must not be waited for.
    pub(super) fn request_began(&self) -> RequestGuard {
        self.0.was_asked.store(true, Ordering::Release);
        self.0.requests.fetch_add(1, Ordering::AcqRel);
        RequestGuard(self.clone())
    }

    fn age(&self) -> u64 {
        u64::try_from(self.0.born.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn time_of(&self, moment: &AtomicU64) -> Instant {
        self.0.born + Duration::from_nanos(moment.load(Ordering::Acquire))
    }

    /// When patience ends, and how; `None` while a request is under way.
    fn patience(&self, times: Times, drain: &Drain) -> Option<(Instant, End)> {
        let state = &self.0;
        if state.requests.load(Ordering::Acquire) > 0 {
            return None;
        }
        let is_http2 = self.is_http2();
        let began = self.time_of(&state.phase_began);
        let (until, end) = if state.head_begun.load(Ordering::Acquire) && !is_http2 {
            (began + times.head, End::CutOff)
        } else {
            (began + times.idle, End::Close)
        };
        let Some(last_call_ends) = drain.last_call_ends() else {
            return Some((until, end));
        };
        if state.answers.load(Ordering::Acquire) > 0 || state.is_write_blocked.load(Ordering::Acquire) {
            // The answer to a complete request is being taken.
            return None;
        }
        // An answer that was let go of a moment ago, on HTTP/2, is not in the socket yet; and a connection out of the backlog
        // may be younger than the last call.
        let until_last = last_call_ends.max(self.time_of(&state.answered) + drain.patience());
        Some(match end {
            End::CutOff => (until.min(until_last), end),
            End::Close => (until_last, end),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Without an answer.
    CutOff,
    /// In order: GOAWAY on HTTP/2.
    Close,
}

/// A request under way.
pub(super) struct RequestGuard(Activity);

impl RequestGuard {
    /// Its answer is ready; it is being taken until the new guard is dropped.
    pub(super) fn answered(self) -> AnswerGuard {
        self.0.0.answers.fetch_add(1, Ordering::AcqRel);
        AnswerGuard(self.0.clone())
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let (state, now) = (&self.0.0, self.0.age());
        state.phase_began.store(now, Ordering::Release);
        state.answered.store(now, Ordering::Release);
        state.head_begun.store(false, Ordering::Release);
        state.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An answer that is being taken.
pub(super) struct AnswerGuard(Activity);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        let (state, now) = (&self.0.0, self.0.age());
        state.answered.store(now, Ordering::Release);
        state.answers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection whose patience is watched, and which ends in order at a stop.
pub(super) struct Watched<C, O> {
    connection: Chosen<C, O>,
    activity: Activity,
    times: Times,
    /// Armed for the end of patience or earlier. Most wake-ups are put off rather than avoided: a request would cost a
    /// change of the timer otherwise.
    timer: Pin<Box<Sleep>>,
    drain: Drain,
    phase: Phase,
    next_phase: Pin<Box<WaitForCancellationFutureOwned>>,
    /// HTTP/2's GOAWAY was sent, or HTTP/1.1 was told to close.
    closing: bool,
}

impl<C, O> Watched<C, O>
where
    C: GracefulConnection,
    O: FnOnce(Observed, bool) -> C,
{
    pub(super) fn new(connection: Chosen<C, O>, activity: Activity, times: Times, drain: Drain) -> Self {
        let timer = Box::pin(sleep_until(activity.0.born + times.head));
        Self {
            connection,
            activity,
            times,
            timer,
            phase: Phase::Serving,
            next_phase: Box::pin(drain.leaves(Phase::Serving)),
            drain,
            closing: false,
        }
    }

    /// Polls the connection, and sends GOAWAY where it is time for it.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.connection.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // A client that has just connected may have its first request on the way: not before it. HTTP/1.1 is told by
            // `connection: close` on its next answer, because hyper would close an idle connection here.
            let is_time =
                self.phase == Phase::LastCall || self.phase == Phase::Draining && self.activity.was_asked();
            if self.closing || !is_time || !self.activity.is_http2() {
                return Poll::Pending;
            }
            self.closing = true;
            self.connection.graceful_shutdown();
        }
    }

    /// Polls the connection once more, with reads that ask the socket itself: what has come is not closed upon, even if the
    /// runtime has not heard of it yet.
    fn look(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.activity.set_looks(true);
        let polled = self.poll_connection(cx);
        self.activity.set_looks(false);
        polled
    }
}

impl<C, O> Future for Watched<C, O>
where
    C: GracefulConnection,
    O: FnOnce(Observed, bool) -> C + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        while this.next_phase.as_mut().poll(cx).is_ready() {
            this.phase = this.phase.next();
            if this.phase == Phase::Cut {
                return Poll::Ready(());
            }
            this.next_phase.set(this.drain.leaves(this.phase));
        }
        if this.poll_connection(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let patience = this.activity.patience(this.times, &this.drain);
            match patience {
                Some((until, end)) if until <= Instant::now() => {
                    if this.look(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    if this.activity.patience(this.times, &this.drain) != patience {
                        continue;
                    }
                    if end == End::CutOff || std::mem::replace(&mut this.closing, true) {
                        return Poll::Ready(());
                    }
                    this.connection.graceful_shutdown();
                    if this.connection.poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    // A peer that does not answer the GOAWAY gets one head's time more.
                    this.times.idle += this.times.head;
                }
                Some((until, _)) if until < this.timer.deadline() => this.timer.as_mut().reset(until),
                _ if this.timer.as_mut().poll(cx).is_pending() => return Poll::Pending,
                _ => {
                    let rest = patience.map_or_else(|| Instant::now() + this.times.head, |(until, _)| until);
                    this.timer.as_mut().reset(rest);
                }
            }
        }
    }
}
