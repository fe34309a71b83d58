//! The queue with a sink under the test's control.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::super::{FlushGuard, MAX_LINE};
use super::{DroppedLines, LineQueue, MAX_BYTES, MAX_LINES, Sink, WriteError, count_lines};

/// Sends each write to the test, and blocks until the test sends its outcome.
struct ScriptedSink {
    written: Sender<Vec<u8>>,
    outcomes: Receiver<io::Result<()>>,
}

impl Sink for ScriptedSink {
    fn write(&mut self, lines: &[u8]) -> Result<(), WriteError> {
        _ = self.written.send(lines.to_vec());
        let outcome = self.outcomes.recv().unwrap_or(Ok(()));
        outcome.map_err(|error| WriteError {
            lines: count_lines(lines),
            error,
        })
    }
}

struct Fixture {
    queue: LineQueue,
    dropped: DroppedLines,
    written: Receiver<Vec<u8>>,
    outcomes: Sender<io::Result<()>>,
}

fn fixture() -> Fixture {
    let (written, received) = channel();
    let (sender, outcomes) = channel();
    let dropped = DroppedLines::default();
    Fixture {
        queue: LineQueue::start("test", ScriptedSink { written, outcomes }, dropped.clone()),
        dropped,
        written: received,
        outcomes: sender,
    }
}

const TIMEOUT: Duration = Duration::from_secs(60);

impl Fixture {
    fn written(&self) -> Vec<u8> {
        self.written.recv_timeout(TIMEOUT).expect("the sink gets a write")
    }
}

#[test]
fn writes_lines_in_order_and_flushes_before_it_finishes() {
    let Fixture {
        queue,
        dropped,
        written,
        outcomes,
    } = fixture();
    drop(outcomes);
    let mut expected = Vec::new();
    for number in 0..1_000 {
        let line = format!("{number}\n");
        queue.push(line.as_bytes());
        expected.extend(line.into_bytes());
    }
    queue.close();
    queue.wait_until_finished(Instant::now() + TIMEOUT);
    let written: Vec<u8> = written.iter().flatten().collect();
    assert_eq!((written, dropped.total()), (expected, 0));
    queue.push(b"late\n");
    assert_eq!(dropped.total(), 1);
}

#[test]
fn push_drops_lines_at_the_limits_while_the_sink_blocks() {
    let fixture = fixture();
    fixture.queue.push(b"first\n");
    assert_eq!(fixture.written(), b"first\n");
    for _ in 0..MAX_LINES + 7 {
        fixture.queue.push(b"\n");
    }
    assert_eq!(fixture.dropped.total(), 7, "limit of lines");
    fixture
        .outcomes
        .send(Ok(()))
        .expect("the sink waits for an outcome");
    assert_eq!(fixture.written().len(), MAX_LINES);
    let long = [&[b'.'; MAX_LINE - 1][..], b"\n"].concat();
    for _ in 0..MAX_BYTES / MAX_LINE + 5 {
        fixture.queue.push(&long);
    }
    assert_eq!(fixture.dropped.total(), 7 + 5, "limit of bytes");
    fixture
        .outcomes
        .send(Ok(()))
        .expect("the sink waits for an outcome");
    assert_eq!(fixture.written().len(), MAX_BYTES);
}

#[test]
fn failed_writes_count_as_dropped() {
    let fixture = fixture();
    fixture.queue.push(b"one\n");
    fixture.queue.push(b"two\n");
    let mut seen = fixture.written();
    while count_lines(&seen) < 2 {
        fixture
            .outcomes
            .send(Ok(()))
            .expect("the sink waits for an outcome");
        seen.extend(fixture.written());
    }
    let before = fixture.dropped.total();
    fixture
        .outcomes
        .send(Err(io::ErrorKind::StorageFull.into()))
        .expect("the sink waits for an outcome");
    fixture.queue.push(b"three\n");
    assert_eq!(fixture.written(), b"three\n");
    assert!(fixture.dropped.total() > before);
}

#[test]
fn dropping_the_guard_flushes_pending_lines() {
    struct Slow(Sender<Vec<u8>>);

    impl Sink for Slow {
        fn write(&mut self, lines: &[u8]) -> Result<(), WriteError> {
            thread::park_timeout(Duration::from_millis(20));
            _ = self.0.send(lines.to_vec());
            Ok(())
        }
    }

    let (written, received) = channel();
    let dropped = DroppedLines::default();
    let queue = LineQueue::start("test", Slow(written), dropped.clone());
    queue.push(b"last\n");
    drop(FlushGuard {
        queues: vec![queue],
        dropped,
    });
    assert_eq!(received.try_recv(), Ok(b"last\n".to_vec()));
}

#[test]
fn drops_a_line_over_the_maximum_length() {
    let fixture = fixture();
    fixture.queue.push(&[b'.'; MAX_LINE + 1]);
    assert_eq!(fixture.dropped.total(), 1);
}

#[test]
fn waiting_for_the_end_stops_at_the_deadline() {
    let fixture = fixture();
    fixture.queue.push(b"stuck\n");
    assert_eq!(fixture.written(), b"stuck\n");
    fixture.queue.close();
    let start = Instant::now();
    fixture
        .queue
        .wait_until_finished(start + Duration::from_millis(1));
    // The sink is still blocked: only the deadline ended the wait.
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(1), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}
