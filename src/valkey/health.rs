//! Decides from the last commands whether the connection still works.

use std::sync::atomic::{AtomicU16, Ordering};

/// The connection is failing once this many of the last 16 commands failed. A rate and not a row: a cluster of which
/// one node hangs fails some commands and executes the others.
const MAX_FAILURES: u32 = 5;

/// The outcomes of the last 16 commands, one bit each: 1 for a failure.
#[derive(Debug, Default)]
pub(super) struct Health(AtomicU16);

impl Health {
    /// Records a command and returns whether too many have failed.
    pub(super) fn record(&self, succeeded: bool) -> bool {
        let failed = u16::from(!succeeded);
        let shifted = |outcomes: u16| (outcomes << 1) | failed;
        // The hot case: nothing to write, so no cache line moves between threads.
        if failed == 0 && self.0.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |outcomes| {
                Some(shifted(outcomes))
            })
            .unwrap_or_default();
        shifted(before).count_ones() >= MAX_FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn five_failures_of_the_last_sixteen_are_too_many() {
        let health = Health::default();
        for _ in 0..4 {
            assert!(!health.record(false));
        }
        assert!(health.record(false));
    }

    #[test]
    fn a_third_that_fails_is_noticed_and_old_failures_are_forgotten() {
        let health = Health::default();
        let failing = (0..16).any(|command| health.record(command % 3 != 0));
        assert!(failing);

        let health = Health::default();
        for command in 0..1000 {
            assert!(!health.record(command % 10 != 0), "{command}");
        }
    }
}
