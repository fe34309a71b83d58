//! Asks [`crate::quota`] whether a client may call once more, and tells it how much is left (IETF draft
//! `draft-ietf-httpapi-ratelimit-headers`).

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue};

use super::super::Public;
use super::super::context::Context;
use super::super::problem::Problem;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

pub(in super::super) async fn check(
    State(state): State<Public>,
    context: Context,
    request: Request,
    next: Next,
) -> Response {
    let (Some(quotas), Some(principal)) = (&state.quotas, context.principal()) else {
        return next.run(request).await;
    };
    let decision = quotas.take(principal);
    let mut response = match decision.wait {
        None => next.run(request).await,
        Some(wait) => {
            state.metrics.rate_limited(&principal.client_id);
            Problem::rate_limited(wait).into_response()
        }
    };
    let limit = format!(
        "\"client\";r={};t={}",
        decision.remaining,
        whole_seconds(decision.full_in)
    );
    let policy = format!(
        "\"client\";q={};w={}",
        quotas.burst(),
        whole_seconds(quotas.window())
    );
    for (name, value) in [(RATELIMIT, limit), (RATELIMIT_POLICY, policy)] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_str(&value).expect("digits and ASCII"));
    }
    response
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
