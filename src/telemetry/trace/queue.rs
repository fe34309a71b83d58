//! Where recorded spans wait: bounded, and nobody waits to get in.

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

/// The way in. Cheap to clone; all clones are the same queue.
#[derive(Clone)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    batch: usize,
    signals: Arc<Signals>,
    metrics: SpanMetrics,
}

/// The way out.
pub(super) struct Waiting {
    pub(super) spans: mpsc::Receiver<SpanData>,
    pub(super) signals: Arc<Signals>,
}

/// What the one who sends spans is told. A span by itself wakes nobody.
#[derive(Default)]
pub(super) struct Signals {
    /// As many wait as are sent at once.
    pub(super) batch_is_full: Notify,
    /// The process ends: what waits is sent now, and nothing is tried twice.
    pub(super) last_call: CancellationToken,
    /// What was waiting when the last call came was sent, or could not be.
    pub(super) is_over: CancellationToken,
}

impl Queue {
    /// One in which `most` spans may wait, and of which `batch` are sent at once.
    pub(super) fn new(most: usize, batch: usize, metrics: SpanMetrics) -> (Self, Waiting) {
        let (spans, waiting) = mpsc::channel(most);
        let signals = Arc::new(Signals::default());
        let waiting = Waiting {
            spans: waiting,
            signals: Arc::clone(&signals),
        };
        let queue = Self {
            spans,
            batch,
            signals,
            metrics,
        };
        (queue, waiting)
    }

    /// Has everything sent that waits now, and waits for that.
    pub(super) async fn flush(&self) {
        self.signals.last_call.cancel();
        self.signals.is_over.cancelled().await;
    }

    fn waiting(&self) -> usize {
        self.spans.max_capacity() - self.spans.capacity()
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        match self.spans.try_send(span) {
            Ok(()) if self.waiting() >= self.batch => self.signals.batch_is_full.notify_one(),
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.metrics.queue_full.increment(1),
            Err(TrySendError::Closed(_)) => self.metrics.export_failed.increment(1),
        }
    }

    /// See [`Queue::flush`]: this one may not block.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// The same.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting()).finish()
    }
}
