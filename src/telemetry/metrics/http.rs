//! Requests to the public listener.

use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use enum_map::EnumMap;
use metrics::{Gauge, Histogram, Key, KeyName, Label, Recorder, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::labels::{LabelValue as _, MethodLabel, ProtocolLabel, SchemeLabel};
use super::{GaugeGuard, HistogramCache, METADATA, Registry};

const SERVER_DURATION: &str = "http_server_request_duration_seconds";

/// The labels of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HttpLabels {
    /// The method.
    pub method: MethodLabel,
    /// The matched route, or `unmatched`; never a raw path.
    pub route: &'static str,
    /// The response status; `None` if the client disconnected before the response.
    pub status: Option<u16>,
    /// The problem's name, or [`CANCELLED`](super::CANCELLED); `None` if there was no error.
    pub error_type: Option<&'static str>,
    /// As the client sent the request.
    pub scheme: SchemeLabel,
    /// The version of HTTP.
    pub protocol: ProtocolLabel,
}

/// Metrics of requests to the public listener.
pub struct HttpMetrics {
    recorder: Arc<PrometheusRecorder>,
    durations: HistogramCache<HttpLabels>,
    /// The series that exist from the start, and for which schemes and protocols they are registered.
    known: OnceLock<Vec<HttpLabels>>,
    registered: EnumMap<SchemeLabel, EnumMap<ProtocolLabel, Once>>,
    active: EnumMap<MethodLabel, Gauge>,
}

impl HttpMetrics {
    pub(super) fn new(recorder: Arc<PrometheusRecorder>) -> Self {
        let registry = Registry(&recorder);
        let active = EnumMap::from_fn(|method: MethodLabel| {
            registry.gauge(
                "http_server_active_requests",
                "Requests in flight on the public listener.",
                &[("http_request_method", method.as_str())],
            )
        });
        recorder.describe_histogram(
            KeyName::from_const_str(SERVER_DURATION),
            Some(Unit::Seconds),
            "Duration of requests, from the end of the request headers until the response is ready.".into(),
        );
        Self {
            recorder,
            durations: HistogramCache::default(),
            known: OnceLock::new(),
            registered: EnumMap::from_fn(|_| EnumMap::from_fn(|_| Once::new())),
            active,
        }
    }

    /// Registers series, so that they are exported at zero: those of HTTP/1.1 without TLS at once, and the same of other schemes
    /// and versions with the first such request. A deployment has one or two of the six combinations. Only the first call has an
    /// effect.
    pub fn preregister(&self, known: Vec<HttpLabels>) {
        _ = self.known.set(known);
        self.register_known(SchemeLabel::Http, ProtocolLabel::Http11);
    }

    fn register_known(&self, scheme: SchemeLabel, protocol: ProtocolLabel) {
        self.registered[scheme][protocol].call_once(|| {
            for labels in self.known.get().into_iter().flatten() {
                drop(self.duration(HttpLabels {
                    scheme,
                    protocol,
                    ..*labels
                }));
            }
        });
    }

    /// Records a finished request.
    pub fn record(&self, labels: HttpLabels, duration: Duration) {
        self.register_known(labels.scheme, labels.protocol);
        self.duration(labels).record(duration);
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn active(&self, method: MethodLabel) -> GaugeGuard {
        GaugeGuard::increment(&self.active[method])
    }

    fn duration(&self, labels: HttpLabels) -> Histogram {
        self.durations
            .get_or_register(labels, || self.register_histogram(labels))
    }

    fn register_histogram(&self, labels: HttpLabels) -> Histogram {
        let status = labels
            .status
            .map_or_else(String::new, |status| status.to_string());
        let labels = vec![
            Label::from_static_parts("http_request_method", labels.method.as_str()),
            Label::from_static_parts("http_route", labels.route),
            Label::new("http_response_status_code", status),
            Label::from_static_parts("error_type", labels.error_type.unwrap_or_default()),
            Label::from_static_parts("url_scheme", labels.scheme.as_str()),
            Label::from_static_parts("network_protocol_version", labels.protocol.as_str()),
        ];
        self.recorder
            .register_histogram(&Key::from_parts(SERVER_DURATION, labels), &METADATA)
    }
}
