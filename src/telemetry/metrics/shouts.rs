//! Requests for a shout, and the shout cache.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::panicking;
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, KeyName, Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{METADATA, Registry, key};

const DURATION: &str = "shoutback_shout_duration_seconds";
const PANICKED: &str = "internal-error";
const CANCELLED: &str = "cancelled";
const NO_SOURCE: &str = "none";

/// The labels `outcome` and `source`.
type Outcome = (&'static str, &'static str);

/// Metrics of authenticated requests for a shout.
pub struct ShoutMetrics {
    clients: HashMap<String, HashMap<Outcome, Counter>>,
    durations: HashMap<&'static str, Histogram>,
}

impl ShoutMetrics {
    /// The `outcome` of a successful request.
    const SUCCESS: &'static str = "success";
    const SOURCES: [&'static str; 6] = ["upstream", "cache", "coalesced", "stale", "fallback", NO_SOURCE];
    /// The sources of a failure: the request's own call, or a coalesced one.
    const FAILURE_SOURCES: [&'static str; 2] = ["upstream", "coalesced"];

    /// `failures` are the names of the problems that a request for a shout can end in.
    pub(super) fn new<'a>(
        recorder: &PrometheusRecorder,
        clients: impl Iterator<Item = &'a str>,
        failures: &[&'static str],
    ) -> Self {
        let registry = Registry(recorder);
        let outcomes: Vec<Outcome> = Self::SOURCES
            .into_iter()
            .map(|source| (Self::SUCCESS, source))
            .chain(
                failures
                    .iter()
                    .flat_map(|failure| Self::FAILURE_SOURCES.map(|source| (*failure, source))),
            )
            .chain([(CANCELLED, NO_SOURCE)])
            .collect();
        let counter = |client: &str, (outcome, source): Outcome| {
            let help = "Requests for a shout, by client, outcome and source of the response.";
            let labels = [("client_id", client), ("outcome", outcome), ("source", source)];
            registry.counter("shoutback_shouts_total", help, &labels)
        };
        let of_client = |client: &str| {
            outcomes
                .iter()
                .map(|outcome| (*outcome, counter(client, *outcome)))
                .collect()
        };
        recorder.describe_histogram(
            KeyName::from_const_str(DURATION),
            Some(Unit::Seconds),
            "Time to produce a shout or fail, by source of the response.".into(),
        );
        let duration = |source| recorder.register_histogram(&key(DURATION, &[("source", source)]), &METADATA);
        Self {
            clients: clients
                .map(|client| (client.to_owned(), of_client(client)))
                .collect(),
            durations: Self::SOURCES.map(|source| (source, duration(source))).into(),
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
    pub fn succeeded(mut self, source: &'static str) {
        self.outcome = Some((ShoutMetrics::SUCCESS, source));
    }

    /// Records a failure: the `problem` sent to the client, and whose call failed (`source`).
    pub fn failed(mut self, problem: &'static str, source: &'static str) {
        self.outcome = Some((problem, source));
    }
}

impl Drop for ShoutRecord {
    fn drop(&mut self) {
        let clients = &self.metrics.clients;
        let client = clients.get(&*self.client_id).or_else(|| clients.get("other"));
        let outcome = match self.outcome {
            Some(outcome) => outcome,
            None if panicking() => (PANICKED, "upstream"),
            None => (CANCELLED, NO_SOURCE),
        };
        if let Some(counter) = client.and_then(|outcomes| outcomes.get(&outcome)) {
            counter.increment(1);
        }
        let source = self.outcome.map(|(_, source)| source);
        if let Some(duration) = source.and_then(|source| self.metrics.durations.get(source)) {
            duration.record(self.started.elapsed());
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
