//! The public API, row by row of the contract's tables, over real sockets.

mod bodies;
pub mod catalogue;
mod connections;
mod forms;
mod headers;
mod order;
mod quota;
mod routes;
mod sizes;
mod texts;

use crate::support::App;

/// `POST /v1` with a good token and `body` as JSON.
fn json(app: &App, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    app.post()
        .bearer_auth(app.cognito.token())
        .header("content-type", "application/json")
        .body(body)
}
