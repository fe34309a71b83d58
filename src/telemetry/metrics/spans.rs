//! Spans that were recorded and not delivered.

use metrics::Counter;

use super::Register;

/// Spans that were recorded and not delivered. Cheap to clone.
#[derive(Clone)]
pub struct SpanMetrics {
    /// As many as may wait were waiting.
    pub queue_full: Counter,
    /// The collector was not there, did not answer in time, or refused them.
    pub export_failed: Counter,
}

impl SpanMetrics {
    pub(super) fn new(register: &Register<'_>) -> Self {
        let dropped = |reason| {
            let help = "Spans that were recorded and not delivered to the collector.";
            register.counter("shoutback_otlp_spans_dropped_total", help, &[("reason", reason)])
        };
        Self {
            queue_full: dropped("queue_full"),
            export_failed: dropped("export_failed"),
        }
    }
}
