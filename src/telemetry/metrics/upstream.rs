//! Calls to SHOUTCLOUD: attempts, retries and their budget, the breaker, who is under way and who waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Recorder, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Known, METADATA, Register};

const CLIENT_DURATION: &str = "http_client_request_duration_seconds";

/// What stands in `error_type` for an attempt that was given up before it had ended.
const CANCELLED: &str = "cancelled";

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptLabels {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Empty if it was a shout.
    pub error_type: &'static str,
}

/// Calls to SHOUTCLOUD.
pub struct UpstreamMetrics {
    recorder: Arc<PrometheusRecorder>,
    durations: Known<AttemptLabels>,
    server_address: String,
    retries: HashMap<&'static str, Counter>,
    /// Retries that can be paid.
    pub budget: Gauge,
    state: HashMap<&'static str, Gauge>,
    transitions: HashMap<(&'static str, &'static str), Counter>,
    /// Calls that are under way, their waits between attempts included.
    pub in_flight: Gauge,
    /// Calls that wait for one of those to end.
    pub queued: Gauge,
}

impl UpstreamMetrics {
    /// The states of the breaker.
    const STATES: [&'static str; 3] = ["closed", "open", "half_open"];
    /// How it can change.
    const TRANSITIONS: [(&'static str, &'static str); 4] = [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
        ("half_open", "closed"),
    ];

    /// `attempts` are the ends of attempts that are expected, `reasons` those after which another is made.
    pub(super) fn new(
        recorder: &Arc<PrometheusRecorder>,
        server_address: &str,
        attempts: &[AttemptLabels],
        reasons: &[&'static str],
    ) -> Self {
        let register = Register(recorder);
        recorder.describe_histogram(
            KeyName::from_const_str(CLIENT_DURATION),
            Some(Unit::Seconds),
            "Duration of attempts to call SHOUTCLOUD, from connecting to the last byte of the answer.".into(),
        );
        let retries = |reason| {
            let help = "Attempts made because the one before ended so.";
            register.counter("shoutback_upstream_retries_total", help, &[("reason", reason)])
        };
        let state = |state| {
            let help = "1 for the state that the circuit breaker is in, 0 for the others.";
            register.gauge("shoutback_breaker_state", help, &[("state", state)])
        };
        let transition = |(from, to)| {
            let help = "Changes of the circuit breaker's state.";
            let labels = [("from", from), ("to", to)];
            register.counter("shoutback_breaker_transitions_total", help, &labels)
        };
        let metrics = Self {
            recorder: Arc::clone(recorder),
            durations: Known::default(),
            server_address: server_address.to_owned(),
            retries: reasons.iter().map(|reason| (*reason, retries(reason))).collect(),
            budget: register.gauge(
                "shoutback_retry_budget_remaining",
                "Retries that can be paid; each call adds a part of one.",
                &[],
            ),
            state: Self::STATES.map(|name| (name, state(name))).into(),
            transitions: Self::TRANSITIONS.map(|pair| (pair, transition(pair))).into(),
            in_flight: register.gauge(
                "shoutback_upstream_in_flight",
                "Calls to SHOUTCLOUD that are under way, their waits between attempts included.",
                &[],
            ),
            queued: register.gauge(
                "shoutback_upstream_queued",
                "Calls to SHOUTCLOUD that wait for one under way to end.",
                &[],
            ),
        };
        metrics.breaker_is("closed");
        for labels in attempts {
            drop(metrics.duration(*labels));
        }
        metrics
    }

    /// An attempt begins.
    pub fn attempt(self: &Arc<Self>) -> AttemptAccount {
        AttemptAccount {
            metrics: Arc::clone(self),
            began: Instant::now(),
            labels: AttemptLabels {
                status: None,
                error_type: CANCELLED,
            },
        }
    }

    /// Another attempt is made, because the one before ended so.
    pub fn retried(&self, reason: &str) {
        if let Some(counter) = self.retries.get(reason) {
            counter.increment(1);
        }
    }

    /// The breaker goes from one state to another.
    pub fn breaker_went(&self, from: &'static str, to: &'static str) {
        if let Some(counter) = self.transitions.get(&(from, to)) {
            counter.increment(1);
        }
        self.breaker_is(to);
    }

    fn breaker_is(&self, current: &str) {
        for (name, gauge) in &self.state {
            gauge.set(if *name == current { 1.0 } else { 0.0 });
        }
    }

    fn duration(&self, labels: AttemptLabels) -> Histogram {
        self.durations.get(labels, || self.register(labels))
    }

    fn register(&self, labels: AttemptLabels) -> Histogram {
        let status = labels
            .status
            .map_or_else(String::new, |status| status.to_string());
        let labels = vec![
            Label::new("server_address", self.server_address.clone()),
            Label::new("http_response_status_code", status),
            Label::from_static_parts("error_type", labels.error_type),
        ];
        self.recorder
            .register_histogram(&Key::from_parts(CLIENT_DURATION, labels), &METADATA)
    }
}

/// An attempt under way; recorded when it is dropped, as cancelled unless its end was told.
pub struct AttemptAccount {
    metrics: Arc<UpstreamMetrics>,
    began: Instant,
    labels: AttemptLabels,
}

impl AttemptAccount {
    /// It ended so.
    pub fn end(mut self, labels: AttemptLabels) {
        self.labels = labels;
    }
}

impl Drop for AttemptAccount {
    fn drop(&mut self) {
        let took: Duration = self.began.elapsed();
        self.metrics.duration(self.labels).record(took);
    }
}

/// One more on a gauge, until this is dropped.
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// Counts from now on.
    pub fn on(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
