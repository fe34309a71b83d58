//! Gives every request its id and [`RequestContext`], and every response the headers that depend on them.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderName, Method};

use super::super::problem::{Problem, render};
use super::super::request_context::{REQUEST_ID, RequestContext};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

pub(in super::super) fn request_id(
    request: &mut Request,
) -> Result<impl FnOnce(&mut Response) + use<>, Problem> {
    if request.extensions().get::<RequestContext>().is_none() {
        RequestContext::insert(request, None);
    }
    let context = RequestContext::of(request.extensions())?;
    let is_head = request.method() == Method::HEAD;
    Ok(move |response: &mut Response| {
        render(response, context.id_str());
        if is_head {
            // The router has removed the body of a file, not that of a problem, which hyper would send on HTTP/2.
            *response.body_mut() = Body::empty();
        }
        let headers = response.headers_mut();
        if let Some(timing) = context.server_timing() {
            headers.insert(SERVER_TIMING, timing);
        }
        if let Some(rate_limit) = context.rate_limit() {
            headers.insert(RATELIMIT, rate_limit.limit.clone());
            headers.insert(RATELIMIT_POLICY, rate_limit.policy.clone());
        }
        headers.insert(REQUEST_ID, context.id().clone());
    })
}
