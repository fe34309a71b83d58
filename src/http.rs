//! HTTP: one table of routes ([`routes`]), one ordered stack of layers, problems, listeners.
//!
//! Contains adapters only: [`crate::auth`] decides about tokens and [`crate::shout`] makes shouts; this module maps them to headers,
//! bodies and statuses.

mod admin;
mod authentication;
mod body;
mod caching;
mod docs;
mod media;
mod middleware;
mod openapi;
pub mod problem;
mod request_context;
mod routes;
pub mod server;
mod shout;
mod state;

use axum::Router;
use axum::extract::Request;
use http::HeaderValue;
use http::header::X_CONTENT_TYPE_OPTIONS;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use self::middleware::access_log::access_log;
use self::middleware::hooks::hook;
use self::middleware::load_shed::load_shed;
use self::middleware::request_id::request_id;
use self::middleware::server_span::OtelContextLayer;
use self::problem::Problem;
use crate::telemetry::metrics::Metrics;

pub use self::admin::{Readiness, routes as admin_routes};
pub use self::docs::Page;
pub use self::routes::openapi_document;
pub use self::state::{AppState, AppStateInner};

/// The names of the problems that a call to the domain may end with.
pub(crate) const SHOUT_FAILURES: [&str; 5] = shout::FAILURES;

/// Registers the series of requests to the public routes at zero.
pub(crate) fn register_series(metrics: &Metrics) {
    routes::register_series(&metrics.http);
}

/// The router of the public listener.
pub fn public_routes(state: AppState) -> Router {
    with_layers(routes::router(), state)
}

/// Adds the layers of every route. A request passes them from top to bottom, its response from bottom to top: the load shedding
/// permit is attached, `nosniff` is set, the request is recorded, and finally the problem gets its body and the response its id.
fn with_layers(routes: Router<AppState>, state: AppState) -> Router {
    let (for_log, for_load_shed) = (state.clone(), state.clone());
    let layers = ServiceBuilder::new()
        // Outermost: sets the request id and renders problem bodies for all inner layers.
        .layer(hook(request_id))
        // Inside the request id, which the log line contains; outside the panic handler, so that panics are counted.
        .layer(hook(move |request: &mut Request| access_log(&for_log, request)))
        // Inside the access log, which starts the span; outside everything that may start a child span.
        .layer(OtelContextLayer)
        .layer(SetResponseHeaderLayer::overriding(
            X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        // Outside everything that is expensive; inside the access log, so that rejected requests are counted.
        .layer(hook(move |_: &mut Request| load_shed(&for_load_shed)));
    routes
        .layer(CatchPanicLayer::custom(Problem::from_panic))
        .layer(layers)
        .with_state(state)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tokio::sync::Semaphore;
    use tower::ServiceExt as _;

    use super::{Page, Parts, Public, Router, around_everything, get};
    use crate::config::{Config, Environment};
    use crate::lifecycle::Drain;
    use crate::shout::ShoutService;
    use crate::shoutcloud::Shoutcloud;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::trace::Tracing;

    fn state() -> Public {
        let config = Config::load(&Environment::from([("AUTH_MODE", "disabled")]))
            .expect("valid")
            .config;
        let metrics = Metrics::new(&[], &[], &[]);
        Public::from(Parts {
            shouter: ShoutService::new(
                Shoutcloud::new(&config.shoutcloud, &metrics, Tracing::disabled()).expect("a client"),
                config.shoutcloud.deadline,
                &config.shout,
                metrics.cache.clone(),
            ),
            verifier: None,
            quotas: None,
            metrics: metrics.into(),
            tracing: Tracing::disabled(),
            max_body_bytes: config.http.max_body_bytes,
            request_timeout: config.http.request_timeout,
            in_flight: Semaphore::new(config.http.max_requests_in_flight).into(),
            page: Page::new(&config),
        })
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_and_is_counted() {
        async fn panics() {
            panic!("s3cret");
        }
        let state = state();
        let app = around_everything(Router::new().route("/docs", get(panics)), state.clone());
        for _ in 0..2 {
            let request = Request::get("/docs")
                .header("x-request-id", "a")
                .body(Body::empty())
                .expect("a request");
            let response = app.clone().oneshot(request).await.expect("infallible");
            assert_eq!(response.status(), 500);
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            let body = String::from_utf8(body.to_vec()).expect("UTF-8");
            assert!(body.contains(r##""type":"/docs#internal-error""##), "{body}");
            assert!(
                body.contains(r#""instance":"a""#) && !body.contains("s3cret"),
                "{body}"
            );
        }
        let metrics = state.metrics.render();
        let counted = metrics.lines().any(|line| {
            line.starts_with("http_server_request_duration_seconds_count")
                && line.contains("internal-error")
                && line.ends_with(" 2")
        });
        assert!(counted, "{metrics}");
    }
}
