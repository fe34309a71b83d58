//! Lines on their way to a thread that writes them. Whoever has a line never waits: if there is no room, it is dropped and
//! counted.
//!
//! Lines stand one after the other in one buffer, which the thread takes whole and leaves empty: a line costs a copy and
//! no allocation, and a write takes as many lines as have come.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::MAX_LINE;

/// Of lines that wait. The thread holds as much again while it writes.
const MAX_BYTES: usize = 4 << 20;
const MAX_LINES: usize = 8 << 10;
/// For more lines to come before the thread writes what there is: it is woken a hundred times a second at most.
const LINGER: Duration = Duration::from_millis(10);
/// So much is written at once.
const ENOUGH: usize = 64 << 10;
/// What a buffer keeps when it is empty.
const KEPT: usize = 256 << 10;
/// Between two lines about lines that were dropped.
const BETWEEN_REPORTS: Duration = Duration::from_secs(1);

/// Counts lines that were lost. Cheap to clone; all clones are the same count.
#[derive(Debug, Clone, Default)]
pub struct Dropped(Arc<AtomicU64>);

impl Dropped {
    /// Since the process began.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }
}

/// Where lines end up.
pub(super) trait Sink: Send + 'static {
    /// Writes whole lines.
    fn write(&mut self, lines: &[u8]) -> Result<(), Lost>;

    /// Told once when lines begin to be lost, beside the line in the log.
    fn failing(&mut self, _: &io::Error) {}
}

/// Lines that could not be written.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

/// How many lines `bytes` are.
pub(super) fn count(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// A queue and its thread. Cheap to clone; all clones are the same queue.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    name: &'static str,
    waiting: Mutex<Waiting>,
    /// Something has come, or the end.
    changed: Condvar,
    ended: Condvar,
    /// By this queue, since its last report.
    unreported: AtomicU64,
    dropped: Dropped,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    count: usize,
    is_closed: bool,
    has_ended: bool,
}

impl Queue {
    /// Starts the thread. Should there be none to be had, lines are dropped once the queue is full.
    pub(super) fn start(name: &'static str, sink: impl Sink, dropped: Dropped) -> Self {
        let shared = Arc::new(Shared {
            name,
            waiting: Mutex::default(),
            changed: Condvar::new(),
            ended: Condvar::new(),
            unreported: AtomicU64::new(0),
            dropped,
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name(format!("log to {name}"));
        _ = thread.spawn(move || of_thread.write_all(sink));
        Self(shared)
    }

    /// Takes a line, its end included, if there is room for it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.0.lock();
        let before = waiting.lines.len();
        let is_full = waiting.count == MAX_LINES || before + line.len() > MAX_BYTES;
        if is_full || waiting.is_closed || line.len() > MAX_LINE {
            drop(waiting);
            return self.0.lost(1);
        }
        waiting.lines.extend_from_slice(line);
        waiting.count += 1;
        drop(waiting);
        // The thread waits for the first line, then for enough of them: nobody else has to wake it.
        if before == 0 || (before < ENOUGH && before + line.len() >= ENOUGH) {
            self.0.changed.notify_one();
        }
    }

    /// Takes no more lines; the thread ends once the others are written.
    pub(super) fn close(&self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_one();
    }

    /// Waits for the thread's end, until `deadline`: a pipe that nobody reads would never let it come.
    pub(super) fn ended_by(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let waiting = self.0.lock();
        let ended = self
            .0
            .ended
            .wait_timeout_while(waiting, left, |waiting| !waiting.has_ended);
        drop(ended);
    }
}

impl Shared {
    /// Nothing that can panic runs under the lock, so what it guards is whole.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, lines: u64) {
        self.dropped.add(lines);
        self.unreported.fetch_add(lines, Ordering::Relaxed);
    }

    /// The thread.
    fn write_all(&self, mut sink: impl Sink) {
        let mut lines = Vec::new();
        let mut health = Health::default();
        while self.take(&mut lines) {
            match sink.write(&lines) {
                Ok(()) => self.wrote(&mut health),
                Err(lost) => {
                    self.lost(lost.lines);
                    if !health.is_failing {
                        health.is_failing = true;
                        sink.failing(&lost.error);
                        self.tell_failing(&lost.error);
                    }
                }
            }
            lines.clear();
            lines.shrink_to(KEPT);
        }
        self.lock().has_ended = true;
        self.ended.notify_all();
    }

    /// Swaps the lines that wait for `lines`, which are none; false if there are no more.
    fn take(&self, lines: &mut Vec<u8>) -> bool {
        let is_idle = |waiting: &mut Waiting| waiting.count == 0 && !waiting.is_closed;
        let waiting = self.changed.wait_while(self.lock(), is_idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let is_early = |waiting: &mut Waiting| waiting.lines.len() < ENOUGH && !waiting.is_closed;
        let waiting = self.changed.wait_timeout_while(waiting, LINGER, is_early);
        let (mut waiting, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.count = 0;
        std::mem::swap(&mut waiting.lines, lines);
        !lines.is_empty()
    }

    /// Says once a second at most how many lines are missing, and that it was the last of them if it was a fault.
    fn wrote(&self, health: &mut Health) {
        let now = Instant::now();
        let is_due = health.reported.is_none_or(|last| now - last >= BETWEEN_REPORTS);
        if self.unreported.load(Ordering::Relaxed) > 0 && (is_due || health.is_failing) {
            health.reported = Some(now);
            health.is_failing = false;
            let lines = self.unreported.swap(0, Ordering::Relaxed);
            tracing::warn!(
                event.action = "log",
                event.kind = "event",
                shoutback.log.sink = self.name,
                shoutback.log.dropped = lines,
                "log lines were dropped; lines can be written again"
            );
        }
    }

    fn tell_failing(&self, error: &io::Error) {
        tracing::error!(
            event.action = "log",
            event.kind = "event",
            event.outcome = "failure",
            shoutback.log.sink = self.name,
            error.message = %error,
            "log lines cannot be written, and are dropped"
        );
    }
}

/// How the thread fares.
#[derive(Default)]
struct Health {
    is_failing: bool,
    reported: Option<Instant>,
}
