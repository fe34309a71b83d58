//! Refuses a request while as many as may be are under way, before it costs anything.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, VARY};

use super::super::Public;
use super::super::caching;
use super::super::problem::Problem;
use super::super::server::InFlightPermit;

/// The permit goes with the answer, until that is taken or its client has gone away.
pub(in super::super) fn limit(state: &Public) -> Result<impl FnOnce(&mut Response) + use<>, NoRoom> {
    let permit = Arc::clone(&state.in_flight).try_acquire_owned();
    let permit = permit.map_err(|_| NoRoom)?;
    Ok(move |response: &mut Response| {
        response
            .extensions_mut()
            .insert(InFlightPermit::Held(Arc::new(permit)));
    })
}

/// As many requests as may be are under way.
pub(in super::super) struct NoRoom;

impl IntoResponse for NoRoom {
    fn into_response(self) -> Response {
        // The layers that give an answer its headers stand further in.
        let mut response = Problem::overloaded()
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with(VARY, HeaderValue::from_static("accept"))
            .with(caching::CACHE_STATUS, caching::NOT_REACHED)
            .into_response();
        response.extensions_mut().insert(InFlightPermit::Denied);
        response
    }
}
