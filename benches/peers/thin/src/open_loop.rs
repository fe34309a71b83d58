//! An open-loop load generator: each request is due at a fixed time, and its latency counts from then, including the wait for a
//! connection. A closed-loop generator sends fewer requests to a slow server and so underestimates its latency.
//!
//! Uses one thread per connection, because the kernel's timers are finer than Tokio's.

use std::io::{ErrorKind, Read as _, Write as _, stdin};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Outcome;

/// Share of each phase whose latencies are not measured, while connections are opened and queues fill.
const WARM_UP: f64 = 0.2;
/// Length of a window of the timeline.
const WINDOW: Duration = Duration::from_millis(250);
/// Time for all threads to start.
const START: Duration = Duration::from_millis(300);
/// Enough for a thread that only reads and writes.
const STACK: usize = 128 * 1024;

/// A part of the schedule with a constant rate.
struct Phase {
    rate: f64,
    starts: Duration,
    /// The number of its first request, and the number after its last.
    first: usize,
    end: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Success,
    /// 429 or 503.
    Rejected,
    Failed,
}

struct Sample {
    number: usize,
    status: Status,
    /// How long after its due time a request was sent: the generator's own delay, or a wait for a connection.
    late: Duration,
    latency: Duration,
}

/// Sends the request from stdin as `schedule` (RATE:SECONDS,…) says. Prints a JSON object per phase, in an array: after the warm-up
/// `seconds`, `requests`, `succeeded`, `rejected`, `failed` and, in microseconds, `p50`, `p90`, `p99`, `p999`, `p9999` of successes,
/// `rejected_p99` and `late_p99`; `all_succeeded` and `all_rejected` with the warm-up; and `windows`, the p99 of the successes of each
/// 250 ms.
pub fn load(address: &str, schedule: &str, connections: usize) -> Outcome {
    let mut request = Vec::new();
    stdin().read_to_end(&mut request)?;
    let phases = parse(schedule)?;
    let total = phases.last().map_or(0, |phase| phase.end);
    let next = AtomicUsize::new(0);
    // One after the other and before the schedule starts: SYNs beyond the listener's backlog are retransmitted only after a second.
    let streams: Vec<TcpStream> = (0..connections)
        .map(|_| connect(address))
        .collect::<Result<_, _>>()?;
    let started = Instant::now() + START;
    let one = &|mut stream: TcpStream| {
        let mut samples = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(phase) = phases.iter().find(|phase| number < phase.end) else {
                return Ok::<_, std::io::Error>(samples);
            };
            let since_phase = Duration::from_secs_f64((number - phase.first) as f64 / phase.rate);
            let due = started + phase.starts + since_phase;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let late = due.elapsed();
            let exchanged = stream
                .write_all(&request)
                .and_then(|()| read_response(&mut stream));
            let (status, closes) = exchanged.unwrap_or((Status::Failed, true));
            samples.push(Sample {
                number,
                status,
                late,
                latency: due.elapsed(),
            });
            if closes && number < total {
                stream = connect(address)?;
            }
        }
    };
    let mut samples = Vec::with_capacity(total);
    thread::scope(|scope| {
        let threads: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                thread::Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, move || one(stream))
            })
            .collect();
        for thread in threads {
            samples.extend(thread?.join().map_err(|_| "a thread panicked")??);
        }
        Outcome::Ok(())
    })?;
    let reports: Vec<Value> = phases.iter().map(|phase| report(phase, &samples)).collect();
    println!("{}", Value::from(reports));
    Ok(())
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn parse(schedule: &str) -> Result<Vec<Phase>, Box<dyn std::error::Error + Send + Sync>> {
    let (mut phases, mut starts, mut first) = (Vec::new(), Duration::ZERO, 0);
    for part in schedule.split(',') {
        let (rate, seconds) = part.split_once(':').ok_or("a phase is RATE:SECONDS")?;
        let (rate, seconds): (f64, f64) = (rate.parse()?, seconds.parse()?);
        let end = first + (rate * seconds) as usize;
        phases.push(Phase {
            rate,
            starts,
            first,
            end,
        });
        (starts, first) = (starts + Duration::from_secs_f64(seconds), end);
    }
    Ok(phases)
}

fn report(phase: &Phase, samples: &[Sample]) -> Value {
    let of_phase: Vec<&Sample> = samples
        .iter()
        .filter(|sample| (phase.first..phase.end).contains(&sample.number))
        .collect();
    let warm = phase.first + ((phase.end - phase.first) as f64 * WARM_UP) as usize;
    let measured: Vec<&Sample> = of_phase
        .iter()
        .copied()
        .filter(|sample| sample.number >= warm)
        .collect();
    let (successes, rejections) = (
        latencies(&measured, Status::Success),
        latencies(&measured, Status::Rejected),
    );
    let late = sorted(measured.iter().map(|sample| sample.late));
    let per_window = (phase.rate * WINDOW.as_secs_f64()).max(1.0) as usize;
    let windows: Vec<Option<u64>> = (phase.first..phase.end)
        .step_by(per_window)
        .map(|first| {
            let window = first..first + per_window;
            let inside = of_phase
                .iter()
                .copied()
                .filter(|sample| window.contains(&sample.number));
            percentile(&latencies(&inside.collect::<Vec<_>>(), Status::Success), 0.99)
        })
        .collect();
    json!({
        "rate": phase.rate,
        "seconds": (phase.end - warm) as f64 / phase.rate,
        "requests": measured.len(),
        "succeeded": successes.len(),
        "rejected": rejections.len(),
        "failed": count(&measured, Status::Failed),
        "p50": percentile(&successes, 0.5),
        "p90": percentile(&successes, 0.9),
        "p99": percentile(&successes, 0.99),
        "p999": percentile(&successes, 0.999),
        "p9999": percentile(&successes, 0.9999),
        "rejected_p99": percentile(&rejections, 0.99),
        "late_p99": percentile(&late, 0.99),
        "all_succeeded": count(&of_phase, Status::Success),
        "all_rejected": count(&of_phase, Status::Rejected),
        "windows": windows,
    })
}

fn count(samples: &[&Sample], status: Status) -> usize {
    samples.iter().filter(|sample| sample.status == status).count()
}

fn latencies(samples: &[&Sample], status: Status) -> Vec<u64> {
    sorted(
        samples
            .iter()
            .filter(|sample| sample.status == status)
            .map(|sample| sample.latency),
    )
}

/// Returns the durations in microseconds, in order.
fn sorted(durations: impl Iterator<Item = Duration>) -> Vec<u64> {
    let mut sorted: Vec<u64> = durations.map(|duration| duration.as_micros() as u64).collect();
    sorted.sort_unstable();
    sorted
}

fn percentile(sorted: &[u64], share: f64) -> Option<u64> {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied()
}

/// Reads one response with a `content-length`. Returns its status, and whether the connection closes after it.
fn read_response(stream: &mut TcpStream) -> std::io::Result<(Status, bool)> {
    let (mut bytes, mut chunk) = (Vec::with_capacity(1024), [0; 16 * 1024]);
    loop {
        match stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&chunk[..read]),
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            let status = match head.get(9..12) {
                Some("429" | "503") => Status::Rejected,
                Some(status) if status.starts_with('2') => Status::Success,
                _ => Status::Failed,
            };
            return Ok((status, head.contains("\r\nconnection: close")));
        }
    }
}
