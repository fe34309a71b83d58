//! A sliding window of counts.

use std::time::Duration;

use tokio::time::Instant;

/// Slots per window. An event counts for the length of the window, less up to a thirtieth of it.
const SLOTS: usize = 30;

/// Numbers of attempts that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) slow: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.slow += other.slow;
    }
}

/// Counts over a sliding window. Memory and the cost of an event are independent of the number of events.
#[derive(Debug)]
pub(super) struct Window {
    slot: Duration,
    slots: Box<[Counts; SLOTS]>,
    newest: usize,
    newest_started: Instant,
}

impl Window {
    /// Creates an empty window.
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        Self {
            slot: (length / SLOTS as u32).max(Duration::from_nanos(1)),
            slots: Box::new([Counts::default(); SLOTS]),
            newest: 0,
            newest_started: now,
        }
    }

    /// Adds an event and returns the totals of the window.
    pub(super) fn record(&mut self, now: Instant, event: Counts) -> Counts {
        self.slide(now);
        if let Some(newest) = self.slots.get_mut(self.newest) {
            newest.add(event);
        }
        let mut total = Counts::default();
        for slot in *self.slots {
            total.add(slot);
        }
        total
    }

    fn slide(&mut self, now: Instant) {
        let passed = now.duration_since(self.newest_started).as_nanos() / self.slot.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        for _ in 0..passed.min(SLOTS as u32) {
            self.newest = (self.newest + 1) % SLOTS;
            if let Some(newest) = self.slots.get_mut(self.newest) {
                *newest = Counts::default();
            }
        }
        self.newest_started += self.slot * passed;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{Counts, Duration, Instant, SLOTS, Window};

    const FAILURE: Counts = Counts {
        calls: 1,
        failed: 1,
        slow: 0,
    };

    #[test]
    fn an_event_counts_for_the_length_of_the_window() {
        let started = Instant::now();
        let after = |seconds| started + Duration::from_secs(seconds);
        let mut window = Window::new(Duration::from_secs(30), started);
        assert_eq!(window.record(after(0), FAILURE).calls, 1);
        assert_eq!(window.record(after(10), FAILURE).calls, 2);
        assert_eq!(window.record(after(29), FAILURE).calls, 3);
        assert_eq!(window.record(after(30), FAILURE).calls, 3);
        assert_eq!(window.record(after(40), FAILURE).calls, 3);
        assert_eq!(window.record(after(10_000_000), FAILURE).calls, 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn totals_cover_the_window_less_at_most_one_slot(
            length in 1..100_000_u64,
            events in proptest::collection::vec((0..20_000_u64, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let started = Instant::now();
            let length = Duration::from_millis(length);
            let mut window = Window::new(length, started);
            let (mut now, mut past) = (started, Vec::new());
            for (milliseconds, failed, slow) in events {
                now += Duration::from_millis(milliseconds);
                let event = Counts { calls: 1, failed: failed.into(), slow: slow.into() };
                past.push((now, event));
                let counted = window.record(now, event);
                let within = |length: Duration| {
                    let mut total = Counts::default();
                    for (then, event) in &past {
                        if now - *then < length {
                            total.add(*event);
                        }
                    }
                    total
                };
                let (least, most) = (within(length - length / SLOTS as u32), within(length));
                for (least, counted, most) in [
                    (least.calls, counted.calls, most.calls),
                    (least.failed, counted.failed, most.failed),
                    (least.slow, counted.slow, most.slow),
                ] {
                    assert!(least <= counted && counted <= most, "{least} {counted} {most}");
                }
            }
        }
    }
}
