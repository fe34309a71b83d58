//! Every metric, in one struct that is handed to whoever records.
//!
//! Names are OpenTelemetry's stable HTTP conventions where they exist, in Prometheus' spelling. Labels are bounded, and
//! every series is registered at zero, so that a rate over it is right from the first event on. A metric's help text is
//! its declaration here.

mod auth;
mod http;
mod known;
mod log;
mod runtime;
mod shouts;
mod spans;
mod upstream;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::version;

pub use self::auth::{AuthMetrics, KeyMetrics};
pub use self::http::{HttpLabels, HttpMetrics};
pub use self::log::LogMetrics;
pub use self::shouts::{CacheMetrics, ShoutAccount, ShoutMetrics};
pub use self::spans::SpanMetrics;
pub use self::upstream::{AttemptLabels, GaugeGuard, UpstreamMetrics};

use self::known::Known;
use self::runtime::ProcessMetrics;

/// The boundaries of OpenTelemetry's HTTP conventions, and a few below them: an answer that does not wait for the
/// upstream takes less than their first, 5 ms.
const SECONDS: [f64; 17] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    10.0,
];

/// Every metric of the process.
pub struct Metrics {
    handle: PrometheusHandle,
    recorder: Arc<PrometheusRecorder>,
    /// Requests to the public listener.
    pub http: HttpMetrics,
    /// Decisions about tokens.
    pub auth: AuthMetrics,
    /// Spans that were not delivered.
    pub spans: SpanMetrics,
    rate_limited: HashMap<String, Counter>,
    /// Requests refused for want of room.
    pub overloaded: Counter,
    /// Requests that reached the domain.
    pub shouts: Arc<ShoutMetrics>,
    /// The cache of shouts.
    pub cache: CacheMetrics,
    process: ProcessMetrics,
    /// Log lines that were lost.
    pub log: LogMetrics,
}

impl Metrics {
    /// Registers everything. `client_ids` are the clients that get a series of their own, all others share `other`;
    /// `refusals` are the reasons for which a request is not let in, `failures` the problems for which there is no shout.
    pub fn new(client_ids: &[String], refusals: &[&'static str], failures: &[&'static str]) -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("there are boundaries")
            .build_recorder();
        let recorder = Arc::new(recorder);
        let register = Register(&recorder);
        register
            .gauge(
                "shoutback_build_info",
                "Always 1; which build this is.",
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
        let rate_limited = clients()
            .map(|client| {
                let help = "Requests refused because their client's quota was used up.";
                (
                    client.to_owned(),
                    register.counter("shoutback_rate_limited_total", help, &[("client_id", client)]),
                )
            })
            .collect();
        Self {
            handle: recorder.handle(),
            http: HttpMetrics::new(Arc::clone(&recorder)),
            auth: AuthMetrics::new(&register, refusals),
            spans: SpanMetrics::new(&register),
            rate_limited,
            overloaded: register.counter(
                "shoutback_overloaded_total",
                "Requests refused because as many as may be were under way or waiting.",
                &[],
            ),
            shouts: ShoutMetrics::new(&recorder, clients(), failures).into(),
            cache: CacheMetrics::new(&register),
            process: ProcessMetrics::new(&recorder),
            log: LogMetrics::new(&register),
            recorder,
        }
    }

    /// The metrics of one pool's keys.
    pub fn keys(&self, pool: &str) -> KeyMetrics {
        KeyMetrics::new(&Register(&self.recorder), pool)
    }

    /// The metrics of the calls to SHOUTCLOUD at this host; `attempts` are the ends of attempts that get a series at once,
    /// `reasons` those after which another is made.
    pub fn upstream(
        &self,
        server_address: &str,
        attempts: &[AttemptLabels],
        reasons: &[&'static str],
    ) -> UpstreamMetrics {
        UpstreamMetrics::new(&self.recorder, server_address, attempts, reasons)
    }

    /// Counts a refusal for want of quota.
    pub fn rate_limited(&self, client_id: &str) {
        let counter = self
            .rate_limited
            .get(client_id)
            .or_else(|| self.rate_limited.get("other"));
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.process.collect(&self.recorder);
        self.log.update();
        self.handle.render()
    }

    /// Reports on the runtime that this is called in, until dropped.
    pub fn watch_runtime(&self) -> impl Future<Output = ()> + use<> {
        runtime::watch_runtime(&self.recorder)
    }

    /// Folds samples into histograms, again and again, until dropped: else they pile up until somebody scrapes.
    pub async fn keep_up(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        loop {
            tick.tick().await;
            self.handle.run_upkeep();
        }
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Describes and registers series.
struct Register<'a>(&'a PrometheusRecorder);

impl Register<'_> {
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
    use super::{AttemptLabels, HttpLabels, Metrics};

    #[tokio::test]
    async fn the_page_has_every_metric_and_no_other() {
        let metrics = Metrics::new(&[], &[], &[]);
        drop(metrics.watch_runtime());
        _ = metrics.keys("us-east-2_a");
        let shout = AttemptLabels {
            status: Some(200),
            error_type: "",
        };
        _ = metrics.upstream("api.shoutcloud.io", &[shout], &["timeout"]);
        metrics.http.expect(HttpLabels {
            method: "GET",
            route: "/",
            status: Some(307),
            error_type: "",
        });
        let rendered = metrics.render();
        let mut emitted: Vec<_> = rendered
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        let page = include_str!("../../docs/metrics.md");
        let mut documented: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        emitted.sort_unstable();
        documented.sort_unstable();
        assert_eq!(documented, emitted);
    }

    #[test]
    fn every_series_is_there_at_zero() {
        let metrics = Metrics::new(&["app".to_owned()], &["expired"], &["overloaded"]);
        let rendered = metrics.render();
        for series in [
            "shoutback_auth_total{outcome=\"accepted\"} 0",
            "shoutback_auth_total{outcome=\"expired\"} 0",
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
