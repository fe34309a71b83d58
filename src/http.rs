//! HTTP: one table of routes (`routes`), one ordered stack of layers, problems, listeners.
//!
//! Contains adapters only: [`crate::auth`] decides about tokens and [`crate::shout`] makes shouts; this module maps them to headers,
//! bodies and statuses.

mod admin;
mod authentication;
mod body_limits;
mod caching;
mod docs;
mod expectation;
mod field_list;
mod media;
mod middleware;
mod openapi;
pub mod problem;
mod rate_limit;
mod request_context;
mod routes;
pub mod server;
mod shout;
mod state;
mod text_request;

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::X_CONTENT_TYPE_OPTIONS;
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use self::middleware::access_log::access_log;
use self::middleware::hooks::hook;
use self::middleware::load_shed::load_shed;
use self::middleware::request_id::request_id;
use self::middleware::server_span::OtelContextLayer;
use self::problem::Problem;
use self::routes::route_headers;
use crate::telemetry::metrics::Metrics;

pub use self::admin::{Readiness, routes as admin_routes};
pub use self::docs::Page;
pub use self::rate_limit::RateLimit;
pub use self::routes::openapi_document;
pub use self::state::{AppState, AppStateInner};

/// Registers the series of requests to the public routes at zero.
pub(crate) fn register_series(metrics: &Metrics) {
    routes::register_series(&metrics.http);
}

/// The routes of the public listener in their layers.
pub fn public_service(state: AppState) -> impl HttpService {
    with_layers(routes::router(), state)
}

/// A service that a listener can serve.
pub trait HttpService:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Unpin + 'static
{
}

impl<S> HttpService for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Unpin
        + 'static
{
}

/// Adds the layers of every route. A request passes them from top to bottom, its response from bottom to top: headers are set, the
/// request is recorded, and finally the problem gets its body and the response its id.
///
/// They surround the router rather than being part of it: `Router::layer` boxes each layer of each route, and clones all of them
/// for every request.
fn with_layers(routes: Router<AppState>, state: AppState) -> impl HttpService {
    let (for_log, for_load_shed) = (state.clone(), state.clone());
    ServiceBuilder::new()
        // Outermost: sets the request id and renders problem bodies for all inner layers.
        .layer(hook(request_id))
        // Inside the request id, which the log line contains; outside the panic handler, so that panics are counted.
        .layer(hook(move |request: &mut Request| access_log(&for_log, request)))
        // Inside the access log, which starts the span; outside everything that may start a child span.
        .layer(OtelContextLayer)
        // Outside everything that rejects a request or panics, so that these responses get the headers, too.
        .layer(SetResponseHeaderLayer::overriding(
            X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(hook(route_headers))
        // Outside everything that is expensive; inside the access log, so that rejected requests are counted.
        .layer(hook(move |request: &mut Request| {
            load_shed(&for_load_shed, request)
        }))
        .map_response(|response: http::Response<_>| response.map(Body::new))
        .layer(CatchPanicLayer::custom(Problem::from_panic))
        .service(routes.with_state(state))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::routing::get;
    use http::{Method, Request};
    use http_body_util::BodyExt as _;
    use tokio::sync::Semaphore;
    use tower::ServiceExt as _;

    use super::routes::{Access, ROUTES};
    use super::{AppState, AppStateInner, Page, Router, public_service, with_layers};
    use crate::auth::Verifier;
    use crate::config::{Auth, Config, Environment};
    use crate::shout::ShoutService;
    use crate::shoutcloud::{Shoutcloud, ShoutcloudProtocol};
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::trace::Tracing;

    fn state<const N: usize>(environment: [(&str, &str); N]) -> AppState {
        let config = Config::load(&Environment::from(environment))
            .expect("valid")
            .config;
        let metrics = Metrics::new(&[]);
        let tracing = Tracing::disabled();
        let verifier = match &config.auth {
            Auth::Disabled => None,
            Auth::Cognito(cognito) => Some(
                Verifier::new(cognito, &metrics, &tracing)
                    .expect("a client")
                    .into(),
            ),
        };
        AppState::from(AppStateInner {
            shout_service: ShoutService::new(
                Shoutcloud::new(&config.shoutcloud, ShoutcloudProtocol, &metrics, tracing.clone())
                    .expect("a client"),
                config.shoutcloud.deadline,
                &config.shout,
                None,
                metrics.cache.clone(),
            ),
            verifier,
            rate_limit: None,
            metrics: metrics.into(),
            tracing,
            max_body_bytes: config.http.max_body_bytes,
            request_timeout: config.http.request_timeout,
            in_flight: Semaphore::new(config.http.max_requests_in_flight).into(),
            page: Arc::new(Page::new(&config, &super::openapi_document(&config))),
        })
    }

    /// Every method but `OPTIONS`, which needs no token.
    const METHODS: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::TRACE,
    ];

    #[tokio::test]
    async fn routes_need_a_token_unless_declared_public() {
        let app = public_service(state([
            ("COGNITO_USER_POOL_IDS", "us-east-2_AbCdEfGhI"),
            ("COGNITO_CLIENT_IDS", "app"),
        ]));
        let mut authenticated = 0;
        for route in ROUTES {
            for method in METHODS.iter().filter(|method| route.allows(method)) {
                let request = Request::builder().method(method).uri(route.path);
                let request = request.body(Body::from("hi")).expect("a request");
                let response = app.clone().oneshot(request).await.expect("infallible");
                let is_public = matches!(route.access, Access::Public(_));
                assert_eq!(response.status() == 401, !is_public, "{method} {}", route.path);
                authenticated += usize::from(!is_public);
            }
        }
        assert_ne!(authenticated, 0);
    }

    #[tokio::test]
    async fn each_route_handles_exactly_the_methods_of_its_allow_header() {
        let app = public_service(state([("AUTH_MODE", "disabled")]));
        for route in ROUTES {
            for method in METHODS.iter().chain([&Method::OPTIONS]) {
                let request = Request::builder().method(method).uri(route.path);
                let request = request.body(Body::empty()).expect("a request");
                let response = app.clone().oneshot(request).await.expect("infallible");
                assert_eq!(
                    response.status() == 405,
                    !route.allows(method),
                    "{method} {}",
                    route.path
                );
            }
        }
    }

    #[tokio::test]
    async fn every_route_has_its_own_metric_label() {
        let state = state([("AUTH_MODE", "disabled")]);
        let app = public_service(state.clone());
        for route in ROUTES {
            // Methods that a route does not support share a label.
            let (method, label) = if route.allows(&Method::GET) {
                ("GET", "GET")
            } else {
                ("PUT", "_OTHER")
            };
            let request = Request::builder().method(method).uri(route.path);
            let request = request.body(Body::empty()).expect("a request");
            drop(app.clone().oneshot(request).await.expect("infallible"));
            let label = format!("http_request_method=\"{label}\",http_route=\"{}\"", route.path);
            let metrics = state.metrics.render();
            let is_counted = metrics.lines().any(|line| {
                line.starts_with("http_server_request_duration_seconds_count")
                    && line.contains(&label)
                    && line.ends_with(" 1")
            });
            assert!(is_counted, "{label}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_and_is_counted() {
        async fn panics() {
            panic!("s3cret");
        }
        let state = state([("AUTH_MODE", "disabled")]);
        let app = with_layers(Router::new().route("/docs", get(panics)), state.clone());
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
                body.contains(r#""instance":"/requests/a""#) && !body.contains("s3cret"),
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
