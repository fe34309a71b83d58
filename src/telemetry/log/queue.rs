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
/// Between two lines about lines that are lost, of each of the two kinds.
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
        if is_full || waiting.has_ended || line.len() > MAX_LINE {
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

    /// The thread ends once no line is left.
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
            // Here there is room for another line, however many come.
            self.report(&mut health);
            match sink.write(&lines) {
                Ok(()) => {
                    health.is_failing = false;
                    self.report(&mut health);
                }
                Err(lost) => {
                    self.lost(lost.lines);
                    if health.begins_to_fail() {
                        sink.failing(&lost.error);
                        self.tell_failing(&lost.error);
                    }
                }
            }
            lines.clear();
            lines.shrink_to(KEPT);
        }
        self.ended.notify_all();
    }

    /// Swaps the lines that wait for `lines`, which are none; false if there will be no more.
    fn take(&self, lines: &mut Vec<u8>) -> bool {
        let is_idle = |waiting: &mut Waiting| waiting.count == 0 && !waiting.is_closed;
        let waiting = self.changed.wait_while(self.lock(), is_idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let is_early = |waiting: &mut Waiting| waiting.lines.len() < ENOUGH && !waiting.is_closed;
        let waiting = self.changed.wait_timeout_while(waiting, LINGER, is_early);
        let (mut waiting, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.count = 0;
        std::mem::swap(&mut waiting.lines, lines);
        waiting.has_ended = lines.is_empty();
        !waiting.has_ended
    }

    /// Says how many lines are missing, unless more are about to be: once a second at most, and at the end.
    fn report(&self, health: &mut Health) {
        if health.is_failing || self.unreported.load(Ordering::Relaxed) == 0 {
            return;
        }
        let waiting = self.lock();
        let (has_room, is_closed) = (waiting.count < MAX_LINES / 2, waiting.is_closed);
        drop(waiting);
        if has_room && (is_due(&mut health.reported) || is_closed) {
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
    told: Option<Instant>,
    reported: Option<Instant>,
}

impl Health {
    /// Whether it is to be told: on a disk that is all but full, short lines go on and long ones do not.
    fn begins_to_fail(&mut self) -> bool {
        !std::mem::replace(&mut self.is_failing, true) && is_due(&mut self.told)
    }
}

/// Whether the last time is long enough ago; if so, this is the last time.
fn is_due(last: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_due = last.is_none_or(|last| now - last >= BETWEEN_REPORTS);
    if is_due {
        *last = Some(now);
    }
    is_due
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::{Guard, MAX_LINE};
    use super::{Dropped, Lost, MAX_BYTES, MAX_LINES, Queue, Sink, count};

    /// Hands over what it is given, and does as it is told.
    struct Told {
        written: Sender<Vec<u8>>,
        outcomes: Receiver<io::Result<()>>,
    }

    impl Sink for Told {
        fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
            _ = self.written.send(lines.to_vec());
            let outcome = self.outcomes.recv().unwrap_or(Ok(()));
            outcome.map_err(|error| Lost {
                lines: count(lines),
                error,
            })
        }
    }

    struct Stage {
        queue: Queue,
        dropped: Dropped,
        written: Receiver<Vec<u8>>,
        outcomes: Sender<io::Result<()>>,
    }

    fn stage() -> Stage {
        let (written, received) = channel();
        let (told, outcomes) = channel();
        let dropped = Dropped::default();
        Stage {
            queue: Queue::start("test", Told { written, outcomes }, dropped.clone()),
            dropped,
            written: received,
            outcomes: told,
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    impl Stage {
        fn written(&self) -> Vec<u8> {
            self.written.recv_timeout(LONG).expect("it is written")
        }
    }

    #[test]
    fn lines_come_in_order_and_the_last_of_them_before_the_end() {
        let Stage {
            queue,
            dropped,
            written,
            outcomes,
        } = stage();
        drop(outcomes);
        let mut expected = Vec::new();
        for number in 0..1_000 {
            let line = format!("{number}\n");
            queue.push(line.as_bytes());
            expected.extend(line.into_bytes());
        }
        queue.close();
        queue.ended_by(Instant::now() + LONG);
        let written: Vec<u8> = written.iter().flatten().collect();
        assert_eq!((written, dropped.total()), (expected, 0));
        queue.push(b"late\n");
        assert_eq!(dropped.total(), 1);
    }

    #[test]
    fn who_has_a_line_does_not_wait_for_one_that_is_being_written() {
        let stage = stage();
        stage.queue.push(b"first\n");
        assert_eq!(stage.written(), b"first\n");
        for _ in 0..MAX_LINES + 7 {
            stage.queue.push(b"\n");
        }
        assert_eq!(stage.dropped.total(), 7, "as many lines as may be");
        stage.outcomes.send(Ok(())).expect("it waits");
        assert_eq!(stage.written().len(), MAX_LINES);
        let long = [&[b'.'; MAX_LINE - 1][..], b"\n"].concat();
        for _ in 0..MAX_BYTES / MAX_LINE + 5 {
            stage.queue.push(&long);
        }
        assert_eq!(stage.dropped.total(), 7 + 5, "as many bytes as may be");
        stage.outcomes.send(Ok(())).expect("it waits");
        assert_eq!(stage.written().len(), MAX_BYTES);
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted() {
        let stage = stage();
        stage.queue.push(b"one\n");
        stage.queue.push(b"two\n");
        let mut seen = stage.written();
        while count(&seen) < 2 {
            stage.outcomes.send(Ok(())).expect("it waits");
            seen.extend(stage.written());
        }
        let before = stage.dropped.total();
        stage
            .outcomes
            .send(Err(io::ErrorKind::StorageFull.into()))
            .expect("it waits");
        stage.queue.push(b"three\n");
        assert_eq!(stage.written(), b"three\n");
        assert!(stage.dropped.total() > before);
    }

    #[test]
    fn whoever_lets_go_of_the_log_waits_for_its_last_lines() {
        struct Slow(Sender<Vec<u8>>);

        impl Sink for Slow {
            fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
                thread::park_timeout(Duration::from_millis(20));
                _ = self.0.send(lines.to_vec());
                Ok(())
            }
        }

        let (written, received) = channel();
        let dropped = Dropped::default();
        let queue = Queue::start("test", Slow(written), dropped.clone());
        queue.push(b"last\n");
        drop(Guard {
            queues: vec![queue],
            dropped,
        });
        assert_eq!(received.try_recv(), Ok(b"last\n".to_vec()));
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped() {
        let stage = stage();
        stage.queue.push(&[b'.'; MAX_LINE + 1]);
        assert_eq!(stage.dropped.total(), 1);
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let stage = stage();
        stage.queue.push(b"stuck\n");
        assert_eq!(stage.written(), b"stuck\n");
        stage.queue.close();
        stage.queue.ended_by(Instant::now() + Duration::from_millis(1));
    }
}
