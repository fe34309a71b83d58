//! Calls to SHOUTCLOUD: what is sent, and what becomes of every response and failure.

mod breaker;
mod bulkhead;
mod connections;
mod failures;
mod faults;
mod metrics;
mod protocol;
mod request;
mod responses;
mod retries;

use crate::support::settings::{NO_BREAKER, NO_CACHE, NO_RETRIES};
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{App, assert_problem, send};

/// Starts an application that makes one attempt per request, unless `settings` say otherwise.
async fn app_with(upstream: &FakeUpstream, settings: &[(&str, &str)]) -> App {
    let settings = [&[NO_RETRIES, NO_BREAKER, NO_CACHE], settings].concat();
    upstream.app(&settings).await
}

/// Returns the status of a shout of `hi`.
async fn status(app: &App) -> u16 {
    send(app.shout("hi")).await.status().as_u16()
}

/// Asserts that a shout of `hi` fails with this problem after one call with this reply.
async fn assert_failure(upstream: &FakeUpstream, app: &App, reply: Reply, status: u16, problem: &str) {
    let case = match &reply {
        Reply::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    upstream.set([reply]);
    let calls = upstream.calls();
    let response = send(app.shout("hi")).await;
    assert_eq!(response.status(), status, "{case}");
    assert_eq!(upstream.calls(), calls + 1, "{case}");
    let retry_after = response.headers().contains_key("retry-after");
    assert_eq!(retry_after, status == 503, "{case}");
    let problem = assert_problem(response, status, problem).await;
    assert!(!problem.to_string().contains("s3cret"), "{problem}");
}

async fn assert_unavailable(app: &App, case: &str) {
    let response = send(app.shout("hi")).await;
    assert_eq!(response.status(), 503, "{case}");
    let retry_after = response.headers()["retry-after"].to_str().expect("ASCII");
    let retry_after: u64 = retry_after.parse().expect("seconds");
    assert!((1..=60).contains(&retry_after), "{case}: {retry_after}");
    assert_problem(response, 503, "upstream-unavailable").await;
}
