//! Refuses a request while as many as may be are under way, before it costs anything.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, VARY};

use super::super::Public;
use super::super::caching;
use super::super::problem::Problem;

/// The permit is given back when the answer is ready, or with the future of a client that went away.
pub(in super::super) fn limit(state: &Public) -> Result<impl FnOnce(&mut Response) + use<>, Problem> {
    match Arc::clone(&state.in_flight).try_acquire_owned() {
        Ok(permit) => Ok(move |_: &mut Response| drop(permit)),
        // The layers that give an answer its headers stand further in.
        Err(_) => Err(Problem::overloaded()
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with(VARY, HeaderValue::from_static("accept"))
            .with(caching::CACHE_STATUS, caching::NOT_REACHED)),
    }
}
