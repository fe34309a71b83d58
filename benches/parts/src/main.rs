//! `hot-path NAME COUNT [VARIABLE=VALUE…]` runs the operation NAME COUNT times and prints the number of allocations to stderr. The
//! start-up cost is constant, so the difference of two runs with different counts is the cost of the operation. The service logs to
//! stdout. The variables configure it, so that one feature can be switched off.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use benches::{
    GOOD, ServiceHarness, TEXT, VerifierHarness, WITHOUT_SCOPE, bearer_headers, request, runtime,
    tampered_token,
};
use shoutback::telemetry::log::Stream;
use shoutback::telemetry::metrics::{HttpLabels, MethodLabel, Metrics, ProtocolLabel, SchemeLabel};

/// Counts allocations, including reallocations.
struct CountingAllocator;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is forwarded to the system's allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Operations before the count starts, which fill caches and open connections.
const WARM_UP: u64 = 50;

/// Contains grapheme clusters of several code points: an emoji sequence, a flag and combining accents.
const GRAPHEMES: &str = "e\u{301}te\u{301} \u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467} \u{1F1EF}\u{1F1F5} ok";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count, variables @ ..] = &arguments[..] else {
        panic!("usage: hot-path NAME COUNT [VARIABLE=VALUE…]")
    };
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|variable| variable.split_once('=').expect("VARIABLE=VALUE"))
        .collect();
    let count: u64 = count.parse().expect("COUNT is a number");
    let allocations = match name.as_str() {
        "reverse-ascii" => measure(count, || shoutback::shout::reverse(black_box(TEXT))),
        "reverse-graphemes" => measure(count, || shoutback::shout::reverse(black_box(GRAPHEMES))),
        "token-cached" => verify(count, GOOD, true),
        "token-verified" => verify(count, WITHOUT_SCOPE, false),
        "token-rejected" => verify(count, &tampered_token(), false),
        "metric-recorded" => record_metric(count),
        "request-cached" => call(count, "1MiB", GOOD, "200", &variables),
        "request-proxied" => call(count, "0B", GOOD, "200", &variables),
        "request-rejected" => call(count, "0B", &tampered_token(), "401", &variables),
        _ => panic!("unknown operation: {name}"),
    };
    eprintln!("{allocations}");
}

fn measure<T>(count: u64, mut operation: impl FnMut() -> T) -> u64 {
    for _ in 0..WARM_UP {
        black_box(operation());
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..count {
        black_box(operation());
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// Measures the histogram of a request, which no configuration switches off.
fn record_metric(count: u64) -> u64 {
    let metrics = Metrics::new(&[]);
    let labels = HttpLabels {
        method: MethodLabel::Post,
        route: "/v1",
        status: Some(200),
        error_type: None,
        scheme: SchemeLabel::Http,
        protocol: ProtocolLabel::Http11,
    };
    measure(count, || {
        metrics.http.record(black_box(labels), Duration::from_micros(700))
    })
}

fn verify(count: u64, token: &str, is_good: bool) -> u64 {
    let headers = bearer_headers(token);
    runtime().block_on(async {
        let verifier = VerifierHarness::start().await;
        let mut before = 0;
        for number in 0..WARM_UP + count {
            if number == WARM_UP {
                before = ALLOCATIONS.load(Ordering::Relaxed);
            }
            assert_eq!(verifier.verify(black_box(&headers)).await.is_ok(), is_good);
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    })
}

fn call(count: u64, cache: &str, token: &str, status: &str, variables: &[(&str, &str)]) -> u64 {
    let request = request(token);
    runtime().block_on(async {
        let mut service = ServiceHarness::start(cache, Stream::Stdout, variables).await;
        let mut before = 0;
        for number in 0..WARM_UP + count {
            if number == WARM_UP {
                before = ALLOCATIONS.load(Ordering::Relaxed);
            }
            service.call(&request, status).await;
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    })
}
