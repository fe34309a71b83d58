//! State of the shared fetch of a pool's keys: the fetch in flight, the requests that wait for it, and the cooldown
//! after an unknown `kid`.

use std::time::Duration;

use opentelemetry::trace::SpanContext;
use tokio::sync::watch;
use tokio::time::Instant;

/// An attacker can invent a `kid`, so unknown ones cause at most one fetch in this time.
pub(super) const UNKNOWN_KID_COOLDOWN: Duration = Duration::from_secs(10);
/// Limit of requests that wait for one fetch, because each holds a connection and its buffers.
const MAX_WAITERS: usize = 256;

/// The fetch in flight, and the result of the last one.
#[derive(Default)]
pub(super) struct FetchState {
    in_flight: Option<FetchResultReceiver>,
    /// The span of the caller that started the fetch.
    leader_span: Option<SpanContext>,
    waiters: usize,
    /// Whether an unknown `kid` started or joined the fetch in flight.
    arms_cooldown: bool,
    cooldown_until: Option<Instant>,
    last_succeeded: bool,
}

/// Sends whether the fetch succeeded.
pub(super) type FetchResultSender = watch::Sender<Option<bool>>;

/// Receives whether the fetch succeeded.
#[derive(Clone)]
pub(super) struct FetchResultReceiver(watch::Receiver<Option<bool>>);

impl FetchState {
    /// Returns the fetch in flight. A fetch whose task panicked, and so dropped its sender, does not count.
    pub(super) fn in_flight(&self) -> Option<FetchResultReceiver> {
        self.in_flight
            .clone()
            .filter(|receiver| receiver.0.has_changed().is_ok())
    }

    pub(super) fn leader_span(&self) -> Option<&SpanContext> {
        self.leader_span.as_ref()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiters >= MAX_WAITERS
    }

    pub(super) fn last_succeeded(&self) -> bool {
        self.last_succeeded
    }

    /// Returns the time until an unknown `kid` may start a fetch again.
    pub(super) fn cooldown_left(&self, now: Instant) -> Option<Duration> {
        self.cooldown_until
            .filter(|until| now < *until)
            .map(|until| until - now)
    }

    pub(super) fn start(&mut self, leader_span: SpanContext) -> (FetchResultSender, FetchResultReceiver) {
        let (sender, receiver) = watch::channel(None);
        let receiver = FetchResultReceiver(receiver);
        self.in_flight = Some(receiver.clone());
        self.leader_span = Some(leader_span);
        (sender, receiver)
    }

    pub(super) fn finish(&mut self, succeeded: bool, now: Instant) {
        self.in_flight = None;
        self.last_succeeded = succeeded;
        if std::mem::take(&mut self.arms_cooldown) {
            self.cooldown_until = Some(now + UNKNOWN_KID_COOLDOWN);
        }
    }

    /// Adds a request that waits because its `kid` is unknown.
    pub(super) fn add_waiter(&mut self) {
        self.arms_cooldown = true;
        self.waiters += 1;
    }

    pub(super) fn remove_waiter(&mut self) {
        self.waiters -= 1;
    }
}

impl FetchResultReceiver {
    /// Waits for the end of the fetch and returns whether it succeeded.
    pub(super) async fn succeeded(mut self) -> bool {
        // The sender is dropped without a result if the fetch panicked.
        self.0
            .wait_for(Option::is_some)
            .await
            .is_ok_and(|result| *result == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::SpanContext;
    use tokio::time::Instant;

    use super::{FetchState, MAX_WAITERS, UNKNOWN_KID_COOLDOWN};

    #[test]
    fn a_limited_number_of_requests_waits() {
        let mut state = FetchState::default();
        for _ in 0..MAX_WAITERS {
            assert!(!state.is_full());
            state.add_waiter();
        }
        assert!(state.is_full());
        state.remove_waiter();
        assert!(!state.is_full());
    }

    #[test]
    fn only_a_fetch_for_an_unknown_kid_is_followed_by_a_cooldown() {
        let mut state = FetchState::default();
        let now = Instant::now();
        let _fetch = state.start(SpanContext::NONE);
        state.finish(true, now);
        assert_eq!(state.cooldown_left(now), None);
        let _fetch = state.start(SpanContext::NONE);
        state.add_waiter();
        state.finish(true, now);
        let second = Duration::from_secs(1);
        assert_eq!(
            state.cooldown_left(now + second),
            Some(UNKNOWN_KID_COOLDOWN - second)
        );
        assert_eq!(state.cooldown_left(now + UNKNOWN_KID_COOLDOWN), None);
    }
}
