//! `hot-path NAME COUNT`: does what NAME says, so often, and prints on stderr how many allocations it took. What it takes to start is
//! the same each time, so that two runs of different counts say what one more costs. Lines of the log come on stdout.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use benches::{GOOD, TEXT, Verifying, WITHOUT_SCOPE, Whole, bearing, request, runtime, spoilt};
use shoutback::telemetry::log::Stream;

/// Counts what is asked for; enlarging counts too.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: the system's allocator does everything.
unsafe impl GlobalAlloc for Counting {
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
static ALLOCATOR: Counting = Counting;

/// Fills caches and connections before anything is counted.
const WARM_UP: u64 = 50;

/// A family, a flag and an accent among letters.
const GRAPHEMES: &str = "e\u{301}te\u{301} \u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467} \u{1F1EF}\u{1F1F5} ok";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = &arguments[..] else {
        panic!("usage: hot-path NAME COUNT")
    };
    let count: u64 = count.parse().expect("COUNT is a number");
    let allocations = match name.as_str() {
        "reverse-ascii" => plain(count, || shoutback::shout::reverse(black_box(TEXT))),
        "reverse-graphemes" => plain(count, || shoutback::shout::reverse(black_box(GRAPHEMES))),
        "token-remembered" => verify(count, GOOD, true),
        "token-verified" => verify(count, WITHOUT_SCOPE, false),
        "token-refused" => verify(count, &spoilt(), false),
        "request-cached" => call(count, "1MiB", GOOD, "200"),
        "request-through" => call(count, "0B", GOOD, "200"),
        "request-refused" => call(count, "0B", &spoilt(), "401"),
        _ => panic!("there is no {name}"),
    };
    eprintln!("{allocations}");
}

fn plain<T>(count: u64, mut one: impl FnMut() -> T) -> u64 {
    for _ in 0..WARM_UP {
        black_box(one());
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..count {
        black_box(one());
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn verify(count: u64, token: &str, is_good: bool) -> u64 {
    let headers = bearing(token);
    runtime().block_on(async {
        let verifying = Verifying::start().await;
        let mut before = 0;
        for number in 0..WARM_UP + count {
            if number == WARM_UP {
                before = ALLOCATIONS.load(Ordering::Relaxed);
            }
            assert_eq!(verifying.verify(black_box(&headers)).await.is_ok(), is_good);
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    })
}

fn call(count: u64, cache: &str, token: &str, status: &str) -> u64 {
    let request = request(token);
    runtime().block_on(async {
        let mut whole = Whole::start(cache, Stream::Stdout).await;
        let mut before = 0;
        for number in 0..WARM_UP + count {
            if number == WARM_UP {
                before = ALLOCATIONS.load(Ordering::Relaxed);
            }
            whole.call(&request, status).await;
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    })
}
