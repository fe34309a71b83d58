//! The process as the operating system sees it, and tokio's runtime. Names and help are those of the crates that know how.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusRecorder;
use metrics_process::Collector;
use tokio_metrics::RuntimeMetricsReporterBuilder;

/// What the runtime did is read this often: Prometheus asks every 15 s at most places, and more often at some.
const INTERVAL: Duration = Duration::from_secs(5);

/// Figures of the process, which are read when somebody scrapes.
pub(super) struct ProcessMetrics(Collector);

impl ProcessMetrics {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let collector = Collector::default();
        metrics::with_local_recorder(recorder, || collector.describe());
        Self(collector)
    }

    pub(super) fn collect(&self, recorder: &PrometheusRecorder) {
        metrics::with_local_recorder(recorder, || self.0.collect());
    }
}

/// Reports on the runtime that this is called in, again and again, until dropped.
pub(super) fn watch_runtime(recorder: &Arc<PrometheusRecorder>) -> impl Future<Output = ()> + use<> {
    let reporter = metrics::with_local_recorder(recorder, || {
        RuntimeMetricsReporterBuilder::default()
            .with_interval(INTERVAL)
            .describe()
            .build()
    });
    reporter.run()
}
