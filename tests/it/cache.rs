//! The cache as a client sees it: `cache-status`, isolation of clients, stale responses, the local fallback, metrics.
//! The rest of its behaviour is in the unit tests of `shout`.

mod coalescing;
mod failures;
mod metrics;
mod storing;

use reqwest::{RequestBuilder, Response};

use crate::support::settings::{NO_BREAKER, NO_RETRIES};
use crate::support::upstream::FakeUpstream;
use crate::support::{App, send};

const STORED: &str = "shoutback; fwd=miss; stored";
const NOT_STORED: &str = "shoutback; fwd=miss";
const HIT: &str = "shoutback; hit";
const COLLAPSED: &str = "shoutback; fwd=miss; collapsed";
const STALE: &str = "shoutback; hit; detail=stale-if-error";
const RELOADED: &str = "shoutback; fwd=request; stored";
const BYPASSED: &str = "shoutback; fwd=bypass";

/// Entries are stale at once.
const STALE_AT_ONCE: (&str, &str) = ("CACHE_TTL", "0ms");

/// Starts an application that makes one attempt per call.
async fn app_with(upstream: &FakeUpstream, settings: &[(&str, &str)]) -> App {
    let settings = [&[NO_RETRIES, NO_BREAKER], settings].concat();
    upstream.app(&settings).await
}

/// Returns the only value of `cache-status`.
fn cache_status(response: &Response) -> String {
    let mut values = response.headers().get_all("cache-status").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        panic!("{:?}", response.headers());
    };
    value.to_str().expect("ASCII").to_owned()
}

/// Asserts that the response is a shout of `hi` with this `cache-status`.
async fn assert_shout(request: RequestBuilder, status: &str) {
    let response = send(request).await;
    assert_eq!(response.status(), 200, "{status}");
    assert_eq!(cache_status(&response), status);
    assert_eq!(response.text().await.expect("UTF-8"), "IH");
}
