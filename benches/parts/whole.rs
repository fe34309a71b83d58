//! A request to the whole service in this process, over loopback, its caller included: `cargo bench --bench whole 2>/dev/null`,
//! since lines of the log come on stderr.

use benches::{GOOD, Whole, request, runtime, spoilt};
use criterion::{Criterion, criterion_group, criterion_main};
use shoutback::telemetry::log::Stream;

fn requests(criterion: &mut Criterion) {
    for (name, cache, token, status) in [
        ("cached", "1MiB", GOOD.to_owned(), "200"),
        ("through the upstream", "0B", GOOD.to_owned(), "200"),
        ("refused", "0B", spoilt(), "401"),
    ] {
        let (runtime, request) = (runtime(), request(&token));
        let mut whole = runtime.block_on(Whole::start(cache, Stream::Stderr));
        criterion.bench_function(&format!("request {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(whole.call(&request, status)));
        });
    }
}

/// After the requests: they say where lines go.
fn line(criterion: &mut Criterion) {
    criterion.bench_function("line of the log", |bencher| {
        bencher.iter(|| {
            tracing::info!(
                event.action = "request",
                event.duration = 700_000_u64,
                http.request.method = "POST",
                http.response.status_code = 200_u64,
                client.user.id = "benchmark",
                shoutback.source = "cache",
                "POST /v1"
            );
        });
    });
}

criterion_group!(benches, requests, line);
criterion_main!(benches);
