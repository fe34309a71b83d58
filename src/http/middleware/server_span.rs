//! One server span per request, which is the current span wherever the request is processed.

use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use http::header::{HOST, USER_AGENT};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri};
use opentelemetry::KeyValue;
use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::trace::{SpanKind, TraceContextExt as _};
use tower::{Layer, Service};

use super::super::request_context::RequestContext;
use super::super::routes::route_of;
use crate::telemetry::metrics::{LabelValue as _, MethodLabel, ProtocolLabel, SchemeLabel};
use crate::telemetry::trace::{self, Outcome, SpanName, Tracing};

/// The value of `url.path` for a path without a route, which may contain a secret.
const REDACTED: &str = "REDACTED";
/// What is recorded of `user-agent`.
const MAX_USER_AGENT: usize = 256;
/// The longest host name.
const MAX_HOST: usize = 255;

/// Starts the span of a request; or, if the client sent a trace context, has it start once the request is accepted or rejected.
pub(super) fn start(tracing: &Tracing, context: &RequestContext, request: &Request) {
    let parent = tracing.extract(request.headers());
    let provisional = tracing.provisional(|| name(request), || attributes(context, request), &parent);
    if let Some(provisional) = provisional {
        return context.record_provisional(provisional);
    }
    let span = tracing.start_context(name(request), SpanKind::Server, &parent);
    if span.span().is_recording() {
        span.span().set_attributes(attributes(context, request));
    }
    context.record_trace(span);
}

fn name(request: &Request) -> SpanName {
    let method = MethodLabel::from(request.method());
    let name = if method == MethodLabel::Other {
        "HTTP"
    } else {
        method.as_str()
    };
    match route(request) {
        // The most frequent name is not formatted per request.
        Some("/v1") if method == MethodLabel::Post => "POST /v1".into(),
        Some(route) => format!("{name} {route}").into(),
        None => name.into(),
    }
}

fn route(request: &Request) -> Option<&'static str> {
    route_of(request.uri().path()).map(|route| route.path)
}

fn attributes(context: &RequestContext, request: &Request) -> Vec<KeyValue> {
    let scheme = SchemeLabel::from_headers(request.headers());
    let mut attributes = vec![
        KeyValue::new(
            "http.request.method",
            MethodLabel::from(request.method()).as_str(),
        ),
        KeyValue::new("url.scheme", scheme.as_str()),
        KeyValue::new("network.protocol.name", "http"),
        KeyValue::new(
            "network.protocol.version",
            ProtocolLabel::from(request.version()).as_str(),
        ),
        KeyValue::new("shoutback.request.id", context.id_str().to_owned()),
        // No route has parameters, so it is the path, too.
        KeyValue::new("url.path", route(request).unwrap_or(REDACTED)),
    ];
    if let Some(route) = route(request) {
        attributes.push(KeyValue::new("http.route", route));
    }
    if let Some(peer) = context.peer() {
        attributes.push(KeyValue::new("client.address", peer.to_canonical().to_string()));
    }
    if let Some((host, port)) = server(request.uri(), request.headers()) {
        let default = match scheme {
            SchemeLabel::Http => 80,
            SchemeLabel::Https => 443,
        };
        attributes.push(KeyValue::new("server.address", host));
        attributes.push(KeyValue::new("server.port", i64::from(port.unwrap_or(default))));
    }
    if let Some(agent) = request
        .headers()
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
    {
        let agent = agent.get(..MAX_USER_AGENT).unwrap_or(agent);
        attributes.push(KeyValue::new("user_agent.original", agent.to_owned()));
    }
    attributes
}

/// Returns host and port that the client addressed, without user information.
fn server(uri: &Uri, headers: &HeaderMap) -> Option<(String, Option<u16>)> {
    let from_header = || headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let authority = uri.authority().cloned().or_else(from_header)?;
    let host = authority.host().trim_matches(['[', ']']);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    let is_host = (1..=MAX_HOST).contains(&host.len()) && host.bytes().all(is_name);
    is_host.then(|| (host.to_owned(), authority.port_u16()))
}

/// Ends the span of a request with this status and `error.type`; `failure` is the cause of a 5xx in one word and a message. A 4xx
/// is not an error of the server (OpenTelemetry's HTTP conventions).
pub(super) fn end(
    span: &opentelemetry::Context,
    context: &RequestContext,
    (status, error_type): (Option<u16>, Option<&'static str>),
    (cause, message): (Option<&'static str>, Option<&str>),
) {
    if let Some(principal) = context.principal() {
        trace::set_attributes(span, || {
            [("shoutback.client.id", principal.client_id.to_string().into())]
        });
    }
    if let Some(source) = context.source() {
        trace::set_attributes(span, || [("shoutback.source", source.into())]);
    }
    if let Some(status) = status {
        trace::set_attributes(span, || [("http.response.status_code", i64::from(status).into())]);
    }
    if let Some(cause) = cause {
        trace::set_attributes(span, || [("shoutback.failure.cause", cause.into())]);
    }
    let is_server_error = status.is_some_and(|status| status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16());
    let outcome = match (status, error_type) {
        (None, _) => Outcome::Cancelled,
        (Some(_), None) => Outcome::Completed,
        (Some(_), Some(error_type)) if is_server_error => {
            Outcome::Failed(error_type, message.unwrap_or(error_type))
        }
        (Some(_), Some(error_type)) => Outcome::Rejected(error_type),
    };
    trace::end_span(span, outcome);
}

/// Makes the request's span the current one whenever the request's future is polled.
#[derive(Clone)]
pub(in super::super) struct OtelContextLayer;

impl<S> Layer<S> for OtelContextLayer {
    type Service = OtelContextService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OtelContextService { inner }
    }
}

#[derive(Clone)]
pub(in super::super) struct OtelContextService<S> {
    inner: S,
}

impl<S: Service<Request, Response = Response>> Service<Request> for OtelContextService<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = WithContext<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let context = request.extensions().get::<RequestContext>();
        let trace = context.map(RequestContext::trace).unwrap_or_default();
        self.inner.call(request).with_context(trace)
    }
}
