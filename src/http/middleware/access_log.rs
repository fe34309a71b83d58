//! One metric, one span and one log line per request. `Drop` records them, so that a request whose client disconnected counts too.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use http::Version;

use super::super::problem::{self, Kind, Problem};
use super::super::request_context::RequestContext;
use super::super::routes::{self, UNMATCHED};
use super::super::state::AppState;
use super::server_span;
use crate::telemetry::metrics::{CANCELLED, GaugeGuard, HttpLabels, LabelValue as _, Metrics};
use crate::telemetry::trace::Span;

pub(in super::super) fn access_log(
    state: &AppState,
    request: &Request,
) -> Result<impl FnOnce(&mut Response) + use<>, Problem> {
    let context = RequestContext::of(request.extensions())?;
    let mut record = RequestRecord::start(state, context, request);
    Ok(move |response: &mut Response| {
        record.labels.status = Some(response.status().as_u16());
        record.labels.error_type = problem::kind_of(response).map(Kind::name);
        drop(record);
    })
}

/// A request in flight; recorded when dropped, as cancelled unless there was a response.
struct RequestRecord {
    metrics: Arc<Metrics>,
    context: RequestContext,
    labels: HttpLabels,
    version: Version,
    /// `None` once it has ended.
    span: Option<Span>,
    _active: GaugeGuard,
}

impl RequestRecord {
    fn start(state: &AppState, context: RequestContext, request: &Request) -> Self {
        let metrics = &state.metrics;
        let span = server_span::start(&state.tracing, &context, request);
        context.record_trace(span.context().clone());
        let method = request.method().into();
        Self {
            _active: metrics.http.active(method),
            labels: HttpLabels {
                method,
                route: routes::label(request.extensions()),
                status: None,
                error_type: Some(CANCELLED),
            },
            metrics: Arc::clone(metrics),
            context,
            version: request.version(),
            span: Some(span),
        }
    }

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
            http.request.method = method.as_str(),
            http.request.id = self.context.id_str(),
            http.version = server_span::protocol_version(self.version),
            http.response.status_code = status,
            // Never the raw path of an unknown route, nor an unknown method: either may contain a misplaced token.
            url.path = Some(route).filter(|route| *route != UNMATCHED),
            client.user.id = self.context.principal().map(|principal| &*principal.client_id),
            "error.type" = error_type,
            shoutback.route = route,
            shoutback.source = self.context.source(),
            shoutback.upstream.attempts = self.context.attempts(),
            "{} {route}",
            method.as_str()
        );
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let duration = self.context.started().elapsed();
        self.metrics.http.record(self.labels, duration);
        if self.labels.error_type == Some(Kind::Overloaded.name()) {
            self.metrics.overloaded.increment(1);
        }
        // The log line takes its trace id and span id from the current span.
        let entered = self.span.as_ref().map(Span::attach);
        self.log(duration);
        drop(entered);
        if let Some(span) = self.span.take() {
            server_span::end(span, &self.context, self.labels.status, self.labels.error_type);
        }
    }
}
