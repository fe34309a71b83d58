//! Signals of the process and the phases of a graceful shutdown.
//!
//! The first signal starts the shutdown, the second one ends the process at once. [`Drain`] is the state that a
//! listener, its connections and the readiness probe share during a shutdown.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// SIGTERM and SIGINT of this process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers. Before this call a signal has its default effect.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Phase of the shutdown of a listener and its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No shutdown has started.
    Serving,
    /// Every request is served, on new connections too; responses ask the client to open another connection.
    Draining,
    /// The listener is closed; requests that are incomplete at `Drain::closing_deadline` are aborted.
    Closing,
    /// The remaining requests are aborted.
    Aborting,
}

impl Phase {
    /// Returns the phase after this one.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Serving => Self::Draining,
            Self::Draining => Self::Closing,
            Self::Closing | Self::Aborting => Self::Aborting,
        }
    }
}

/// Shutdown state of a listener and its connections. Cheap to clone; all clones share the state.
#[derive(Clone)]
pub struct Drain(Arc<DrainState>);

struct DrainState {
    draining: CancellationToken,
    closing: CancellationToken,
    aborting: CancellationToken,
    closing_timeout: Duration,
    closing_deadline: OnceLock<Instant>,
    pending: AtomicUsize,
    incomplete: AtomicUsize,
}

impl Drain {
    /// Creates a drain in [`Phase::Serving`]. `closing_timeout` is the time that a connection has, once
    /// [`Phase::Closing`] begins, until a complete request has arrived on it.
    pub fn new(closing_timeout: Duration) -> Self {
        Self(Arc::new(DrainState {
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            aborting: CancellationToken::new(),
            closing_timeout,
            closing_deadline: OnceLock::new(),
            pending: AtomicUsize::new(0),
            incomplete: AtomicUsize::new(0),
        }))
    }

    /// Begins [`Phase::Draining`].
    pub fn begin(&self) {
        self.0.draining.cancel();
    }

    /// Begins [`Phase::Closing`]. Further calls do not move the deadline.
    pub fn begin_closing(&self) {
        self.begin();
        self.0
            .closing_deadline
            .get_or_init(|| Instant::now() + self.0.closing_timeout);
        self.0.closing.cancel();
    }

    /// Begins [`Phase::Aborting`].
    pub fn abort(&self) {
        self.begin_closing();
        self.0.aborting.cancel();
    }

    /// Returns whether the shutdown has started.
    pub fn has_begun(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Returns when an incomplete request is aborted; `None` before [`Phase::Closing`].
    pub fn closing_deadline(&self) -> Option<Instant> {
        self.0.closing_deadline.get().copied()
    }

    /// Returns the time from the start of [`Phase::Closing`] to [`Drain::closing_deadline`].
    pub fn closing_timeout(&self) -> Duration {
        self.0.closing_timeout
    }

    /// Waits until [`Drain::closing_deadline`] has passed; for ever if there is no shutdown.
    pub async fn closing_deadline_passed(&self) {
        self.0.closing.cancelled().await;
        if let Some(deadline) = self.closing_deadline() {
            sleep_until(deadline).await;
        }
    }

    /// Returns a future that is ready once the phase after `phase` has begun.
    pub fn phase_ended(&self, phase: Phase) -> WaitForCancellationFutureOwned {
        let token = match phase {
            Phase::Serving => &self.0.draining,
            Phase::Draining => &self.0.closing,
            Phase::Closing | Phase::Aborting => &self.0.aborting,
        };
        token.clone().cancelled_owned()
    }

    /// Counts a request whose response is not sent yet, while the guard lives.
    pub fn count_pending(&self) -> CountGuard {
        CountGuard::new(self, |state| &state.pending)
    }

    /// Counts a pending request whose body is still arriving, while the guard lives.
    pub fn count_incomplete(&self) -> CountGuard {
        CountGuard::new(self, |state| &state.incomplete)
    }

    /// Returns the number of pending requests that have arrived completely.
    pub fn complete_pending(&self) -> usize {
        let incomplete = self.0.incomplete.load(Ordering::Acquire);
        self.0.pending.load(Ordering::Acquire).saturating_sub(incomplete)
    }
}

/// Increments a counter of a [`Drain`] and decrements it when dropped.
pub struct CountGuard {
    state: Arc<DrainState>,
    counter: fn(&DrainState) -> &AtomicUsize,
}

impl CountGuard {
    fn new(drain: &Drain, counter: fn(&DrainState) -> &AtomicUsize) -> Self {
        let state = Arc::clone(&drain.0);
        counter(&state).fetch_add(1, Ordering::AcqRel);
        Self { state, counter }
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        (self.counter)(&self.state).fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::{Drain, Phase};

    #[tokio::test]
    async fn phases_only_advance_and_the_closing_deadline_is_set_once() {
        let drain = Drain::new(Duration::from_millis(10));
        assert!(!drain.has_begun());
        drain.begin();
        drain.phase_ended(Phase::Serving).await;
        assert_eq!((drain.has_begun(), drain.closing_deadline()), (true, None));
        drain.begin_closing();
        let deadline = drain.closing_deadline().expect("closing has begun");
        drain.closing_deadline_passed().await;
        assert!(Instant::now() >= deadline);
        drain.begin_closing();
        assert_eq!(drain.closing_deadline(), Some(deadline));
        drain.abort();
        drain.phase_ended(Phase::Closing).await;
    }

    #[tokio::test]
    async fn abort_ends_every_phase() {
        let drain = Drain::new(Duration::ZERO);
        drain.abort();
        let mut phase = Phase::Serving;
        while phase != Phase::Aborting {
            let ended = timeout(Duration::ZERO, drain.phase_ended(phase)).await;
            assert!(ended.is_ok(), "{phase:?}");
            phase = phase.next();
        }
        drain.closing_deadline_passed().await;
    }

    #[test]
    fn incomplete_requests_are_not_counted_as_complete() {
        let drain = Drain::new(Duration::ZERO);
        let (first, second) = (drain.count_pending(), drain.count_pending());
        let incomplete = drain.count_incomplete();
        assert_eq!(drain.complete_pending(), 1);
        drop(incomplete);
        assert_eq!(drain.complete_pending(), 2);
        drop((first, second));
        assert_eq!(drain.complete_pending(), 0);
    }
}
