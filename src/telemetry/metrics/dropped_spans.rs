//! Dropped spans.

use metrics::Counter;

use super::Registry;

/// Counters of spans that were recorded but not exported. Cheap to clone.
#[derive(Clone)]
pub struct SpanMetrics {
    /// Dropped because the export queue was full.
    pub queue_full: Counter,
    /// Dropped because the collector was unreachable, timed out or rejected them.
    pub export_failed: Counter,
}

impl SpanMetrics {
    pub(super) fn new(registry: &Registry<'_>) -> Self {
        let dropped = |reason| {
            let help = "Recorded spans that were not delivered to the collector, by reason.";
            registry.counter("shoutback_otlp_spans_dropped_total", help, &[("reason", reason)])
        };
        Self {
            queue_full: dropped("queue_full"),
            export_failed: dropped("export_failed"),
        }
    }
}
