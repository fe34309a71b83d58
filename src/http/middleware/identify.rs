//! Gives every request its id and context, and every answer what they say.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderName;

use super::super::context::{Context, REQUEST_ID};
use super::super::problem::render;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub(in super::super) async fn identify(mut request: Request, next: Next) -> Response {
    let context = Context::new(request.headers());
    request.extensions_mut().insert(context.clone());
    let mut response = next.run(request).await;
    render(&mut response, context.id_str());
    if let Some(timing) = context.server_timing() {
        response.headers_mut().insert(SERVER_TIMING, timing);
    }
    response.headers_mut().insert(REQUEST_ID, context.id().clone());
    response
}
