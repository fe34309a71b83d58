//! The public API over real sockets, by the tables of its documentation.

mod bodies;
mod connections;
mod half_closed;
mod headers;
mod media_types;
mod order;
mod quota;
pub mod responses;
mod routes;
mod sizes;
mod texts;
mod unread_bodies;

use std::time::Duration;

use crate::support::App;

/// Builds `POST /v1` with a valid token and `body` as JSON.
fn json(app: &App, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    app.post()
        .bearer_auth(app.cognito.token())
        .header("content-type", "application/json")
        .body(body)
}

/// Awaits `future` for less than the shortest default timeout, so that only a configured one can have ended it.
async fn promptly<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(9), future)
        .await
        .expect("seconds")
}
