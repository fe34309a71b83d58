//! An open-loop load generator: each request is due at a fixed time, and its latency counts from then, including the wait for a
//! connection. A closed-loop generator sends fewer requests to a slow server and so underestimates its latency.
//!
//! Uses one thread per connection, because the kernel's timers are finer than Tokio's.

use std::io::{ErrorKind, Read as _, Write as _, stdin};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Outcome;

/// Share of the run that is not measured, while connections are opened and caches fill.
const WARM_UP: f64 = 0.2;

/// Sends the request from stdin and prints JSON: `requests`, `failed`, and microseconds `p50`, `p90`, `p99`, `p999`.
pub fn load(address: &str, rate: f64, seconds: f64, connections: usize) -> Outcome {
    let mut request = Vec::new();
    stdin().read_to_end(&mut request)?;
    let (total, next) = ((rate * seconds) as u64, AtomicU64::new(0));
    let started = Instant::now() + Duration::from_millis(50);
    let one = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (mut latencies, mut failed) = (Vec::new(), 0_u64);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= total {
                return Ok::<_, std::io::Error>((latencies, failed));
            }
            let due = started + Duration::from_secs_f64(number as f64 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            stream.write_all(&request)?;
            let is_success = read_response(&mut stream)?;
            if number as f64 >= WARM_UP * total as f64 {
                latencies.push(due.elapsed().as_micros() as u64);
                failed += u64::from(!is_success);
            }
        }
    };
    let (mut latencies, mut failed) = (Vec::new(), 0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        for thread in threads {
            let (of_one, failed_of_one) = thread.join().map_err(|_| "a thread panicked")??;
            latencies.extend(of_one);
            failed += failed_of_one;
        }
        Outcome::Ok(())
    })?;
    latencies.sort_unstable();
    let percentile = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies
            .get(index.min(latencies.len().saturating_sub(1)))
            .copied()
    };
    let report = json!({
        "requests": latencies.len(),
        "failed": failed,
        "p50": percentile(0.5),
        "p90": percentile(0.9),
        "p99": percentile(0.99),
        "p999": percentile(0.999),
    });
    println!("{report}");
    Ok(())
}

/// Reads one response with a `content-length`. Returns whether its status is 2xx.
fn read_response(stream: &mut TcpStream) -> std::io::Result<bool> {
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
            return Ok(head.as_bytes().get(9) == Some(&b'2'));
        }
    }
}
