//! The bounded queue of ended spans. Putting a span into it never blocks: if the queue is full, the span is dropped and
//! counted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::SpanMetrics;

/// The sending half. Cheap to clone; all clones share the queue.
#[derive(Clone)]
pub(super) struct SpanQueue {
    spans: mpsc::Sender<SpanData>,
    batch_size: usize,
    signals: Arc<Signals>,
    metrics: SpanMetrics,
}

/// The receiving half.
pub(super) struct SpanReceiver {
    pub(super) spans: mpsc::Receiver<SpanData>,
    pub(super) signals: Arc<Signals>,
}

/// Signals between the queue and the export task. A single queued span does not wake the task.
#[derive(Default)]
pub(super) struct Signals {
    /// A full batch is queued.
    pub(super) batch_full: Notify,
    /// The process is shutting down: queued spans are exported now, without retries.
    pub(super) flush_requested: CancellationToken,
    /// The spans that were queued at the request have been exported or dropped.
    pub(super) flushed: CancellationToken,
}

impl SpanQueue {
    pub(super) fn new(capacity: usize, batch_size: usize, metrics: SpanMetrics) -> (Self, SpanReceiver) {
        let (sender, receiver) = mpsc::channel(capacity);
        let signals = Arc::new(Signals::default());
        let receiver = SpanReceiver {
            spans: receiver,
            signals: Arc::clone(&signals),
        };
        let queue = Self {
            spans: sender,
            batch_size,
            signals,
            metrics,
        };
        (queue, receiver)
    }

    /// Has the export task export all queued spans, and waits for it.
    pub(super) async fn flush(&self) {
        self.signals.flush_requested.cancel();
        self.signals.flushed.cancelled().await;
    }

    fn len(&self) -> usize {
        self.spans.max_capacity() - self.spans.capacity()
    }
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        match self.spans.try_send(span) {
            Ok(()) if self.len() >= self.batch_size => self.signals.batch_full.notify_one(),
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.metrics.queue_full.increment(1),
            Err(TrySendError::Closed(_)) => self.metrics.export_failed.increment(1),
        }
    }

    /// Does nothing, because it must not block: see [`SpanQueue::flush`].
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// Does nothing, for the same reason.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl fmt::Debug for SpanQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanQueue").field("len", &self.len()).finish()
    }
}
