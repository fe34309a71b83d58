//! Gives every request its id and context, and every answer what they say.

use axum::extract::Request;
use axum::response::Response;
use http::HeaderName;

use super::super::context::{Context, REQUEST_ID};
use super::super::problem::{Problem, render};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

pub(in super::super) fn identify(
    request: &mut Request,
) -> Result<impl FnOnce(&mut Response) + use<>, Problem> {
    let context = Context::new(request.headers());
    request.extensions_mut().insert(context.clone());
    Ok(move |response: &mut Response| {
        render(response, context.id_str());
        let headers = response.headers_mut();
        if let Some(timing) = context.server_timing() {
            headers.insert(SERVER_TIMING, timing);
        }
        if let Some(limit) = context.rate_limit() {
            headers.insert(RATELIMIT, limit.left.clone());
            headers.insert(RATELIMIT_POLICY, limit.policy.clone());
        }
        headers.insert(REQUEST_ID, context.id().clone());
    })
}
