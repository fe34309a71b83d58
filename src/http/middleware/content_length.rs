//! Refuses a body that says that it is too long, before anything of it is read or its sender is known.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_LENGTH;

use super::super::Public;
use super::super::problem::Problem;

pub(in super::super) async fn check(State(state): State<Public>, request: Request, next: Next) -> Response {
    let length = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    // hyper has refused what is not a number; one that overflows is too long in any case.
    match length.map(str::parse::<usize>) {
        Some(Ok(length)) if length <= state.max_body_bytes => next.run(request).await,
        None => next.run(request).await,
        Some(_) => Problem::content_too_large(state.max_body_bytes).into_response(),
    }
}
