//! A request to the service in this process over loopback, including the client's work: `cargo bench --bench service 2>/dev/null`,
//! since the service logs to stderr.

use benches::{GOOD, ServiceHarness, request, runtime, tampered_token};
use criterion::{Criterion, criterion_group, criterion_main};
use shoutback::telemetry::log::Stream;

fn requests(criterion: &mut Criterion) {
    for (name, cache, token, status) in [
        ("cached", "1MiB", GOOD.to_owned(), "200"),
        ("through the upstream", "0B", GOOD.to_owned(), "200"),
        ("rejected", "0B", tampered_token(), "401"),
    ] {
        let (runtime, request) = (runtime(), request(&token));
        let mut service = runtime.block_on(ServiceHarness::start(cache, Stream::Stderr, &[]));
        criterion.bench_function(&format!("request {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(service.call(&request, status)));
        });
    }
}

/// Runs after `requests`, which install the subscriber.
fn log_line(criterion: &mut Criterion) {
    criterion.bench_function("log line", |bencher| {
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

criterion_group!(benches, requests, log_line);
criterion_main!(benches);
