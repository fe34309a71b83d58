//! One connection: one limit a state. A head that does not arrive is cut off without an answer; an idle connection is
//! closed in order; a request under way is bounded by its own layers.

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

/// For a connection without a complete request, once the process stops.
const AT_STOP: Duration = Duration::from_secs(1);

/// What a connection is doing, as its socket and its requests see it.
#[derive(Clone)]
pub(super) struct Activity(Arc<State>);

struct State {
    born: Instant,
    requests: AtomicUsize,
    /// Bytes have come since the last request ended, or the connection is new: a head is on its way.
    head_begun: AtomicBool,
    /// Frames that belong to no request come and go (PING, SETTINGS), so bytes alone begin no head.
    is_http2: AtomicBool,
    /// When this phase began, in nanoseconds after `born`.
    phase_began: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            born: Instant::now(),
            requests: AtomicUsize::new(0),
            head_begun: AtomicBool::new(true),
            is_http2: AtomicBool::new(false),
            phase_began: AtomicU64::new(0),
        }))
    }

    /// Its first bytes were HTTP/2's preface.
    pub(super) fn speaks_http2(&self) {
        self.0.is_http2.store(true, Ordering::Release);
    }

    /// Bytes were read.
    pub(super) fn bytes_came(&self) {
        let state = &self.0;
        if state.requests.load(Ordering::Acquire) == 0 && !state.head_begun.swap(true, Ordering::AcqRel) {
            // On HTTP/2 the idle time goes on.
            if !state.is_http2.load(Ordering::Acquire) {
                self.phase_begins();
            }
        }
    }

    /// A head is complete; the request lasts until the guard is dropped, which is when its answer is ready. Taking the answer
    /// counts as idling: a peer that leaves its window shut must not be waited for.
    pub(super) fn request_began(&self) -> RequestGuard {
        self.0.requests.fetch_add(1, Ordering::AcqRel);
        RequestGuard(self.clone())
    }

    fn phase_begins(&self) {
        let nanoseconds = u64::try_from(self.0.born.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.phase_began.store(nanoseconds, Ordering::Release);
    }

    /// When patience ends, and how; `None` while a request is under way.
    fn patience(&self, times: Times) -> Option<(Instant, End)> {
        let state = &self.0;
        if state.requests.load(Ordering::Acquire) > 0 {
            return None;
        }
        let began = state.born + Duration::from_nanos(state.phase_began.load(Ordering::Acquire));
        let awaits_head = state.head_begun.load(Ordering::Acquire) && !state.is_http2.load(Ordering::Acquire);
        Some(if awaits_head {
            (began + times.head, End::CutOff)
        } else {
            (began + times.idle, End::Close)
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Without an answer.
    CutOff,
    /// In order: GOAWAY on HTTP/2.
    Close,
}

/// A request under way.
pub(super) struct RequestGuard(Activity);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let state = &self.0.0;
        self.0.phase_begins();
        state.head_begun.store(false, Ordering::Release);
        state.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection whose patience is watched, and which ends in order at a stop.
pub(super) struct Watched<C> {
    connection: Pin<Box<C>>,
    activity: Activity,
    times: Times,
    /// Armed for the end of patience or earlier. Most wake-ups are put off rather than avoided: a request would cost a
    /// change of the timer otherwise.
    timer: Pin<Box<Sleep>>,
    /// Idle for too long, and told so.
    closing: bool,
    /// `None` once it was heard.
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<C: GracefulConnection> Watched<C> {
    pub(super) fn new(
        connection: C,
        activity: Activity,
        times: Times,
        stop: WaitForCancellationFutureOwned,
    ) -> Self {
        let timer = Box::pin(sleep_until(activity.0.born + times.head));
        Self {
            connection: Box::pin(connection),
            activity,
            times,
            timer,
            closing: false,
            stop: Some(Box::pin(stop)),
        }
    }
}

impl<C: GracefulConnection> Future for Watched<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this
            .stop
            .as_mut()
            .is_some_and(|stop| stop.as_mut().poll(cx).is_ready())
        {
            this.stop = None;
            this.times = Times {
                head: this.times.head.min(AT_STOP),
                idle: AT_STOP,
            };
            this.activity.phase_begins();
            this.connection.as_mut().graceful_shutdown();
        }
        if this.connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let patience = this.activity.patience(this.times);
            match patience {
                Some((until, End::CutOff)) if until <= Instant::now() => return Poll::Ready(()),
                Some((until, End::Close)) if until <= Instant::now() => {
                    if std::mem::replace(&mut this.closing, true) {
                        return Poll::Ready(());
                    }
                    this.connection.as_mut().graceful_shutdown();
                    if this.connection.as_mut().poll(cx).is_ready() {
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
