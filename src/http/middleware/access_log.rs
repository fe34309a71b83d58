//! One metric, one span and one log line per request. `Drop` records them, so that a request whose client disconnected counts too.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;

use super::super::problem::{self, Kind, Problem};
use super::super::request_context::{Failure, RequestContext};
use super::super::routes::{self, UNMATCHED};
use super::super::state::AppState;
use super::server_span;
use crate::telemetry::metrics::{
    CANCELLED, GaugeGuard, HttpLabels, LabelValue as _, MethodLabel, ProtocolLabel, SchemeLabel,
};

pub(in super::super) fn access_log(
    state: &AppState,
    request: &Request,
) -> Result<impl FnOnce(&mut Response) + use<>, Problem> {
    let context = RequestContext::of(request.extensions())?;
    let mut record = RequestRecord::start(state, context, request);
    Ok(move |response: &mut Response| {
        record.complete(response);
        drop(record);
    })
}

/// A request in flight; recorded when dropped, as cancelled unless there was a response.
struct RequestRecord {
    state: AppState,
    context: RequestContext,
    /// The label of the method, even where the metrics have another.
    method: MethodLabel,
    labels: HttpLabels,
    kind: Option<Kind>,
    /// The problem's detail, if the response is a 5xx.
    detail: Option<Cow<'static, str>>,
    response_bytes: Option<u64>,
    _active: GaugeGuard,
}

impl RequestRecord {
    fn start(state: &AppState, context: RequestContext, request: &Request) -> Self {
        server_span::start(&state.tracing, &context, request);
        let method = request.method().into();
        Self {
            _active: state.metrics.http.active(method),
            method,
            labels: HttpLabels {
                method,
                route: routes::label(request.uri().path()),
                status: None,
                error_type: Some(CANCELLED),
                scheme: SchemeLabel::from_headers(request.headers()),
                protocol: ProtocolLabel::from(request.version()),
            },
            state: state.clone(),
            context,
            kind: None,
            detail: None,
            response_bytes: None,
        }
    }

    fn complete(&mut self, response: &mut Response) {
        let status = response.status();
        self.kind = problem::kind_of(response);
        if status.is_server_error() {
            self.detail = problem::detail_of(response);
        }
        // Here rather than in the layer of the request id, so that the size is known.
        problem::render(response, self.context.id_str());
        self.response_bytes = response.body().size_hint().exact();
        self.labels.status = Some(status.as_u16());
        self.labels.error_type = self.kind.map(Kind::name);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            // Clients choose the method, and each would be a series per route.
            self.labels.method = MethodLabel::Other;
        }
    }

    /// Why the response is a 5xx: the cause in one word and a message.
    fn failure(&self) -> (Option<&'static str>, Option<&str>) {
        match (self.context.failure(), &self.detail) {
            (Some(Failure { cause, message }), Some(_)) => (Some(cause), Some(message)),
            (None, detail) => (None, detail.as_deref()),
            // A stale entry or the fallback replaced the failure.
            (Some(_), None) => (None, None),
        }
    }

    fn log(&self, duration: Duration) {
        let HttpLabels {
            route,
            status,
            error_type,
            protocol,
            ..
        } = self.labels;
        let outcome = match status {
            None => "unknown",
            Some(..400) => "success",
            Some(_) => "failure",
        };
        let (category, event_type) = match self.kind {
            Some(Kind::Unauthenticated | Kind::Forbidden) => ("web,authentication", "access,denied"),
            _ => ("web", "access"),
        };
        let (cause, message) = self.failure();
        let method = self.method.as_str();
        let summary = match (method, route) {
            // The most frequent one is not formatted per request.
            ("POST", "/v1") => Cow::Borrowed("POST /v1"),
            _ => Cow::Owned(format!("{method} {route}")),
        };
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    event.action = "request",
                    event.kind = "event",
                    event.category = category,
                    "event.type" = event_type,
                    event.outcome = outcome,
                    event.duration = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
                    http.request.method = method,
                    http.request.id = self.context.id_str(),
                    http.request.body.bytes = self.context.body_bytes(),
                    http.version = protocol.as_str(),
                    http.response.status_code = status,
                    http.response.body.bytes = self.response_bytes,
                    // Never the raw path of an unknown route, nor an unknown method: either may contain a misplaced token.
                    url.path = Some(route).filter(|route| *route != UNMATCHED),
                    client.user.id = self.context.principal().map(|principal| &*principal.client_id),
                    "error.type" = error_type,
                    error.message = message,
                    shoutback.failure.cause = cause,
                    shoutback.route = route,
                    shoutback.source = self.context.source(),
                    shoutback.upstream.attempts = self.context.attempts(),
                    message = &*summary,
                )
            };
        }
        match status {
            Some(500) => log!(error),
            Some(501..) => log!(warn),
            _ => log!(info),
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let duration = self.context.started().elapsed();
        self.state.metrics.http.record(self.labels, duration);
        if self.kind == Some(Kind::Overloaded) {
            self.state.metrics.overloaded.increment(1);
        }
        let trace = self.context.final_trace(&self.state.tracing);
        // The log line takes its trace id and span id from the current span.
        let entered = trace.clone().attach();
        self.log(duration);
        drop(entered);
        let (cause, message) = self.failure();
        server_span::end(
            &trace,
            &self.context,
            (self.labels.status, self.labels.error_type),
            (cause, message),
        );
    }
}
