//! A bounded queue of log lines and the thread that writes them to a sink. Pushing never blocks: if the queue is full,
//! the line is dropped and counted.
//!
//! Pending lines are stored back to back in one buffer, which the thread swaps for an empty one: a line costs a copy
//! and no allocation, and one write takes all pending lines.

mod health;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::MAX_LINE;
use crate::telemetry::metrics::DroppedLines;

use self::health::SinkHealth;

/// The limits of pending lines. While the thread writes, it holds as much again.
const MAX_BYTES: usize = 4 << 20;
const MAX_LINES: usize = 8 << 10;
/// How long the thread waits for more lines before it writes: it wakes up a hundred times per second at most.
const FLUSH_INTERVAL: Duration = Duration::from_millis(10);
/// The thread writes without waiting once this much is pending.
const BATCH_BYTES: usize = 64 << 10;
/// The capacity that an empty buffer retains.
const RETAINED_BYTES: usize = 256 << 10;

/// The destination of lines.
pub(super) trait Sink: Send + 'static {
    /// Writes whole lines.
    fn write(&mut self, lines: &[u8]) -> Result<(), WriteError>;

    /// Called when writes begin to fail, in addition to the report in the log.
    fn on_failing(&mut self, _: &io::Error) {}
}

/// A failed write.
#[derive(Debug)]
pub(super) struct WriteError {
    /// The number of lines that were not written.
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

/// Returns the number of lines in `bytes`.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// A queue and its thread. Cheap to clone; all clones share the queue.
#[derive(Clone)]
pub(super) struct LineQueue(Arc<Shared>);

struct Shared {
    sink_name: &'static str,
    pending: Mutex<Pending>,
    /// Lines were pushed, or the queue was closed.
    changed: Condvar,
    finished: Condvar,
    /// Lines dropped by this queue since its last report.
    unreported: AtomicU64,
    dropped: DroppedLines,
}

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    count: usize,
    is_closed: bool,
    is_finished: bool,
}

impl LineQueue {
    /// Starts the thread. If that fails, lines are dropped once the queue is full.
    pub(super) fn start(sink_name: &'static str, sink: impl Sink, dropped: DroppedLines) -> Self {
        let shared = Arc::new(Shared {
            sink_name,
            pending: Mutex::default(),
            changed: Condvar::new(),
            finished: Condvar::new(),
            unreported: AtomicU64::new(0),
            dropped,
        });
        let writer = Arc::clone(&shared);
        let thread = thread::Builder::new().name(format!("log to {sink_name}"));
        _ = thread.spawn(move || writer.run_writer(sink));
        Self(shared)
    }

    /// Pushes a line, including its newline, or drops it if the queue is full.
    pub(super) fn push(&self, line: &[u8]) {
        let mut pending = self.0.lock();
        let before = pending.lines.len();
        let is_full = pending.count == MAX_LINES || before + line.len() > MAX_BYTES;
        if is_full || pending.is_finished || line.len() > MAX_LINE {
            drop(pending);
            return self.0.count_dropped(1);
        }
        pending.lines.extend_from_slice(line);
        pending.count += 1;
        drop(pending);
        // The thread waits for the first line and then for a batch: only the pushes that complete one of them wake it.
        if before == 0 || (before < BATCH_BYTES && before + line.len() >= BATCH_BYTES) {
            self.0.changed.notify_one();
        }
    }

    /// Makes the thread finish once all pending lines are written.
    pub(super) fn close(&self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_one();
    }

    /// Blocks until the thread has finished or `deadline` has passed: a write to a pipe without a reader never returns.
    pub(super) fn wait_until_finished(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let pending = self.0.lock();
        let finished = self
            .0
            .finished
            .wait_timeout_while(pending, left, |pending| !pending.is_finished);
        drop(finished);
    }
}

impl Shared {
    /// A poisoned lock is safe to use: no code that can panic runs while it is held.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_dropped(&self, lines: u64) {
        self.dropped.add(lines);
        self.unreported.fetch_add(lines, Ordering::Relaxed);
    }

    /// Runs the thread.
    fn run_writer(&self, mut sink: impl Sink) {
        let mut lines = Vec::new();
        let mut health = SinkHealth::default();
        while self.take_pending(&mut lines) {
            // The queue has just been emptied, so the report fits.
            self.report_dropped(&mut health);
            match sink.write(&lines) {
                Ok(()) => {
                    health.set_healthy();
                    self.report_dropped(&mut health);
                }
                Err(failed) => {
                    self.count_dropped(failed.lines);
                    if health.begin_failing() {
                        sink.on_failing(&failed.error);
                        health::log_write_error(self.sink_name, &failed.error);
                    }
                }
            }
            lines.clear();
            lines.shrink_to(RETAINED_BYTES);
        }
        self.finished.notify_all();
    }

    /// Takes all pending lines; `lines` must be empty. Returns false once the queue is closed and drained.
    fn take_pending(&self, lines: &mut Vec<u8>) -> bool {
        let is_idle = |pending: &mut Pending| pending.count == 0 && !pending.is_closed;
        let pending = self.changed.wait_while(self.lock(), is_idle);
        let pending = pending.unwrap_or_else(PoisonError::into_inner);
        let is_small = |pending: &mut Pending| pending.lines.len() < BATCH_BYTES && !pending.is_closed;
        let pending = self.changed.wait_timeout_while(pending, FLUSH_INTERVAL, is_small);
        let (mut pending, _) = pending.unwrap_or_else(PoisonError::into_inner);
        pending.count = 0;
        std::mem::swap(&mut pending.lines, lines);
        pending.is_finished = lines.is_empty();
        !pending.is_finished
    }

    /// Logs how many lines were dropped, once the sink works and the queue has capacity again, or is closed.
    fn report_dropped(&self, health: &mut SinkHealth) {
        if health.is_failing() || self.unreported.load(Ordering::Relaxed) == 0 {
            return;
        }
        let pending = self.lock();
        let (has_capacity, is_closed) = (pending.count < MAX_LINES / 2, pending.is_closed);
        drop(pending);
        if has_capacity && (health.is_drop_report_due() || is_closed) {
            let lines = self.unreported.swap(0, Ordering::Relaxed);
            health::log_dropped(self.sink_name, lines);
        }
    }
}

#[cfg(test)]
mod tests;
