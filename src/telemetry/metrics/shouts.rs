//! Requests for a shout, and the shout cache.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::panicking;
use std::time::Instant;

use enum_map::EnumMap;
use foldhash::fast::RandomState;
use metrics::{Counter, Gauge, Histogram, KeyName, Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::labels::{CANCELLED, FailedCall, LabelValue as _, ShoutFailure, ShoutSource};
use super::{METADATA, Registry, key};

const DURATION: &str = "shoutback_shout_duration_seconds";

/// Metrics of authenticated requests for a shout.
pub struct ShoutMetrics {
    clients: HashMap<String, ClientCounters, RandomState>,
    durations: EnumMap<ShoutSource, Histogram>,
}

/// Requests of one client.
struct ClientCounters {
    succeeded: EnumMap<ShoutSource, Counter>,
    failed: EnumMap<ShoutFailure, EnumMap<FailedCall, Counter>>,
    cancelled: Counter,
}

/// How a request for a shout ended.
#[derive(Clone, Copy)]
enum Outcome {
    Succeeded(ShoutSource),
    Failed(ShoutFailure, FailedCall),
    Cancelled,
}

impl ShoutMetrics {
    /// Registers a series per client and outcome.
    pub(super) fn new<'a>(recorder: &PrometheusRecorder, clients: impl Iterator<Item = &'a str>) -> Self {
        let registry = Registry(recorder);
        recorder.describe_histogram(
            KeyName::from_const_str(DURATION),
            Some(Unit::Seconds),
            "Time to produce a shout or fail, by source of the response.".into(),
        );
        Self {
            clients: clients
                .map(|client| (client.to_owned(), ClientCounters::new(&registry, client)))
                .collect(),
            durations: EnumMap::from_fn(|source: ShoutSource| {
                recorder.register_histogram(&key(DURATION, &[("source", source.as_str())]), &METADATA)
            }),
        }
    }

    /// Starts the record of a request.
    pub fn start(self: &Arc<Self>, client_id: &Arc<str>) -> ShoutRecord {
        ShoutRecord {
            metrics: Arc::clone(self),
            client_id: Arc::clone(client_id),
            started: Instant::now(),
            outcome: None,
        }
    }
}

/// A request for a shout. Recorded on drop: as cancelled (or an internal error during a panic), unless it succeeded or
/// failed.
pub struct ShoutRecord {
    metrics: Arc<ShoutMetrics>,
    client_id: Arc<str>,
    started: Instant,
    outcome: Option<Outcome>,
}

impl ShoutRecord {
    /// Records a success from `source`.
    pub fn succeeded(mut self, source: ShoutSource) {
        self.outcome = Some(Outcome::Succeeded(source));
    }

    /// Records a failure of the request's own call or of the one that it had joined.
    pub fn failed(mut self, failure: ShoutFailure, call: FailedCall) {
        self.outcome = Some(Outcome::Failed(failure, call));
    }
}

impl Drop for ShoutRecord {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or(if panicking() {
            Outcome::Failed(ShoutFailure::InternalError, FailedCall::Own)
        } else {
            Outcome::Cancelled
        });
        let clients = &self.metrics.clients;
        if let Some(client) = clients.get(&*self.client_id).or_else(|| clients.get("other")) {
            client.counter(outcome).increment(1);
        }
        // Without a result there is no duration: the client disconnected, or a panic.
        let source = match self.outcome {
            Some(Outcome::Succeeded(source)) => source,
            Some(Outcome::Failed(_, FailedCall::Own)) => ShoutSource::Upstream,
            Some(Outcome::Failed(_, FailedCall::Coalesced)) => ShoutSource::Coalesced,
            Some(Outcome::Cancelled) | None => return,
        };
        self.metrics.durations[source].record(self.started.elapsed());
    }
}

impl ClientCounters {
    fn new(registry: &Registry<'_>, client: &str) -> Self {
        let counter = |outcome: &str, source: &str| {
            let help = "Requests for a shout, by client, outcome and source of the response.";
            let labels = [("client_id", client), ("outcome", outcome), ("source", source)];
            registry.counter("shoutback_shouts_total", help, &labels)
        };
        Self {
            succeeded: EnumMap::from_fn(|source: ShoutSource| counter("success", source.as_str())),
            failed: EnumMap::from_fn(|failure: ShoutFailure| {
                EnumMap::from_fn(|call: FailedCall| counter(failure.as_str(), call.as_str()))
            }),
            cancelled: counter(CANCELLED, ShoutSource::None.as_str()),
        }
    }

    fn counter(&self, outcome: Outcome) -> &Counter {
        match outcome {
            Outcome::Succeeded(source) => &self.succeeded[source],
            Outcome::Failed(failure, call) => &self.failed[failure][call],
            Outcome::Cancelled => &self.cancelled,
        }
    }
}

/// Metrics of the shout cache.
#[derive(Clone)]
pub struct CacheMetrics {
    /// A fresh entry was found.
    pub hit: Counter,
    /// A stale entry was found.
    pub stale: Counter,
    /// No entry was found.
    pub miss: Counter,
    /// The cache was not used: the client bypassed it or it is disabled.
    pub bypass: Counter,
    /// The size of all entries.
    pub bytes: Gauge,
}

impl CacheMetrics {
    /// Returns metrics that record nothing.
    #[cfg(test)]
    pub(crate) fn noop() -> Self {
        Self {
            hit: Counter::noop(),
            stale: Counter::noop(),
            miss: Counter::noop(),
            bypass: Counter::noop(),
            bytes: Gauge::noop(),
        }
    }

    pub(super) fn new(registry: &Registry<'_>) -> Self {
        let requests = |result| {
            let help = "Lookups in the shout cache, by result.";
            registry.counter("shoutback_cache_requests_total", help, &[("result", result)])
        };
        Self {
            hit: requests("hit"),
            stale: requests("stale"),
            miss: requests("miss"),
            bypass: requests("bypass"),
            bytes: registry.gauge(
                "shoutback_cache_bytes",
                "Size of the shout cache's entries in bytes.",
                &[],
            ),
        }
    }
}
