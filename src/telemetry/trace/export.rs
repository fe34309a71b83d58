//! Sends what waits in the queue, in batches, one after the other.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_sdk::Resource;
use tokio::time::{Instant, sleep, timeout_at};

use super::otlp::{Failure, Otlp};
use super::queue::{Queue, Waiting};
use crate::config::Exporter;
use crate::telemetry::metrics::SpanMetrics;

/// Before a batch is sent again, doubled each time: as OpenTelemetry's exporters have it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The sender of spans: [`Exports::run`] has to run for as long as there are any.
pub struct Exports {
    waiting: Waiting,
    collector: Otlp,
    batch: usize,
    delay: Duration,
    /// For one attempt, and for all of a batch's.
    timeouts: [Duration; 2],
    metrics: SpanMetrics,
    /// Whether the last batch was not delivered: of those that follow each other only the first is logged.
    is_failing: bool,
}

pub(super) fn start(
    config: &Exporter,
    resource: &Resource,
    metrics: &SpanMetrics,
) -> Result<(Queue, Exports), reqwest::Error> {
    let (queue, waiting) = Queue::new(config.max_queue_size, config.max_batch_size, metrics.clone());
    let exports = Exports {
        waiting,
        collector: Otlp::new(config, resource)?,
        batch: config.max_batch_size,
        delay: config.schedule_delay,
        timeouts: [config.timeout, config.export_timeout],
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
            let body = self.collector.encode(batch);
            let delivered = self.deliver(body).await;
            self.account(number as u64, delivered);
        }
    }

    /// Sends a batch until it has arrived, cannot arrive, or is too late; returns how many of its spans were refused.
    async fn deliver(&self, body: Bytes) -> Result<u64, Failure> {
        let [attempt, all] = self.timeouts;
        let last_call = &self.waiting.signals.last_call;
        let end = Instant::now() + all;
        let mut wait = FIRST_WAIT;
        loop {
            let late = end.min(Instant::now() + attempt);
            let sent = timeout_at(late, self.collector.send(body.clone())).await;
            let failure = match sent.unwrap_or(Err(Failure::Timeout)) {
                Ok(refused) => return Ok(refused),
                Err(failure) => failure,
            };
            // Replicas that lost their collector together must not come back together.
            let pause = wait
                .mul_f64(rand::random_range(0.5..=1.0))
                .max(failure.retry_after());
            let is_too_late = Instant::now() + pause >= end;
            if !failure.may_pass() || is_too_late || last_call.is_cancelled() {
                return Err(failure);
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = last_call.cancelled() => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn account(&mut self, spans: u64, delivered: Result<u64, Failure>) {
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
                error.message = %failure,
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
