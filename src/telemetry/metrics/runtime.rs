//! Metrics of the process and of the tokio runtime. Their names and help texts are those of metrics-process and
//! tokio-metrics.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusRecorder;
use metrics_process::Collector;
use tokio_metrics::RuntimeMetricsReporterBuilder;

/// How often the runtime's metrics are sampled: more often than the usual scrape interval of 15 s.
const INTERVAL: Duration = Duration::from_secs(5);

/// Metrics of the process, read at each scrape.
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

/// Samples the metrics of the current runtime every [`INTERVAL`], until dropped.
pub(super) fn report_runtime(recorder: &Arc<PrometheusRecorder>) -> impl Future<Output = ()> + use<> {
    let reporter = metrics::with_local_recorder(recorder, || {
        RuntimeMetricsReporterBuilder::default()
            .with_interval(INTERVAL)
            .describe()
            .build()
    });
    reporter.run()
}
