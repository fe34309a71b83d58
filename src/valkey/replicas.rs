//! Which replicas share the quotas: each writes a heartbeat, and counts those of the others.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;
use uuid::Uuid;

use super::error::Error;
use super::script::Script;
use crate::telemetry::metrics::ValkeyMetrics;

/// The key of the set of replicas.
pub(super) const KEY: &str = "shoutback:{replicas}";

/// How often a replica reports that it is there.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// A replica without a heartbeat for this long is gone.
const LIFETIME_MILLISECONDS: &str = "5000";

/// How long a higher count outlives a lower one, while connected. After an outage the replicas register one after the
/// other, and none may take itself for the only one.
const COUNT_MEMORY: Duration = Duration::from_secs(10);

/// This replica and the others.
pub(super) struct Replicas {
    id: String,
    pub(super) script: Script,
    counts: Mutex<Counts>,
    /// The highest of the recent counts, for every request to read.
    count: AtomicU32,
    is_known: AtomicBool,
    is_leaving: AtomicBool,
    metrics: ValkeyMetrics,
}

/// The highest of the recent counts.
#[derive(Debug, Default)]
struct Counts {
    highest: u32,
    /// When the highest count was last confirmed.
    seen_at: Option<Instant>,
    /// When this replica registered over the current connection.
    registered_at: Option<Instant>,
}

impl Replicas {
    pub(super) fn new(metrics: ValkeyMetrics) -> Self {
        metrics.set_replicas(1);
        Self {
            id: Uuid::now_v7().to_string(),
            script: Script::new(include_str!("replicas.lua")),
            counts: Mutex::default(),
            count: AtomicU32::new(1),
            is_known: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            metrics,
        }
    }

    /// Returns the number of replicas as last seen, at least 1.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns whether every other replica has counted this one: each has written a heartbeat since.
    pub(super) fn is_known_to_others(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// Makes every later heartbeat remove this replica instead.
    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Returns the arguments of the script, by which this replica joins, or leaves.
    pub(super) fn arguments(&self) -> [&str; 3] {
        let joins = !self.is_leaving.load(Ordering::Relaxed);
        [&self.id, LIFETIME_MILLISECONDS, if joins { "1" } else { "0" }]
    }

    /// Returns the command by which this replica joins over a new connection.
    pub(super) fn registration(&self) -> Cmd {
        self.script.by_text(KEY, &self.arguments())
    }

    /// Records the response to a registration.
    pub(super) fn registered(&self, count: u32) {
        let now = Instant::now();
        self.counts().registered(count, now);
        self.record(count, now);
    }

    /// Records the response to a later heartbeat.
    pub(super) fn counted(&self, count: u32) {
        self.record(count, Instant::now());
    }

    fn record(&self, count: u32, now: Instant) {
        let mut counts = self.counts();
        counts.record(count, now);
        let highest = counts.highest.max(1);
        let is_known = counts
            .registered_at
            .is_some_and(|at| now - at >= 2 * HEARTBEAT_INTERVAL);
        self.count.store(highest, Ordering::Relaxed);
        self.is_known.store(is_known, Ordering::Relaxed);
        self.metrics.set_replicas(highest);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn registered(&mut self, count: u32, now: Instant) {
        self.registered_at = Some(now);
        // While this replica could not count, no lower count has lasted: the others register again just now.
        if count < self.highest {
            self.seen_at = Some(now);
        }
    }

    fn record(&mut self, count: u32, now: Instant) {
        let outdated = self
            .seen_at
            .is_none_or(|seen_at| now.duration_since(seen_at) >= COUNT_MEMORY);
        if count >= self.highest || outdated {
            self.highest = count;
            self.seen_at = Some(now);
        }
    }
}

/// Parses the response of the script: the number of replicas.
pub(super) fn count(response: &Value) -> Result<u32, Error> {
    match response {
        Value::Int(count) => u32::try_from(*count).map_err(|_| Error::invalid_response()),
        _ => Err(Error::invalid_response()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{COUNT_MEMORY, Counts};

    #[test]
    fn a_lower_count_is_believed_once_it_lasts() {
        let start = Instant::now();
        let mut counts = Counts::default();
        counts.record(3, start);
        counts.record(1, start + Duration::from_secs(1));
        assert_eq!(counts.highest, 3, "after a restart of the server, for example");
        counts.record(4, start + Duration::from_secs(2));
        assert_eq!(counts.highest, 4, "a higher count is believed at once");
        counts.record(2, start + Duration::from_secs(2) + COUNT_MEMORY);
        assert_eq!(counts.highest, 2);
    }

    #[test]
    fn an_outage_is_not_part_of_the_time_for_which_a_lower_count_lasts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut counts = Counts::default();
        counts.record(3, start);
        // The first replica to register after a minute without Valkey, whose heartbeats have all expired.
        counts.registered(1, at(60));
        counts.record(1, at(60));
        assert_eq!(counts.highest, 3);
        counts.record(2, at(69));
        assert_eq!(counts.highest, 3);
        counts.record(2, at(70));
        assert_eq!(counts.highest, 2);
    }
}
