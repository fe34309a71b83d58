//! Refuses a request while as many as may be are under way, before it costs anything.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, VARY};

use super::super::Public;
use super::super::caching;
use super::super::problem::Problem;

/// The permit is given back when the answer is ready, or with the future of a client that went away.
pub(in super::super) async fn limit(State(state): State<Public>, request: Request, next: Next) -> Response {
    match state.in_flight.try_acquire() {
        Ok(_permit) => next.run(request).await,
        // The layers that give an answer its headers stand further in.
        Err(_) => Problem::overloaded()
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with(VARY, HeaderValue::from_static("accept"))
            .with(caching::CACHE_STATUS, caching::NOT_REACHED)
            .into_response(),
    }
}
