//! Asks [`crate::auth`] who a request comes from.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use super::super::Public;
use super::super::context::Context;
use super::super::problem::Problem;
use crate::auth::Principal;

pub(in super::super) async fn check(
    State(state): State<Public>,
    context: Context,
    request: Request,
    next: Next,
) -> Response {
    let Some(verifier) = &state.verifier else {
        context.let_in(Principal::anonymous());
        return next.run(request).await;
    };
    let asked = Instant::now();
    let verified = verifier.verify(request.headers()).await;
    context.authenticated(asked.elapsed());
    match verified {
        Ok(principal) => {
            context.let_in(principal);
            next.run(request).await
        }
        Err(refusal) => Problem::of_refusal(&refusal, verifier.required_scopes()).into_response(),
    }
}
