//! The HTTP face: two tables of routes and one ordered stack of layers.
//!
//! Adapters only. What a token must be stands in [`crate::auth`], what a shout is in [`crate::shout`]; here they meet
//! headers, bodies and statuses.

mod admin;
mod admission;
mod body;
mod caching;
mod context;
mod docs;
mod media;
mod middleware;
pub mod problem;
pub mod server;
mod shout;

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::{get, post};
use http::header::{ALLOW, CACHE_CONTROL, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use self::middleware::around;
use self::middleware::trace::Attach;
use self::problem::{Kind, Problem};
use crate::auth::Verifier;
use crate::quota::Quotas;
use crate::shout::Shouter;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Tracing;

pub use self::admin::{Readiness, routes as admin_routes};
pub use self::docs::{Page, openapi};

/// What the public routes need. Cheap to clone: a layer has one of its own, and axum clones all of them for a request.
#[derive(Clone)]
pub struct Public(Arc<Parts>);

impl Deref for Public {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl From<Parts> for Public {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

/// What [`Public`] is made of.
pub struct Parts {
    /// The domain.
    pub shouter: Shouter,
    /// `None`: everybody is let in.
    pub verifier: Option<Arc<Verifier>>,
    /// `None`: as often as they like.
    pub quotas: Option<Arc<Quotas>>,
    /// What is recorded.
    pub metrics: Arc<Metrics>,
    /// What begins spans.
    pub tracing: Tracing,
    /// Longest body.
    pub max_body_bytes: usize,
    /// From the end of a request's head to its answer.
    pub request_timeout: Duration,
    /// One permit for each request that may be under way.
    pub in_flight: Arc<Semaphore>,
    /// The page about the API.
    pub page: Page,
}

/// The names of the problems that the domain can end in.
pub(crate) const SHOUT_FAILURES: [&str; 5] = shout::FAILURES;

/// Registers the series that requests to the public routes will be recorded in, at zero.
pub(crate) fn register_series(metrics: &Metrics) {
    middleware::account::register_series(&metrics.http);
}

const V1_METHODS: &str = "OPTIONS, POST";
const PAGE_METHODS: &str = "GET, HEAD";

/// The public listener's routes.
pub fn public_routes(state: Public) -> Router {
    let page_method = || async { Problem::method_not_allowed(PAGE_METHODS) };
    let mut pages = Router::new()
        .route(
            "/",
            get(|| async { Redirect::temporary("/docs") }).fallback(page_method),
        )
        .route("/docs", get(docs::page).fallback(page_method))
        .route("/openapi.json", get(docs::openapi_json).fallback(page_method));
    for asset in docs::ASSETS {
        let answer = get(async move |request: HeaderMap| asset.answer(&request));
        pages = pages.route(asset.path, answer.fallback(page_method));
    }
    let not_found = || async {
        Problem::new(
            Kind::NotFound,
            "there is nothing at this path; the API is POST /v1",
        )
    };
    let routes = v1_routes().merge(pages).fallback(not_found);
    around_everything(routes, state)
}

fn v1_routes() -> Router<Public> {
    // What `shout` takes is extracted in the order of its arguments: who may call comes before the media types and the body.
    let shout = post(shout::shout)
        .options(|| async { (StatusCode::NO_CONTENT, [(ALLOW, V1_METHODS)]) })
        .fallback(|| async { Problem::method_not_allowed(V1_METHODS) });
    let header = SetResponseHeaderLayer::overriding;
    Router::new().route("/v1", shout).layer(
        ServiceBuilder::new()
            .layer(header(CACHE_CONTROL, HeaderValue::from_static("no-store")))
            .layer(header(VARY, HeaderValue::from_static("accept")))
            .layer(SetResponseHeaderLayer::if_not_present(
                caching::CACHE_STATUS,
                caching::NOT_REACHED,
            ))
            // Innermost, so that a panic's answer gets these headers; the one around everything is for the layers.
            .layer(CatchPanicLayer::custom(panicked)),
    )
}

/// The layers of every route, the outermost first.
fn around_everything(routes: Router<Public>, state: Public) -> Router {
    let (accounting, limiting) = (state.clone(), state.clone());
    let layers = ServiceBuilder::new()
        // Whatever comes back from further in gets its id, and a problem its body.
        .layer(around(middleware::identify::identify))
        // Inside the request id, so that a line can name it; outside the panics, so that they are counted.
        .layer(around(move |request: &mut Request| {
            middleware::account::account(&accounting, request)
        }))
        // Inside the account, which begins the span; outside of whatever does something.
        .layer(Attach)
        .layer(SetResponseHeaderLayer::overriding(
            X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        // Outside of whatever costs something; inside the account, so that what is refused counts.
        .layer(around(move |_: &mut Request| {
            middleware::in_flight::limit(&limiting)
        }));
    routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(layers)
        .with_state(state)
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> axum::response::Response {
    Problem::panicked().into_response()
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
    use crate::shout::Shouter;
    use crate::shoutcloud::Shoutcloud;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::trace::Tracing;

    fn state() -> Public {
        let config = Config::load(&Environment::from([("AUTH_MODE", "disabled")]))
            .expect("valid")
            .config;
        let metrics = Metrics::new(&[], &[], &[]);
        Public::from(Parts {
            shouter: Shouter::new(
                Shoutcloud::new(&config.shoutcloud, &metrics, Tracing::off()).expect("a client"),
                config.shoutcloud.deadline,
                &config.shout,
                metrics.cache.clone(),
            ),
            verifier: None,
            quotas: None,
            metrics: metrics.into(),
            tracing: Tracing::off(),
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
