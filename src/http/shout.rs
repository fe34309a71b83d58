//! `POST /v1`: negotiates media types, reads the body, calls the domain.

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use http::Version;
use http::header::CONTENT_TYPE;
use opentelemetry::context::FutureExt as _;
use tokio::time::Instant;

use super::authentication::AuthenticatedClient;
use super::body_limits::read_body;
use super::caching::{self, CACHE_STATUS};
use super::expectation;
use super::media::Format;
use super::problem::Problem;
use super::request_context::{Failure, RequestContext, ShoutRecord};
use super::server::upstream_call_began;
use super::state::AppState;
use crate::blocking;
use crate::shout::CacheMode;
use crate::telemetry::metrics::LabelValue as _;
use crate::telemetry::redact::without_addresses;

/// Number of headers of a response, those of the layers included.
const HEADERS: usize = 12;

pub(super) async fn shout(
    State(state): State<AppState>,
    context: RequestContext,
    AuthenticatedClient(client): AuthenticatedClient,
    request: ShoutRequest,
) -> Result<Response, Problem> {
    let ShoutRequest {
        text,
        response_format,
        cache_mode,
        deadline,
    } = request;
    let record = state.metrics.shouts.start(&client);
    match state
        .shout_service
        .shout_observed(&client, text, cache_mode, deadline, &upstream_call_began)
        // The span may have been provisional until the client was authenticated.
        .with_context(context.trace())
        .await
    {
        Ok(shout) => {
            let source = shout.source.label();
            record.succeeded(source);
            context.record_shout(ShoutRecord {
                source: source.as_str(),
                upstream: shout.upstream.map(|duration| (duration, shout.attempts)),
            });
            let body = blocking::run(shout.text.len(), || response_format.encode(&shout.text));
            let mut response = Response::new(Body::from(body));
            let headers = response.headers_mut();
            headers.reserve(HEADERS);
            headers.insert(CONTENT_TYPE, response_format.content_type());
            headers.insert(CACHE_STATUS, caching::cache_status(shout.source));
            Ok(response)
        }
        Err(error) => {
            // Its details are not for the caller.
            context.record_failure(Failure {
                cause: error.cause.label(),
                message: without_addresses(&error.to_string()),
            });
            let (failure, call) = (error.cause.failure(), error.failed_call());
            record.failed(failure, call);
            context.record_shout(ShoutRecord {
                source: call.as_str(),
                upstream: Some((error.upstream, error.attempts)),
            });
            let status = caching::cache_status_of_error(&error);
            Err(Problem::from(error).with_header(CACHE_STATUS, status))
        }
    }
}

/// A request with its body read. Nothing else of the request is stored while it waits for the upstream.
pub(super) struct ShoutRequest {
    text: String,
    response_format: Format,
    cache_mode: CacheMode,
    deadline: Instant,
}

impl FromRequest<AppState> for ShoutRequest {
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
