//! Connections to the public listener.

use std::sync::Arc;

use enum_map::EnumMap;
use metrics::{Counter, Gauge};

use super::labels::{ConnectionRejection, LabelValue as _};
use super::{GaugeGuard, Registry};

/// Metrics of connections. Cheap to clone.
#[derive(Clone)]
pub struct ConnectionMetrics {
    open: Gauge,
    rejected: Arc<EnumMap<ConnectionRejection, Counter>>,
}

impl ConnectionMetrics {
    pub(super) fn new(registry: &Registry<'_>) -> Self {
        let rejected = |reason: ConnectionRejection| {
            let help =
                "Connections that were cut off, rejected or had to wait before a request was complete.";
            let labels = [("reason", reason.as_str())];
            registry.counter("shoutback_connections_rejected_total", help, &labels)
        };
        Self {
            open: registry.gauge(
                "shoutback_connections",
                "Open connections to the public listener.",
                &[],
            ),
            rejected: Arc::new(EnumMap::from_fn(rejected)),
        }
    }

    /// Returns metrics that record nothing.
    pub fn noop() -> Self {
        Self {
            open: Gauge::noop(),
            rejected: Arc::new(EnumMap::from_fn(|_| Counter::noop())),
        }
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn opened(&self) -> GaugeGuard {
        GaugeGuard::increment(&self.open)
    }

    /// Counts a connection that did not get to a complete request, or had to wait.
    pub fn record_rejected(&self, reason: ConnectionRejection) {
        self.rejected[reason].increment(1);
    }
}
