//! Log lines that were lost.

use std::sync::OnceLock;

use metrics::Counter;

use super::Register;
use crate::telemetry::log::Dropped;

/// Log lines that were lost. They are counted by the log, which begins before there are metrics.
pub struct LogMetrics {
    counter: Counter,
    dropped: OnceLock<Dropped>,
}

impl LogMetrics {
    pub(super) fn new(register: &Register<'_>) -> Self {
        let counter = register.counter(
            "shoutback_log_lines_dropped_total",
            "Log lines that could not be written, or not fast enough.",
            &[],
        );
        let dropped = OnceLock::new();
        Self { counter, dropped }
    }

    /// Shows what is counted there.
    pub fn count(&self, dropped: Dropped) {
        _ = self.dropped.set(dropped);
    }

    pub(super) fn update(&self) {
        if let Some(dropped) = self.dropped.get() {
            self.counter.absolute(dropped.total());
        }
    }
}
