//! Who fetches a pool's keys, who waits for that, and when an unknown `kid` may have them fetched again.

use std::time::Duration;

use opentelemetry::trace::SpanContext;
use tokio::sync::watch;
use tokio::time::Instant;

/// An unknown `kid` may be anybody's invention, so it buys one fetch in this time.
pub(super) const BARRED_AFTER_UNKNOWN_KID: Duration = Duration::from_secs(10);
/// Requests that wait for one fetch; each holds a connection's memory.
const MAX_WAITING: usize = 256;

/// The fetch under way, and what the last one left.
#[derive(Default)]
pub(super) struct Flight {
    running: Option<Landing>,
    /// The span of whoever began it.
    begun_by: Option<SpanContext>,
    waiting: usize,
    /// Whether an unknown `kid` started or joined the fetch under way.
    bars: bool,
    barred_until: Option<Instant>,
    last_succeeded: bool,
}

/// Where the outcome of a fetch is sent.
pub(super) type Outcome = watch::Sender<Option<bool>>;

/// Where the outcome of a fetch arrives.
#[derive(Clone)]
pub(super) struct Landing(watch::Receiver<Option<bool>>);

impl Flight {
    /// The fetch under way. One whose task is gone without an outcome has panicked, and is no longer under way.
    pub(super) fn running(&self) -> Option<Landing> {
        self.running
            .clone()
            .filter(|landing| landing.0.has_changed().is_ok())
    }

    pub(super) fn begun_by(&self) -> Option<&SpanContext> {
        self.begun_by.as_ref()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting >= MAX_WAITING
    }

    pub(super) fn last_succeeded(&self) -> bool {
        self.last_succeeded
    }

    /// How long an unknown `kid` has still to wait until it may have the keys fetched.
    pub(super) fn barred_for(&self, now: Instant) -> Option<Duration> {
        self.barred_until
            .filter(|until| now < *until)
            .map(|until| until - now)
    }

    pub(super) fn begin(&mut self, begun_by: SpanContext) -> (Outcome, Landing) {
        let (outcome, fetched) = watch::channel(None);
        let landing = Landing(fetched);
        self.running = Some(landing.clone());
        self.begun_by = Some(begun_by);
        (outcome, landing)
    }

    pub(super) fn end(&mut self, succeeded: bool, now: Instant) {
        self.running = None;
        self.last_succeeded = succeeded;
        if std::mem::take(&mut self.bars) {
            self.barred_until = Some(now + BARRED_AFTER_UNKNOWN_KID);
        }
    }

    /// One more request waits, because of an unknown `kid`.
    pub(super) fn join(&mut self) {
        self.bars = true;
        self.waiting += 1;
    }

    pub(super) fn leave(&mut self) {
        self.waiting -= 1;
    }
}

impl Landing {
    /// Whether the fetch succeeded.
    pub(super) async fn succeeded(mut self) -> bool {
        // A sender that is gone without an outcome is a fetch that panicked.
        self.0
            .wait_for(Option::is_some)
            .await
            .is_ok_and(|outcome| *outcome == Some(true))
    }
}
