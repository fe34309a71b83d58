//! The route table of the public listener: paths, methods, access, metric labels, OpenAPI entries.
//!
//! Everything that depends on a route is derived from [`ROUTES`]: the router, the `http_route` label, the series that exist from
//! the start, and the OpenAPI document with the problems of each operation. A route is authenticated unless its entry says
//! [`Access::Public`].

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::response::{Redirect, Response};
use axum::routing::{MethodRouter, get};
use http::header::{ALLOW, CACHE_CONTROL, VARY};
use http::{HeaderValue, StatusCode};
use utoipa::openapi::OpenApi;

use super::authentication::Authenticated;
use super::caching;
use super::docs;
use super::openapi::{self, Operation, document};
use super::problem::{Kind, Problem};
use super::shout;
use super::state::AppState;
use crate::config::Config;
use crate::telemetry::metrics::{
    CANCELLED, HttpLabels, HttpMetrics, MethodLabel, ProtocolLabel, SchemeLabel,
};

/// One path of the public listener.
pub(super) struct Route {
    /// The path, which has no parameters; also the value of the `http_route` label. That of an authenticated route begins with `/v`
    /// and a digit: the SLOs, alerts and dashboards select it by that.
    pub(super) path: &'static str,
    /// Value of `allow`: the methods that [`Access`] handles, and `OPTIONS` where the route has it.
    pub(super) allow: &'static str,
    pub(super) access: Access,
    /// Its `POST` in the OpenAPI document, if it is part of the API.
    operation: Option<Operation>,
    /// Responses whose series exist from the start: method, status (`None`: the client disconnected). Those of the problems of
    /// authenticated routes are added.
    responses: &'static [(MethodLabel, Option<u16>)],
}

/// The clients that a route serves.
pub(super) enum Access {
    /// Clients with a valid token.
    Authenticated(fn() -> Authenticated),
    /// All clients.
    Public(fn() -> MethodRouter<AppState>),
}

/// Every route, the most frequent first.
pub(super) const ROUTES: [Route; 7] = [
    Route {
        path: "/v1",
        allow: "OPTIONS, POST",
        access: Access::Authenticated(|| Authenticated::post(shout::shout)),
        operation: Some(Operation {
            describe: openapi::shout_operation,
            reads_text: true,
            calls_shoutcloud: true,
        }),
        responses: &[
            (MethodLabel::Post, Some(200)),
            (MethodLabel::Post, None),
            (MethodLabel::Options, Some(204)),
        ],
    },
    Route {
        path: "/",
        allow: GET,
        access: Access::Public(|| get(|| async { Redirect::temporary("/docs") })),
        operation: None,
        responses: &[(MethodLabel::Get, Some(307))],
    },
    file("/docs", || get(docs::page)),
    file("/docs/icon.svg", || get(docs::icon)),
    file("/docs/page.css", || get(docs::stylesheet)),
    file("/docs/page.js", || get(docs::script)),
    file("/openapi.json", || get(docs::openapi)),
];

/// Methods of a route that is only read.
pub(super) const GET: &str = "GET, HEAD";

/// Label of requests that match no route. The raw path is never recorded: it may contain a secret, and it has no bound.
pub(super) const UNMATCHED: &str = "unmatched";

const fn file(path: &'static str, handler: fn() -> MethodRouter<AppState>) -> Route {
    Route {
        path,
        allow: GET,
        access: Access::Public(handler),
        operation: None,
        responses: &[(MethodLabel::Get, Some(200)), (MethodLabel::Get, Some(304))],
    }
}

/// The router of the table.
pub(super) fn router() -> Router<AppState> {
    let not_found = || async {
        Problem::new(
            Kind::NotFound,
            "there is nothing at this path; /openapi.json lists those of the API",
        )
    };
    ROUTES
        .iter()
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.method_router())
        })
        .fallback(not_found)
}

impl Route {
    pub(super) fn is_authenticated(&self) -> bool {
        matches!(self.access, Access::Authenticated(_))
    }

    /// Returns whether the route handles `method`.
    #[cfg(test)]
    pub(super) fn allows(&self, method: &http::Method) -> bool {
        self.allow.split(", ").any(|allowed| allowed == method.as_str())
    }

    fn method_router(&self) -> MethodRouter<AppState> {
        let allow = self.allow;
        let method_not_allowed = move || async move { Problem::method_not_allowed(allow) };
        match self.access {
            Access::Public(handlers) => handlers().fallback(method_not_allowed),
            Access::Authenticated(handlers) => handlers()
                .into_method_router()
                .options(move || async move { (StatusCode::NO_CONTENT, [(ALLOW, allow)]) })
                .fallback(method_not_allowed),
        }
    }
}

/// The route of a path. No route has parameters, so this is the one that the router chooses.
pub(super) fn route_of(path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.path == path)
}

/// The value of the `http_route` label of requests to this path.
pub(super) fn label(path: &str) -> &'static str {
    route_of(path).map_or(UNMATCHED, |route| route.path)
}

/// Sets the headers that every response of an authenticated route has, those to shed requests and panics included.
pub(super) fn route_headers(request: &mut Request) -> Result<impl FnOnce(&mut Response) + use<>, Infallible> {
    let route = route_of(request.uri().path());
    let is_authenticated = route.is_some_and(Route::is_authenticated);
    Ok(move |response: &mut Response| {
        if is_authenticated {
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(VARY, HeaderValue::from_static("accept"));
            let cache_status = headers.entry(caching::CACHE_STATUS);
            cache_status.or_insert(caching::NOT_REACHED);
        }
    })
}

/// Registers the series of every route at zero.
pub(super) fn register_series(metrics: &HttpMetrics) {
    let authenticated = || ROUTES.iter().filter(|route| route.is_authenticated());
    let problems = Kind::ALL.into_iter().flat_map(|kind| {
        let series = move |method, route| (method, route, Some(kind.status().as_u16()), Some(kind.name()));
        let of_routes = move |method| authenticated().map(move |route| series(method, route.path));
        let (unmatched, method) = match kind {
            Kind::NotFound => (Some(series(MethodLabel::Post, UNMATCHED)), None),
            Kind::MethodNotAllowed => (None, Some(MethodLabel::Other)),
            _ => (None, Some(MethodLabel::Post)),
        };
        unmatched
            .into_iter()
            .chain(method.into_iter().flat_map(of_routes))
    });
    let responses = ROUTES.iter().flat_map(|route| {
        route.responses.iter().map(|(method, status)| {
            let error_type = status.is_none().then_some(CANCELLED);
            (*method, route.path, *status, error_type)
        })
    });
    let labels = |(method, route, status, error_type)| HttpLabels {
        method,
        route,
        status,
        error_type,
        scheme: SchemeLabel::Http,
        protocol: ProtocolLabel::Http11,
    };
    metrics.preregister(problems.chain(responses).map(labels).collect());
}

/// The OpenAPI document of the routes that are part of the API.
pub fn openapi_document(config: &Config) -> OpenApi {
    let operations = ROUTES.iter().filter_map(|route| {
        let operation = route.operation.as_ref()?;
        Some((route.path, operation, route.is_authenticated()))
    });
    document(config, operations)
}

#[cfg(test)]
mod tests {
    use super::{ROUTES, Route};

    #[test]
    fn metrics_select_the_authenticated_routes_by_their_path() {
        let is_selected = |route: &Route| {
            let version = route.path.strip_prefix("/v");
            version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
        };
        for route in &ROUTES {
            assert_eq!(
                route.is_authenticated(),
                is_selected(route),
                "{}: authenticated routes begin with /v and a digit, others do not; observability/slo/objectives.py selects them",
                route.path
            );
        }
    }

    #[test]
    fn the_document_has_an_operation_of_each_authenticated_route() {
        for route in ROUTES.iter().filter(|route| route.is_authenticated()) {
            assert!(
                route.operation.is_some(),
                "{}: add an Operation to its entry",
                route.path
            );
        }
    }
}
