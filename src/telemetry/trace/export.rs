//! Sends what waits in the queue, in batches, one after the other.

use std::time::Duration;

use opentelemetry_sdk::Resource;
use tokio::time::sleep;

use super::otlp::{NoExporter, Otlp};
use super::queue::{Queue, Waiting};
use crate::config::Exporter;
use crate::telemetry::metrics::SpanMetrics;

/// The sender of spans: [`Exports::run`] has to run for as long as there are any.
pub struct Exports {
    waiting: Waiting,
    collector: Otlp,
    batch: usize,
    delay: Duration,
    metrics: SpanMetrics,
    /// Whether the last batch was not delivered: of those that follow each other only the first is logged.
    is_failing: bool,
}

pub(super) fn start(
    config: &Exporter,
    resource: &Resource,
    metrics: &SpanMetrics,
) -> Result<(Queue, Exports), NoExporter> {
    let (queue, waiting) = Queue::new(config.max_queue_size, config.max_batch_size, metrics.clone());
    let collector = Otlp::new(config, resource, &waiting.signals.last_call)?;
    let exports = Exports {
        waiting,
        collector,
        batch: config.max_batch_size,
        delay: config.schedule_delay,
        metrics: metrics.clone(),
        is_failing: false,
    };
    Ok((queue, exports))
}

impl Exports {
    /// Sends spans until it is dropped.
    pub async fn run(mut self) {
        let signals = std::sync::Arc::clone(&self.waiting.signals);
        loop {
            let waiting = tokio::select! {
                biased;
                () = signals.last_call.cancelled(), if !signals.is_over.is_cancelled() => {
                    self.send_first(self.waiting.spans.len()).await;
                    signals.is_over.cancel();
                    continue;
                }
                () = signals.batch_is_full.notified() => {
                    let waiting = self.waiting.spans.len();
                    waiting - waiting % self.batch
                }
                () = sleep(self.delay) => self.waiting.spans.len(),
            };
            self.send_first(waiting).await;
        }
    }

    /// Sends so many of those that wait. Who comes meanwhile waits for the next time.
    async fn send_first(&mut self, mut left: usize) {
        while left > 0 {
            let mut batch = Vec::new();
            let number = self
                .waiting
                .spans
                .recv_many(&mut batch, left.min(self.batch))
                .await;
            if number == 0 {
                return;
            }
            left = left.saturating_sub(number);
            let delivered = self.collector.deliver(batch).await;
            self.account(number as u64, delivered);
        }
    }

    fn account(&mut self, spans: u64, delivered: Result<u64, String>) {
        let was_failing = std::mem::replace(&mut self.is_failing, !matches!(delivered, Ok(0)));
        let dropped = match &delivered {
            Ok(refused) => spans.min(*refused),
            Err(_) => spans,
        };
        self.metrics.export_failed.increment(dropped);
        match delivered {
            Err(failure) if !was_failing => tracing::warn!(
                event.action = "traces",
                event.kind = "event",
                error.message = failure,
                "spans cannot be delivered and are dropped; so are further ones, which are counted and not logged"
            ),
            Ok(refused) if refused > 0 && !was_failing => tracing::warn!(
                event.action = "traces",
                event.kind = "event",
                "the collector refuses spans; so it may further ones, which are counted and not logged"
            ),
            Ok(0) if was_failing => tracing::info!(
                event.action = "traces",
                event.kind = "event",
                "spans are delivered again"
            ),
            _ => {}
        }
    }
}
