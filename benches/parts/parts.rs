//! Parts of the hot path: `cargo bench --bench parts`.

use std::hint::black_box;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use benches::{
    GOOD, SHOUT, TEXT, VerifierHarness, WITHOUT_SCOPE, bearer_headers, runtime, shouter,
    shouter_with_open_breaker, tampered_token,
};
use criterion::{Criterion, criterion_group, criterion_main};
use shoutback::auth::Principal;
use shoutback::auth::token::{Unverified, bearer};
use shoutback::config::RateLimit;
use shoutback::quota::Quotas;
use shoutback::shout::{CacheMode, reverse, simple_uppercase};
use shoutback::shoutcloud::parse_response;
use shoutback::telemetry::metrics::{HttpLabels, MethodLabel, Metrics, ProtocolLabel, SchemeLabel};
use tokio::time::Instant;

const GRAPHEMES: &str = "e\u{301}te\u{301} \u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467} \u{1F1EF}\u{1F1F5} ok";

fn tokens(criterion: &mut Criterion) {
    let runtime = runtime();
    let verifier = runtime.block_on(VerifierHarness::start());
    for (name, token) in [
        ("cached", GOOD.to_owned()),
        ("verified", WITHOUT_SCOPE.to_owned()),
        ("bad", tampered_token()),
    ] {
        let headers = bearer_headers(&token);
        criterion.bench_function(&format!("token {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(verifier.verify(black_box(&headers))).is_ok());
        });
    }
    let headers = bearer_headers(GOOD);
    criterion.bench_function("token parsed", |bencher| {
        bencher.iter(|| bearer(black_box(&headers)).and_then(Unverified::parse).is_ok());
    });
}

fn texts(criterion: &mut Criterion) {
    let long = "hello, world! ".repeat(4000);
    for (name, text) in [
        ("13 bytes", "hello, world!"),
        ("graphemes", GRAPHEMES),
        ("56 kB", &long),
    ] {
        criterion.bench_function(&format!("reverse {name}"), |bencher| {
            bencher.iter(|| reverse(black_box(text)))
        });
        criterion.bench_function(&format!("uppercase {name}"), |bencher| {
            bencher.iter(|| simple_uppercase(black_box(text)));
        });
    }
    let input: String = SHOUT.to_lowercase();
    let response = format!(r#"{{"INPUT":"{input}","OUTPUT":"{SHOUT}"}}"#);
    criterion.bench_function("response of the upstream", |bencher| {
        bencher.iter(|| parse_response(black_box(&input), black_box(response.as_bytes())).is_ok());
    });
}

/// Measures a cache hit, a call over loopback through retry, budget and breaker, and a call that the open breaker rejects.
fn shouts(criterion: &mut Criterion) {
    let runtime = runtime();
    let client: Arc<str> = Arc::from("benchmark");
    let (working, broken) =
        runtime.block_on(async { (shouter("1MiB").await, shouter_with_open_breaker().await) });
    for (name, shouter, caching) in [
        ("from the cache", &working, CacheMode::Default),
        ("from the upstream", &working, CacheMode::NoStore),
        ("rejected by the breaker", &broken, CacheMode::NoStore),
    ] {
        let one = async || {
            let deadline = Instant::now() + Duration::from_secs(10);
            shouter
                .shout(&client, black_box(TEXT).to_owned(), caching, deadline)
                .await
        };
        criterion.bench_function(&format!("shout {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(one()).is_ok());
        });
    }
}

/// Returns the result of a future that does not wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the future waits"),
    }
}

fn accounting(criterion: &mut Criterion) {
    let quotas = Quotas::new(
        &RateLimit {
            replenish_one: Duration::from_nanos(1),
            burst: NonZero::new(u32::MAX).expect("not zero"),
        },
        None,
    );
    let principal = Principal {
        client_id: Arc::from("benchmark"),
        ..Principal::anonymous()
    };
    criterion.bench_function("quota", |bencher| {
        bencher.iter(|| now(quotas.take(black_box(&principal))))
    });
    let metrics = Metrics::new(&[]);
    let labels = HttpLabels {
        method: MethodLabel::Post,
        route: "/v1",
        status: Some(200),
        error_type: None,
        scheme: SchemeLabel::Http,
        protocol: ProtocolLabel::Http11,
    };
    criterion.bench_function("metric of a request", |bencher| {
        bencher.iter(|| metrics.http.record(black_box(labels), Duration::from_micros(700)));
    });
    criterion.bench_function("scrape", |bencher| bencher.iter(|| metrics.render()));
}

criterion_group!(benches, tokens, texts, shouts, accounting);
criterion_main!(benches);
