//! All metrics, in one struct that is passed to the code that records them; there is no global recorder.
//!
//! Names follow OpenTelemetry's stable HTTP conventions where they exist, in Prometheus' spelling. Label values are
//! bounded, and every series is registered at zero, so that `rate()` counts the first event.

mod auth;
mod connections;
mod dropped_spans;
mod histogram_cache;
mod http;
mod labels;
mod log_lines;
mod runtime;
mod shouts;
mod upstream;
mod valkey;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::version;

pub use self::auth::{AuthMetrics, KeyMetrics};
pub use self::connections::ConnectionMetrics;
pub use self::dropped_spans::SpanMetrics;
pub use self::http::{HttpLabels, HttpMetrics};
pub use self::labels::upstream::{
    AttemptFailure, BreakerState, BreakerTransition, ConnectionEvent, RetryReason,
};
pub use self::labels::valkey::{ValkeyOperation, ValkeyOutcome};
pub use self::labels::{
    AuthRejection, CANCELLED, ConnectionRejection, FailedCall, LabelValue, Limit, MethodLabel, ProtocolLabel,
    SchemeLabel, ShoutFailure, ShoutSource,
};
pub use self::log_lines::{DroppedLines, LogMetrics};
pub use self::shouts::{CacheMetrics, ShoutMetrics, ShoutRecord};
pub use self::upstream::{AttemptLabels, GaugeGuard, UpstreamMetrics};
pub use self::valkey::ValkeyMetrics;

use self::histogram_cache::HistogramCache;
use self::runtime::ProcessMetrics;

/// Bucket boundaries in seconds: those of OpenTelemetry's HTTP conventions, four below their lowest of 5 ms,
/// because a response that does not wait for the upstream takes less, and 1.5 and 2, because the attempt timeout and
/// the breaker's slow calls are there: without them a constant 1.8 s would be reported as nearly 2.5 s.
const BUCKETS: [f64; 19] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0,
    2.5, 5.0, 10.0,
];

/// All metrics of the process.
pub struct Metrics {
    handle: PrometheusHandle,
    recorder: Arc<PrometheusRecorder>,
    /// Connections to the public listener.
    pub connections: ConnectionMetrics,
    /// Requests to the public listener.
    pub http: HttpMetrics,
    /// Authentication.
    pub auth: AuthMetrics,
    /// Dropped spans.
    pub spans: SpanMetrics,
    quotas: HashMap<String, QuotaCounters, RandomState>,
    /// Requests shed because of overload.
    pub overloaded: Counter,
    /// Authenticated requests for a shout.
    pub shouts: Arc<ShoutMetrics>,
    /// The shout cache.
    pub cache: CacheMetrics,
    process: ProcessMetrics,
    /// Dropped log lines.
    pub log: LogMetrics,
}

impl Metrics {
    /// Registers all metrics. Each of `client_ids` gets its own series, all other clients share `other`.
    pub fn new(client_ids: &[String]) -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
            .expect("the list of buckets is not empty")
            .build_recorder();
        let recorder = Arc::new(recorder);
        let registry = Registry(&recorder);
        registry
            .gauge(
                "shoutback_build_info",
                "Always 1; the labels identify the build.",
                &[
                    ("version", version::VERSION),
                    ("commit", version::COMMIT),
                    ("rustc", version::RUSTC),
                ],
            )
            .set(1.0);
        let clients = || {
            client_ids
                .iter()
                .map(String::as_str)
                .chain(["anonymous", "other"])
        };
        let quotas = clients()
            .map(|client| (client.to_owned(), QuotaCounters::new(&registry, client)))
            .collect();
        Self {
            handle: recorder.handle(),
            connections: ConnectionMetrics::new(&registry),
            http: HttpMetrics::new(Arc::clone(&recorder)),
            auth: AuthMetrics::new(&registry),
            spans: SpanMetrics::new(&registry),
            quotas,
            overloaded: registry.counter(
                "shoutback_overloaded_total",
                "Requests shed because too many were in flight or queued.",
                &[],
            ),
            shouts: ShoutMetrics::new(&recorder, clients()).into(),
            cache: CacheMetrics::new(&registry),
            process: ProcessMetrics::new(),
            log: LogMetrics::new(&registry),
            recorder,
        }
    }

    /// Returns the metrics of one user pool's keys.
    pub fn keys(&self, pool: &str) -> KeyMetrics {
        KeyMetrics::new(&Registry(&self.recorder), pool)
    }

    /// Returns the metrics of calls to SHOUTCLOUD at this host and port; `attempts` are the label sets to register at zero.
    pub fn upstream(
        &self,
        server_address: &str,
        server_port: u16,
        attempts: &[AttemptLabels],
    ) -> UpstreamMetrics {
        UpstreamMetrics::new(&self.recorder, (server_address, server_port), attempts)
    }

    /// Returns the metrics of Valkey. They are exported only if it is configured.
    pub fn valkey(&self) -> ValkeyMetrics {
        ValkeyMetrics::new(&Registry(&self.recorder))
    }

    /// Exports a configured limit. One that is not configured has no series: 0 would read as saturated.
    pub fn set_limit(&self, limit: Limit, value: f64) {
        let help = "Configured limits, for comparison with what they limit.";
        let labels = [("limit", limit.as_str())];
        Registry(&self.recorder)
            .gauge("shoutback_limit", help, &labels)
            .set(value);
    }

    /// Counts a request of which the quota was checked, on any route.
    pub fn record_quota(&self, client_id: &str, is_rejected: bool) {
        let Some(counters) = self.quotas.get(client_id).or_else(|| self.quotas.get("other")) else {
            return;
        };
        counters.requests.increment(1);
        if is_rejected {
            counters.rejected.increment(1);
        }
    }

    /// Renders all metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.log.update();
        let mut text = self.handle.render();
        self.process.render(&mut text);
        text
    }

    /// Aggregates histogram samples periodically, until dropped. Without this they accumulate until the next scrape.
    pub async fn run_upkeep(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            self.handle.run_upkeep();
        }
    }
}

/// Requests of a client of which the quota was checked.
struct QuotaCounters {
    requests: Counter,
    rejected: Counter,
}

impl QuotaCounters {
    fn new(registry: &Registry, client: &str) -> Self {
        let labels = [("client_id", client)];
        Self {
            requests: registry.counter(
                "shoutback_quota_requests_total",
                "Requests that took one from the quota of their client, or were rejected because there was none.",
                &labels,
            ),
            rejected: registry.counter(
                "shoutback_rate_limited_total",
                "Requests rejected because the client exceeded its rate limit.",
                &labels,
            ),
        }
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Describes metrics and registers series.
struct Registry<'a>(&'a PrometheusRecorder);

impl Registry<'_> {
    fn counter(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.0
            .describe_counter(KeyName::from_const_str(name), None, help.into());
        self.0.register_counter(&key(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.0
            .describe_gauge(KeyName::from_const_str(name), None, help.into());
        let gauge = self.0.register_gauge(&key(name, labels), &METADATA);
        gauge.set(0.0);
        gauge
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    Key::from_parts(
        name,
        labels
            .iter()
            .map(|(name, value)| Label::new(*name, (*value).to_owned()))
            .collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::{AttemptLabels, HttpLabels, Limit, MethodLabel, Metrics, ProtocolLabel, SchemeLabel};

    #[tokio::test]
    async fn the_docs_list_exactly_the_exported_metrics() {
        let metrics = Metrics::new(&[]);
        _ = metrics.keys("us-east-2_a");
        let success = AttemptLabels {
            status: Some(200),
            error: None,
        };
        _ = metrics.upstream("api.shoutcloud.io", 80, &[success]);
        _ = metrics.valkey();
        metrics.set_limit(Limit::Connections, 1.0);
        metrics.http.preregister(vec![HttpLabels {
            method: MethodLabel::Get,
            route: "/",
            status: Some(307),
            error_type: None,
            scheme: SchemeLabel::Http,
            protocol: ProtocolLabel::Http11,
        }]);
        let rendered = metrics.render();
        let mut emitted: Vec<_> = rendered
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        let docs = include_str!("../../docs/metrics.md");
        let mut documented: Vec<_> = docs
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        emitted.sort_unstable();
        documented.sort_unstable();
        assert_eq!(
            documented, emitted,
            "the rows of docs/metrics.md, and the exported metrics"
        );
    }

    #[test]
    fn series_are_exported_at_zero_before_the_first_event() {
        let metrics = Metrics::new(&["app".to_owned()]);
        let rendered = metrics.render();
        for series in [
            "shoutback_auth_total{outcome=\"accepted\"} 0",
            "shoutback_auth_total{outcome=\"expired\"} 0",
            "shoutback_quota_requests_total{client_id=\"app\"} 0",
            "shoutback_rate_limited_total{client_id=\"app\"} 0",
            "shoutback_otlp_spans_dropped_total{reason=\"export_failed\"} 0",
            "shoutback_otlp_spans_dropped_total{reason=\"queue_full\"} 0",
            "shoutback_token_cache_total{result=\"hit\"} 0",
            "shoutback_shouts_total{client_id=\"app\",outcome=\"success\",source=\"cache\"} 0",
            "shoutback_shouts_total{client_id=\"other\",outcome=\"overloaded\",source=\"coalesced\"} 0",
            "shoutback_shout_duration_seconds_count{source=\"stale\"} 0",
            "shoutback_cache_requests_total{result=\"miss\"} 0",
            "shoutback_log_lines_dropped_total 0",
            "http_server_active_requests{http_request_method=\"POST\"} 0",
        ] {
            assert!(
                rendered.lines().any(|line| line == series),
                "{series}:\n{rendered}"
            );
        }
    }
}
