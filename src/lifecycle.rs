//! The process's life: signals, of which the first asks it to stop and the second ends it at once, and how far a stop has
//! come.

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
    /// Listens from now on; until then a signal ends the process.
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

/// How far the stop of a listener and its connections has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not begun.
    Serving,
    /// Every request is served, on new connections too; each answer tells its client to go elsewhere.
    Draining,
    /// The listener is closed; what is not a complete request by `Drain::last_call_ends` is given up.
    LastCall,
    /// What is still under way is cut off.
    Cut,
}

impl Phase {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Serving => Self::Draining,
            Self::Draining => Self::LastCall,
            Self::LastCall | Self::Cut => Self::Cut,
        }
    }
}

/// The stop of a listener and its connections. Cheap to clone; all clones are the same stop.
#[derive(Clone)]
pub struct Drain(Arc<Stop>);

struct Stop {
    draining: CancellationToken,
    last_call: CancellationToken,
    cut: CancellationToken,
    /// For a connection to come up with a complete request, once the last call is made.
    patience: Duration,
    last_call_ends: OnceLock<Instant>,
    unanswered: AtomicUsize,
    incomplete: AtomicUsize,
}

impl Drain {
    /// One that has not begun. After the last call a connection has `patience` to come up with a complete request.
    pub fn new(patience: Duration) -> Self {
        Self(Arc::new(Stop {
            draining: CancellationToken::new(),
            last_call: CancellationToken::new(),
            cut: CancellationToken::new(),
            patience,
            last_call_ends: OnceLock::new(),
            unanswered: AtomicUsize::new(0),
            incomplete: AtomicUsize::new(0),
        }))
    }

    /// Begins [`Phase::Draining`].
    pub fn begin(&self) {
        self.0.draining.cancel();
    }

    /// Begins [`Phase::LastCall`].
    pub fn make_last_call(&self) {
        self.begin();
        self.0
            .last_call_ends
            .get_or_init(|| Instant::now() + self.0.patience);
        self.0.last_call.cancel();
    }

    /// Begins [`Phase::Cut`].
    pub fn cut(&self) {
        self.make_last_call();
        self.0.cut.cancel();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// When a request that is not complete is given up; `None` before the last call.
    pub fn last_call_ends(&self) -> Option<Instant> {
        self.0.last_call_ends.get().copied()
    }

    /// For a connection to come up with a complete request, once the last call is made.
    pub fn patience(&self) -> Duration {
        self.0.patience
    }

    /// Waits for [`Drain::last_call_ends`], however long that takes.
    pub async fn last_call_over(&self) {
        self.0.last_call.cancelled().await;
        if let Some(end) = self.last_call_ends() {
            sleep_until(end).await;
        }
    }

    /// Ends when the phase after `phase` begins; at once if it has begun.
    pub fn leaves(&self, phase: Phase) -> WaitForCancellationFutureOwned {
        let token = match phase {
            Phase::Serving => &self.0.draining,
            Phase::Draining => &self.0.last_call,
            Phase::LastCall | Phase::Cut => &self.0.cut,
        };
        token.clone().cancelled_owned()
    }

    /// Counts a request that is not answered yet, as long as the guard lives.
    pub fn unanswered(&self) -> Counted {
        Counted::new(self, |stop| &stop.unanswered)
    }

    /// Counts an unanswered request whose body is still arriving, as long as the guard lives.
    pub fn incomplete(&self) -> Counted {
        Counted::new(self, |stop| &stop.incomplete)
    }

    /// How many complete requests are unanswered.
    pub fn complete_and_unanswered(&self) -> usize {
        let incomplete = self.0.incomplete.load(Ordering::Acquire);
        self.0
            .unanswered
            .load(Ordering::Acquire)
            .saturating_sub(incomplete)
    }
}

/// Something under way, counted until this is dropped.
pub struct Counted {
    stop: Arc<Stop>,
    counter: fn(&Stop) -> &AtomicUsize,
}

impl Counted {
    fn new(drain: &Drain, counter: fn(&Stop) -> &AtomicUsize) -> Self {
        let stop = Arc::clone(&drain.0);
        counter(&stop).fetch_add(1, Ordering::AcqRel);
        Self { stop, counter }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.counter)(&self.stop).fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Drain, Phase};

    #[tokio::test]
    async fn a_stop_goes_forward_only_and_its_last_call_is_made_once() {
        let drain = Drain::new(Duration::from_millis(10));
        assert!(!drain.has_begun());
        drain.begin();
        drain.leaves(Phase::Serving).await;
        assert_eq!((drain.has_begun(), drain.last_call_ends()), (true, None));
        drain.make_last_call();
        let end = drain.last_call_ends().expect("it was made");
        drain.last_call_over().await;
        assert!(Instant::now() >= end);
        drain.make_last_call();
        assert_eq!(drain.last_call_ends(), Some(end));
        drain.cut();
        drain.leaves(Phase::LastCall).await;
    }

    #[tokio::test]
    async fn a_cut_is_every_phase_at_once() {
        let drain = Drain::new(Duration::ZERO);
        drain.cut();
        let mut phase = Phase::Serving;
        while phase != Phase::Cut {
            drain.leaves(phase).await;
            phase = phase.next();
        }
        drain.last_call_over().await;
    }

    #[test]
    fn only_complete_requests_count_as_cut_off() {
        let drain = Drain::new(Duration::ZERO);
        let (first, second) = (drain.unanswered(), drain.unanswered());
        let arriving = drain.incomplete();
        assert_eq!(drain.complete_and_unanswered(), 1);
        drop(arriving);
        assert_eq!(drain.complete_and_unanswered(), 2);
        drop((first, second));
        assert_eq!(drain.complete_and_unanswered(), 0);
    }
}
