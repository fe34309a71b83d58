//! Exports queued spans in batches, one at a time.

use std::time::Duration;

use opentelemetry_sdk::Resource;
use tokio::time::sleep;

use super::otlp::{CollectorClient, ExporterBuildError};
use super::span_queue::{SpanQueue, SpanReceiver};
use crate::config::Exporter;
use crate::telemetry::metrics::SpanMetrics;

/// Exports spans while [`ExportTask::run`] runs.
pub struct ExportTask {
    queue: SpanReceiver,
    collector: CollectorClient,
    batch_size: usize,
    delay: Duration,
    metrics: SpanMetrics,
    /// Whether the last batch failed or was rejected in part. Only the first of consecutive failures is logged.
    is_failing: bool,
}

pub(super) fn new(
    config: &Exporter,
    resource: &Resource,
    metrics: &SpanMetrics,
) -> Result<(SpanQueue, ExportTask), ExporterBuildError> {
    let (queue, receiver) = SpanQueue::new(config.max_queue_size, config.max_batch_size, metrics.clone());
    let collector = CollectorClient::new(config, resource, &receiver.signals.flush_requested)?;
    let task = ExportTask {
        queue: receiver,
        collector,
        batch_size: config.max_batch_size,
        delay: config.schedule_delay,
        metrics: metrics.clone(),
        is_failing: false,
    };
    Ok((queue, task))
}

impl ExportTask {
    /// Exports spans until dropped.
    pub async fn run(mut self) {
        let signals = std::sync::Arc::clone(&self.queue.signals);
        loop {
            let queued = tokio::select! {
                biased;
                () = signals.flush_requested.cancelled(), if !signals.flushed.is_cancelled() => {
                    self.export_first(self.queue.spans.len()).await;
                    signals.flushed.cancel();
                    continue;
                }
                () = signals.batch_full.notified() => {
                    let queued = self.queue.spans.len();
                    queued - queued % self.batch_size
                }
                () = sleep(self.delay) => self.queue.spans.len(),
            };
            self.export_first(queued).await;
        }
    }

    /// Exports the first `remaining` queued spans. Spans that are queued meanwhile are left for the next call.
    async fn export_first(&mut self, mut remaining: usize) {
        while remaining > 0 {
            let mut batch = Vec::new();
            let count = self
                .queue
                .spans
                .recv_many(&mut batch, remaining.min(self.batch_size))
                .await;
            if count == 0 {
                return;
            }
            remaining = remaining.saturating_sub(count);
            let outcome = self.collector.export(batch).await;
            self.record(count as u64, outcome);
        }
    }

    /// Counts the dropped spans of a batch and logs when export starts to fail or works again.
    fn record(&mut self, spans: u64, outcome: Result<u64, String>) {
        let was_failing = std::mem::replace(&mut self.is_failing, !matches!(outcome, Ok(0)));
        let dropped = match &outcome {
            Ok(rejected) => spans.min(*rejected),
            Err(_) => spans,
        };
        self.metrics.export_failed.increment(dropped);
        match outcome {
            Err(failure) if !was_failing => tracing::warn!(
                event.action = "traces",
                event.kind = "event",
                error.message = failure,
                "cannot export spans; dropping them (further failures are counted, not logged)"
            ),
            Ok(rejected) if rejected > 0 && !was_failing => tracing::warn!(
                event.action = "traces",
                event.kind = "event",
                "the collector rejected spans (further rejections are counted, not logged)"
            ),
            Ok(0) if was_failing => tracing::info!(
                event.action = "traces",
                event.kind = "event",
                "span export works again"
            ),
            _ => {}
        }
    }
}
