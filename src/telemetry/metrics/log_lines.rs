//! Dropped log lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::Counter;

use super::Registry;

/// The number of dropped log lines. Cheap to clone; all clones share one count.
#[derive(Debug, Clone, Default)]
pub struct DroppedLines(Arc<AtomicU64>);

impl DroppedLines {
    /// Returns the number of lines dropped since the process started.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(in crate::telemetry) fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }
}

/// Metrics of the log. The log starts before the metrics exist, so it counts in [`DroppedLines`], which each scrape
/// reads.
pub struct LogMetrics {
    counter: Counter,
    dropped: OnceLock<DroppedLines>,
}

impl LogMetrics {
    pub(super) fn new(registry: &Registry<'_>) -> Self {
        let counter = registry.counter(
            "shoutback_log_lines_dropped_total",
            "Log lines dropped because writing failed or was too slow.",
            &[],
        );
        let dropped = OnceLock::new();
        Self { counter, dropped }
    }

    /// Reports `dropped` from now on. Only the first call has an effect.
    pub fn observe(&self, dropped: DroppedLines) {
        _ = self.dropped.set(dropped);
    }

    pub(super) fn update(&self) {
        if let Some(dropped) = self.dropped.get() {
            self.counter.absolute(dropped.total());
        }
    }
}
