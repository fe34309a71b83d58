//! Calls to SHOUTCLOUD: attempts, retries and their budget, the circuit breaker, calls in flight and queued.

use std::sync::Arc;
use std::time::{Duration, Instant};

use enum_map::EnumMap;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Recorder, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::labels::LabelValue as _;
use super::labels::upstream::{
    AttemptFailure, BreakerState, BreakerTransition, ConnectionEvent, RetryReason,
};
use super::{HistogramCache, METADATA, Registry};

const CLIENT_DURATION: &str = "http_client_request_duration_seconds";
const QUEUE_DURATION: &str = "shoutback_upstream_queue_duration_seconds";

/// The labels of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptLabels {
    /// The response status, if there was a response.
    pub status: Option<u16>,
    /// The kind of failure; `None` for a success.
    pub error: Option<AttemptFailure>,
}

/// Metrics of calls to SHOUTCLOUD.
pub struct UpstreamMetrics {
    recorder: Arc<PrometheusRecorder>,
    durations: HistogramCache<AttemptLabels>,
    server_address: String,
    server_port: String,
    queue_time: Histogram,
    retries: EnumMap<RetryReason, Counter>,
    connections: EnumMap<ConnectionEvent, Counter>,
    /// Retries that the budget allows now.
    pub budget: Gauge,
    state: EnumMap<BreakerState, Gauge>,
    transitions: EnumMap<BreakerTransition, Counter>,
    /// Calls in flight, including their backoff between attempts.
    pub in_flight: Gauge,
    /// Calls waiting for the bulkhead's limit.
    pub queued: Gauge,
}

impl UpstreamMetrics {
    /// `attempts` are the label sets to register at zero.
    pub(super) fn new(
        recorder: &Arc<PrometheusRecorder>,
        (server_address, server_port): (&str, u16),
        attempts: &[AttemptLabels],
    ) -> Self {
        let registry = Registry(recorder);
        recorder.describe_histogram(
            KeyName::from_const_str(CLIENT_DURATION),
            Some(Unit::Seconds),
            "Duration of attempts to call SHOUTCLOUD, from connecting to the last byte of the response."
                .into(),
        );
        recorder.describe_histogram(
            KeyName::from_const_str(QUEUE_DURATION),
            Some(Unit::Seconds),
            "Time that calls to SHOUTCLOUD waited for the concurrency limit.".into(),
        );
        let retries = |reason: RetryReason| {
            let help = "Retries of calls to SHOUTCLOUD, by the failure of the previous attempt.";
            registry.counter(
                "shoutback_upstream_retries_total",
                help,
                &[("reason", reason.as_str())],
            )
        };
        let state = |state: BreakerState| {
            let help = "State of the circuit breaker: 1 for the current state, 0 for the others.";
            registry.gauge("shoutback_breaker_state", help, &[("state", state.as_str())])
        };
        let transition = |transition: BreakerTransition| {
            let help = "State transitions of the circuit breaker.";
            let labels = [
                ("from", transition.from().as_str()),
                ("to", transition.to().as_str()),
            ];
            registry.counter("shoutback_breaker_transitions_total", help, &labels)
        };
        let metrics = Self {
            recorder: Arc::clone(recorder),
            durations: HistogramCache::default(),
            server_address: server_address.to_owned(),
            server_port: server_port.to_string(),
            queue_time: recorder.register_histogram(&Key::from_static_name(QUEUE_DURATION), &METADATA),
            retries: EnumMap::from_fn(retries),
            connections: EnumMap::from_fn(|event: ConnectionEvent| {
                registry.counter(
                    "shoutback_upstream_connections_total",
                    "Connections to SHOUTCLOUD: opened, reused, and reused ones that the server had closed (stale).",
                    &[("event", event.as_str())],
                )
            }),
            budget: registry.gauge(
                "shoutback_retry_budget_remaining",
                "Retries that the retry budget allows now; each call adds a fraction of one.",
                &[],
            ),
            state: EnumMap::from_fn(state),
            transitions: EnumMap::from_fn(transition),
            in_flight: registry.gauge(
                "shoutback_upstream_in_flight",
                "Calls to SHOUTCLOUD in flight, including their backoff between attempts.",
                &[],
            ),
            queued: registry.gauge(
                "shoutback_upstream_queued",
                "Calls to SHOUTCLOUD waiting for the concurrency limit.",
                &[],
            ),
        };
        metrics.set_state(BreakerState::Closed);
        for labels in attempts {
            drop(metrics.duration(*labels));
        }
        metrics
    }

    /// Starts the record of an attempt.
    pub fn start_attempt(self: &Arc<Self>) -> AttemptRecord {
        AttemptRecord {
            metrics: Arc::clone(self),
            started: Instant::now(),
            labels: AttemptLabels {
                status: None,
                error: Some(AttemptFailure::Cancelled),
            },
        }
    }

    /// Counts a call as queued until the guard is dropped, however its wait ends.
    pub fn start_queueing(&self) -> QueueGuard {
        QueueGuard {
            queue_time: self.queue_time.clone(),
            started: Instant::now(),
            _queued: GaugeGuard::increment(&self.queued),
        }
    }

    /// Records a call that did not have to wait in the queue.
    pub fn record_not_queued(&self) {
        self.queue_time.record(0.0);
    }

    /// Counts a retry; `reason` is the failure of the previous attempt.
    pub fn record_retry(&self, reason: RetryReason) {
        self.retries[reason].increment(1);
    }

    /// Counts the use of a connection.
    pub fn record_connection(&self, event: ConnectionEvent) {
        self.connections[event].increment(1);
    }

    /// Counts a transition of the circuit breaker and updates its state.
    pub fn record_transition(&self, transition: BreakerTransition) {
        self.transitions[transition].increment(1);
        self.set_state(transition.to());
    }

    fn set_state(&self, current: BreakerState) {
        for (state, gauge) in &self.state {
            gauge.set(if state == current { 1.0 } else { 0.0 });
        }
    }

    fn duration(&self, labels: AttemptLabels) -> Histogram {
        self.durations
            .get_or_register(labels, || self.register_histogram(labels))
    }

    fn register_histogram(&self, labels: AttemptLabels) -> Histogram {
        let status = labels
            .status
            .map_or_else(String::new, |status| status.to_string());
        let labels = vec![
            Label::from_static_parts("http_request_method", "POST"),
            Label::new("server_port", self.server_port.clone()),
            Label::new("server_address", self.server_address.clone()),
            Label::new("http_response_status_code", status),
            Label::from_static_parts("error_type", labels.error.map_or("", AttemptFailure::as_str)),
        ];
        self.recorder
            .register_histogram(&Key::from_parts(CLIENT_DURATION, labels), &METADATA)
    }
}

/// An attempt in progress. Recorded on drop: as cancelled, unless [`AttemptRecord::finish`] was called.
pub struct AttemptRecord {
    metrics: Arc<UpstreamMetrics>,
    started: Instant,
    labels: AttemptLabels,
}

impl AttemptRecord {
    /// Records the attempt with `labels`.
    pub fn finish(mut self, labels: AttemptLabels) {
        self.labels = labels;
    }
}

impl Drop for AttemptRecord {
    fn drop(&mut self) {
        let elapsed: Duration = self.started.elapsed();
        self.metrics.duration(self.labels).record(elapsed);
    }
}

/// A call in the queue. Records its time there on drop.
pub struct QueueGuard {
    queue_time: Histogram,
    started: Instant,
    _queued: GaugeGuard,
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        self.queue_time.record(self.started.elapsed());
    }
}

/// Increments a gauge and decrements it on drop.
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// Increments `gauge` until the guard is dropped.
    pub fn increment(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
