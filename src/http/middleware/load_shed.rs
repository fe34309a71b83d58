//! Sheds load: rejects a request while the maximum number is in flight, before it costs anything.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, VARY};

use super::super::caching;
use super::super::problem::Problem;
use super::super::server::InFlightPermit;
use super::super::state::AppState;

/// The response carries the permit until the client has received it or has disconnected.
pub(in super::super) fn load_shed(
    state: &AppState,
) -> Result<impl FnOnce(&mut Response) + use<>, Overloaded> {
    let permit = Arc::clone(&state.in_flight).try_acquire_owned();
    let permit = permit.map_err(|_| Overloaded)?;
    Ok(move |response: &mut Response| {
        response
            .extensions_mut()
            .insert(InFlightPermit::Held(Arc::new(permit)));
    })
}

/// The maximum number of requests is in flight.
pub(in super::super) struct Overloaded;

impl IntoResponse for Overloaded {
    fn into_response(self) -> Response {
        // The layers that set these headers are further in.
        let mut response = Problem::overloaded()
            .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with_header(VARY, HeaderValue::from_static("accept"))
            .with_header(caching::CACHE_STATUS, caching::NOT_REACHED)
            .into_response();
        response.extensions_mut().insert(InFlightPermit::Denied);
        response
    }
}
