//! How much one replica has recently used of a client's quota.

use std::time::Duration;

use tokio::time::Instant;

/// Requests are counted in windows of this length.
const WINDOW: Duration = Duration::from_millis(100);

/// The recent rate of requests: an average in which a window counts half as much as the next.
#[derive(Debug)]
pub(super) struct Demand {
    since: Instant,
    count: u32,
    per_second: f64,
}

impl Demand {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
            per_second: 0.0,
        }
    }

    /// Counts a request.
    pub(super) fn count(&mut self, now: Instant) {
        self.count = self.count.saturating_add(1);
        self.roll(now);
    }

    /// Returns how many requests to expect within `time`.
    pub(super) fn within(&mut self, time: Duration, now: Instant) -> f64 {
        self.roll(now);
        self.per_second * time.as_secs_f64()
    }

    fn roll(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.since);
        if elapsed < WINDOW {
            return;
        }
        let old = 0.5_f64.powf(elapsed.div_duration_f64(WINDOW));
        let per_second = f64::from(self.count) / elapsed.as_secs_f64();
        self.per_second = self.per_second * old + per_second * (1.0 - old);
        self.since = now;
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Demand;

    #[test]
    fn the_rate_follows_recent_use_and_fades() {
        let start = Instant::now();
        let mut demand = Demand::new(start);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for request in 0..100 {
            demand.count(at(request * 10));
        }
        let second = Duration::from_secs(1);
        let expected = demand.within(second, at(1_000));
        assert!((80.0..=110.0).contains(&expected), "{expected}");
        let half = demand.within(second / 2, at(1_000));
        assert_eq!(half, expected / 2.0);
        assert!(demand.within(second, at(3_000)) < 1.0);
    }

    #[test]
    fn a_window_counts_when_it_has_ended() {
        let start = Instant::now();
        let mut demand = Demand::new(start);
        demand.count(start);
        let second = Duration::from_secs(1);
        assert_eq!(demand.within(second, start + Duration::from_millis(99)), 0.0);
        assert_eq!(
            demand.within(second, start + Duration::from_millis(100)),
            5.0,
            "half of 10 per second"
        );
    }
}
