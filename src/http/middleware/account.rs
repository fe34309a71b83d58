//! One metric, one span and one log line a request. All are written by `Drop`, so that a request whose client went away counts too.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::Version;

use super::super::Public;
use super::super::context::Context;
use super::super::problem::{self, Kind, Problem};
use super::trace;
use crate::telemetry::metrics::{GaugeGuard, HttpLabels, HttpMetrics, Metrics};
use crate::telemetry::trace::{CANCELLED, Span};

pub(in super::super) fn account(
    state: &Public,
    request: &Request,
) -> Result<impl FnOnce(&mut Response) + use<>, Problem> {
    let context = Context::of(request.extensions())?;
    let mut account = Account::open(state, context, request);
    Ok(move |response: &mut Response| {
        account.labels.status = Some(response.status().as_u16());
        account.labels.error_type = problem::kind_of(response).map_or("", Kind::name);
        drop(account);
    })
}

/// An open account of a request.
struct Account {
    metrics: Arc<Metrics>,
    context: Context,
    labels: HttpLabels,
    version: Version,
    /// Until it has ended.
    span: Option<Span>,
    _active: GaugeGuard,
}

impl Account {
    fn open(state: &Public, context: Context, request: &Request) -> Self {
        let metrics = &state.metrics;
        let span = trace::begin(&state.tracing, &context, request);
        context.traced(span.context().clone());
        let method = HttpMetrics::method_label(request.method());
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let route = ROUTES
            .into_iter()
            .find(|route| matched == Some(route))
            .unwrap_or(UNMATCHED);
        Self {
            _active: metrics.http.active(method),
            labels: HttpLabels {
                method,
                route,
                status: None,
                error_type: CANCELLED,
            },
            metrics: Arc::clone(metrics),
            context,
            version: request.version(),
            span: Some(span),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let duration = self.context.arrived().elapsed();
        self.metrics.http.record(self.labels, duration);
        if self.labels.error_type == Kind::Overloaded.name() {
            self.metrics.overloaded.increment(1);
        }
        // A line has the ids of the trace in which it is written.
        let in_trace = self.span.as_ref().map(Span::enter);
        self.log(duration);
        drop(in_trace);
        if let Some(span) = self.span.take() {
            trace::end(span, &self.context, self.labels.status, self.labels.error_type);
        }
    }
}

impl Account {
    /// Methods and paths that are not ours are whatever somebody sent, a token in the wrong place, say.
    fn log(&self, duration: Duration) {
        let HttpLabels {
            method,
            route,
            status,
            error_type,
        } = self.labels;
        let outcome = match status {
            None => "unknown",
            Some(..400) => "success",
            Some(_) => "failure",
        };
        tracing::info!(
            event.action = "request",
            event.kind = "event",
            event.category = "web",
            "event.type" = "access",
            event.outcome = outcome,
            event.duration = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
            http.request.method = method,
            http.request.id = self.context.id_str(),
            http.version = version(self.version),
            http.response.status_code = status,
            url.path = Some(route).filter(|route| *route != UNMATCHED),
            client.user.id = self.context.principal().map(|principal| &*principal.client_id),
            "error.type" = Some(error_type).filter(|error| !error.is_empty()),
            shoutback.route = route,
            shoutback.source = self.context.source(),
            shoutback.upstream.attempts = self.context.attempts(),
            "{method} {route}"
        );
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// What stands for a path that no route has.
const UNMATCHED: &str = "unmatched";

/// Every route of the public listener.
const ROUTES: [&str; 7] = [
    "/",
    "/docs",
    "/docs/icon.svg",
    "/docs/page.css",
    "/docs/page.js",
    "/openapi.json",
    "/v1",
];

/// Registers the series that requests will be recorded in, at zero.
pub(in super::super) fn register_series(metrics: &HttpMetrics) {
    for kind in Kind::ALL {
        let route = match kind {
            Kind::NotFound => UNMATCHED,
            _ => "/v1",
        };
        let method = if kind == Kind::MethodNotAllowed {
            "GET"
        } else {
            "POST"
        };
        metrics.expect(HttpLabels {
            method,
            route,
            status: Some(kind.status().as_u16()),
            error_type: kind.name(),
        });
    }
    for (method, route, status, error_type) in [
        ("POST", "/v1", Some(200), ""),
        ("POST", "/v1", None, CANCELLED),
        ("OPTIONS", "/v1", Some(204), ""),
        ("GET", "/", Some(307), ""),
        ("GET", "/docs", Some(200), ""),
        ("GET", "/docs", Some(304), ""),
        ("GET", "/docs/icon.svg", Some(200), ""),
        ("GET", "/docs/icon.svg", Some(304), ""),
        ("GET", "/docs/page.css", Some(200), ""),
        ("GET", "/docs/page.css", Some(304), ""),
        ("GET", "/docs/page.js", Some(200), ""),
        ("GET", "/docs/page.js", Some(304), ""),
        ("GET", "/openapi.json", Some(200), ""),
    ] {
        metrics.expect(HttpLabels {
            method,
            route,
            status,
            error_type,
        });
    }
}
