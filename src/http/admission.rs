//! Who calls, and whether it may: asked before anything of a body is read, or even needed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::Public;
use super::context::{Context, RateLimit};
use super::problem::Problem;
use crate::auth::Principal;

/// The client that a request comes from. Whoever extracts it lets nobody else in.
pub(super) struct Caller(pub(super) Arc<str>);

impl FromRequestParts<Public> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Public) -> Result<Self, Problem> {
        let context = Context::of(&parts.extensions)?;
        // A length costs nothing to compare, and a quota is a known client's.
        check_length(&parts.headers, state.max_body_bytes)?;
        let principal = authenticate(state, &context, &parts.headers).await?;
        take_quota(state, &context, &principal)?;
        Ok(Self(principal.client_id))
    }
}

/// Refuses a body that says that it is too long.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), Problem> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // hyper has refused what is not a number; one that overflows is too long in any case.
    match length.map(str::parse::<usize>) {
        Some(Ok(length)) if length <= limit => Ok(()),
        None => Ok(()),
        Some(_) => Err(Problem::content_too_large(limit)),
    }
}

/// Asks [`crate::auth`] who a request comes from.
async fn authenticate(state: &Public, context: &Context, headers: &HeaderMap) -> Result<Principal, Problem> {
    let principal = match &state.verifier {
        None => Principal::anonymous(),
        Some(verifier) => {
            let asked = Instant::now();
            let verified = verifier.verify(headers).await;
            context.authenticated(asked.elapsed());
            verified.map_err(|refusal| Problem::from_auth_error(&refusal, verifier.required_scopes()))?
        }
    };
    context.let_in(principal.clone());
    Ok(principal)
}

/// Asks [`crate::quota`] whether a client may call once more, and has the answer say how much is left (IETF draft
/// `draft-ietf-httpapi-ratelimit-headers`).
fn take_quota(state: &Public, context: &Context, principal: &Principal) -> Result<(), Problem> {
    let Some(quotas) = &state.quotas else {
        return Ok(());
    };
    let decision = quotas.take(principal);
    let left = format!(
        "\"client\";r={};t={}",
        decision.remaining,
        whole_seconds(decision.full_in)
    );
    let policy = format!(
        "\"client\";q={};w={}",
        quotas.burst(),
        whole_seconds(quotas.window())
    );
    let [left, policy] = [left, policy].map(|value| HeaderValue::try_from(value).expect("digits and ASCII"));
    context.took_quota(RateLimit { left, policy });
    match decision.wait {
        None => Ok(()),
        Some(wait) => {
            state.metrics.rate_limited(&principal.client_id);
            Err(Problem::rate_limited(wait))
        }
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
