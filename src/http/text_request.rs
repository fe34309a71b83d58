//! A request whose body is a text: negotiates media types and reads the body.

use axum::extract::{FromRequest, Request};
use http::Version;
use tokio::time::Instant;

use super::body_limits::read_body;
use super::caching;
use super::expectation;
use super::media::Format;
use super::problem::Problem;
use super::request_context::RequestContext;
use super::state::AppState;
use crate::blocking;
use crate::shout::CacheMode;

/// A request with its body read. Nothing else of the request is stored while it waits for the upstream.
pub(super) struct TextRequest {
    pub(super) text: String,
    pub(super) response_format: Format,
    pub(super) cache_mode: CacheMode,
    pub(super) deadline: Instant,
}

impl FromRequest<AppState> for TextRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let context = RequestContext::of(request.extensions())?;
        let body_format = Format::from_content_type(request.headers())?;
        let response_format = body_format.negotiate(request.headers())?;
        expectation::check(request.version(), request.headers())?;
        let cache_mode = caching::cache_mode(request.headers());
        let deadline = context.started() + state.request_timeout;
        let may_close = request.version() <= Version::HTTP_11;
        let body = read_body(request.into_body(), state.max_body_bytes, deadline)
            .await
            .map_err(|error| if may_close { error.closing() } else { error.into() })?;
        context.record_body(body.len());
        Ok(Self {
            text: blocking::run(body.len(), || body_format.decode(body))?,
            response_format,
            cache_mode,
            deadline,
        })
    }
}
