//! Requests to Valkey.

use std::sync::Arc;

use enum_map::EnumMap;
use metrics::{Counter, Gauge};

use super::Registry;
use super::labels::LabelValue as _;
use super::labels::valkey::{ValkeyOperation, ValkeyOutcome};

/// Metrics of Valkey. Cheap to clone.
#[derive(Clone)]
pub struct ValkeyMetrics {
    requests: Arc<EnumMap<ValkeyOperation, EnumMap<ValkeyOutcome, Counter>>>,
    up: Gauge,
    replicas: Gauge,
}

impl ValkeyMetrics {
    pub(super) fn new(registry: &Registry<'_>) -> Self {
        let requests = |operation: ValkeyOperation, outcome: ValkeyOutcome| {
            registry.counter(
                "shoutback_valkey_requests_total",
                "Operations on Valkey, by what they are for and how they ended.",
                &[("operation", operation.as_str()), ("outcome", outcome.as_str())],
            )
        };
        Self {
            requests: Arc::new(EnumMap::from_fn(|operation| {
                EnumMap::from_fn(|outcome| requests(operation, outcome))
            })),
            up: registry.gauge(
                "shoutback_valkey_up",
                "Whether Valkey is in use: 1, or 0 while quotas are counted per replica and the shared cache is skipped.",
                &[],
            ),
            replicas: registry.gauge(
                "shoutback_valkey_replicas",
                "Replicas that share the quotas, as last seen by this one.",
                &[],
            ),
        }
    }

    /// Counts an operation.
    pub fn record(&self, operation: ValkeyOperation, outcome: ValkeyOutcome) {
        self.requests[operation][outcome].increment(1);
    }

    /// Records whether Valkey is in use.
    pub fn set_up(&self, up: bool) {
        self.up.set(if up { 1.0 } else { 0.0 });
    }

    /// Records the number of replicas.
    pub fn set_replicas(&self, replicas: u32) {
        self.replicas.set(f64::from(replicas));
    }
}

#[cfg(test)]
mod tests {
    use super::{ValkeyOperation, ValkeyOutcome};
    use crate::telemetry::metrics::LabelValue as _;

    #[test]
    fn every_operation_and_outcome_is_documented() {
        let docs = include_str!("../../../docs/metrics.md");
        let operations = ValkeyOperation::all().map(ValkeyOperation::as_str);
        let outcomes = ValkeyOutcome::all().map(ValkeyOutcome::as_str);
        for value in operations.chain(outcomes) {
            assert!(docs.contains(&format!("`{value}`")), "{value}");
        }
    }
}
