//! Sheds load: rejects a request while the maximum number is in flight, before it costs anything.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use super::super::problem::Problem;
use super::super::request_context::{InFlightPermit, RequestContext};
use super::super::state::AppState;

/// The permit is held until the client has received the response or has disconnected.
pub(in super::super) fn load_shed(
    state: &AppState,
    request: &Request,
) -> Result<impl FnOnce(&mut Response) + use<>, Problem> {
    let context = RequestContext::of(request.extensions())?;
    match Arc::clone(&state.in_flight).try_acquire_owned() {
        Ok(permit) => {
            context.record_permit(InFlightPermit::Held(permit));
            Ok(|_: &mut Response| ())
        }
        Err(_) => {
            context.record_permit(InFlightPermit::Denied);
            Err(Problem::overloaded())
        }
    }
}
