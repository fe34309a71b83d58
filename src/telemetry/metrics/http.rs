//! Requests to the public listener.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, Histogram, Key, KeyName, Label, Recorder, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{GaugeGuard, Known, METADATA, Register};

const SERVER_DURATION: &str = "http_server_request_duration_seconds";

/// A request's labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HttpLabels {
    /// A known method, or `_OTHER`.
    pub method: &'static str,
    /// The matched route, or `unmatched`; never a raw path.
    pub route: &'static str,
    /// The status of the answer; `None` if the client went away before there was one.
    pub status: Option<u16>,
    /// The name of the problem; empty if there was none.
    pub error_type: &'static str,
}

/// Requests to the public listener.
pub struct HttpMetrics {
    recorder: Arc<PrometheusRecorder>,
    durations: Known<HttpLabels>,
    active: HashMap<&'static str, Gauge>,
}

impl HttpMetrics {
    /// The methods that have a name of their own in a label.
    const METHODS: [&'static str; 10] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "_OTHER",
    ];

    pub(super) fn new(recorder: Arc<PrometheusRecorder>) -> Self {
        let register = Register(&recorder);
        let active = Self::METHODS
            .into_iter()
            .map(|method| {
                let help = "Requests that are being served.";
                (
                    method,
                    register.gauge(
                        "http_server_active_requests",
                        help,
                        &[("http_request_method", method)],
                    ),
                )
            })
            .collect();
        recorder.describe_histogram(
            KeyName::from_const_str(SERVER_DURATION),
            Some(Unit::Seconds),
            "Duration of requests, from the end of their head until the answer is ready.".into(),
        );
        Self {
            recorder,
            durations: Known::default(),
            active,
        }
    }

    /// Registers a series at zero.
    pub fn expect(&self, labels: HttpLabels) {
        drop(self.duration(labels));
    }

    /// Records a request that is over.
    pub fn record(&self, labels: HttpLabels, duration: Duration) {
        self.duration(labels).record(duration);
    }

    /// The label of `method`.
    pub fn method_label(method: &::http::Method) -> &'static str {
        Self::METHODS
            .into_iter()
            .find(|known| *known == method.as_str())
            .unwrap_or("_OTHER")
    }

    /// Counts a request as active until the guard is dropped.
    pub fn active(&self, method: &'static str) -> GaugeGuard {
        let gauge = self.active.get(method).cloned().unwrap_or_else(Gauge::noop);
        GaugeGuard::on(&gauge)
    }

    fn duration(&self, labels: HttpLabels) -> Histogram {
        self.durations.get(labels, || self.register(labels))
    }

    fn register(&self, labels: HttpLabels) -> Histogram {
        let status = labels
            .status
            .map_or_else(String::new, |status| status.to_string());
        let labels = vec![
            Label::from_static_parts("http_request_method", labels.method),
            Label::from_static_parts("http_route", labels.route),
            Label::new("http_response_status_code", status),
            Label::from_static_parts("error_type", labels.error_type),
        ];
        self.recorder
            .register_histogram(&Key::from_parts(SERVER_DURATION, labels), &METADATA)
    }
}
