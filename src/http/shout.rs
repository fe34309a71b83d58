//! `POST /v1`: calls the domain.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use opentelemetry::context::FutureExt as _;

use super::authentication::AuthenticatedClient;
use super::caching::{self, CACHE_STATUS};
use super::problem::Problem;
use super::request_context::{Failure, RequestContext, ShoutRecord};
use super::server::upstream_call_began;
use super::state::AppState;
use super::text_request::TextRequest;
use crate::blocking;
use crate::telemetry::metrics::LabelValue as _;
use crate::telemetry::redact::without_addresses;

/// Number of headers of a response, those of the layers included.
const HEADERS: usize = 12;

pub(super) async fn shout(
    State(state): State<AppState>,
    context: RequestContext,
    AuthenticatedClient(client): AuthenticatedClient,
    request: TextRequest,
) -> Result<Response, Problem> {
    let TextRequest {
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
