//! Authentication and rate limit of a route.
//!
//! Unlike a layer, an extractor allocates nothing of its own. A route cannot forget it: [`Authenticated`] accepts only handlers
//! that take an [`AuthenticatedClient`] before the body, so that an unauthenticated client never makes the service read one.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, State};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, post};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use tokio::time::Instant;

use super::problem::Problem;
use super::rate_limit::RateLimitHeaders;
use super::request_context::{AuthenticationRecord, RequestContext};
use super::state::AppState;
use crate::auth::Principal;

/// Handlers of a route that rejects requests without a valid token.
pub(super) struct Authenticated(MethodRouter<AppState>);

impl Authenticated {
    /// Handles `POST` requests of authenticated clients.
    pub(super) fn post<H, B, F>(handler: H) -> Self
    where
        H: Fn(State<AppState>, RequestContext, AuthenticatedClient, B) -> F + Clone + Send + Sync + 'static,
        B: FromRequest<AppState> + Send + 'static,
        F: Future<Output: IntoResponse> + Send + 'static,
    {
        Self(post(handler))
    }

    pub(super) fn into_method_router(self) -> MethodRouter<AppState> {
        self.0
    }
}

/// The id of the authenticated client. Extracting it rejects requests that are too long, unauthenticated or over their quota.
pub(super) struct AuthenticatedClient(pub(super) Arc<str>);

impl FromRequestParts<AppState> for AuthenticatedClient {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let context = RequestContext::of(&parts.extensions)?;
        // Before authentication, because comparing a number is cheaper; the quota comes after it, because it is per client.
        check_length(&parts.headers, state.max_body_bytes)?;
        let mut record = AuthenticationRecord::default();
        let result = authenticate_and_limit(state, &context, &parts.headers, &mut record).await;
        context.record_authentication(record);
        result.map(Self)
    }
}

/// Rejects a body whose `content-length` exceeds the limit.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), Problem> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // hyper has rejected what is not a number; one that overflows exceeds the limit in any case.
    match length.map(str::parse::<usize>) {
        Some(Ok(length)) if length <= limit => Ok(()),
        None => Ok(()),
        Some(_) => Err(Problem::content_too_large(limit)),
    }
}

async fn authenticate_and_limit(
    state: &AppState,
    context: &RequestContext,
    headers: &HeaderMap,
    record: &mut AuthenticationRecord,
) -> Result<Arc<str>, Problem> {
    let principal = match &state.verifier {
        None => Principal::anonymous(),
        Some(verifier) => {
            let started = Instant::now();
            let verified = verifier.verify(headers).await;
            record.duration = Some(started.elapsed());
            verified.map_err(|error| Problem::from_auth_error(&error, verifier.required_scopes()))?
        }
    };
    context.accept_trace(&state.tracing);
    let principal = record.principal.insert(principal);
    take_quota(state, principal, &mut record.rate_limit).await?;
    Ok(Arc::clone(&principal.client_id))
}

/// Takes one request out of the client's quota, and notes the response headers that report it.
async fn take_quota(
    state: &AppState,
    principal: &Principal,
    headers: &mut Option<RateLimitHeaders>,
) -> Result<(), Problem> {
    let Some(rate_limit) = &state.rate_limit else {
        return Ok(());
    };
    let decision = rate_limit.quotas.take(principal).await;
    *headers = Some(rate_limit.headers(&decision));
    let wait = decision.retry_after;
    state.metrics.record_quota(&principal.client_id, wait.is_some());
    wait.map_or(Ok(()), |wait| Err(Problem::rate_limited(wait)))
}
