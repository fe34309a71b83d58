//! One server span per request, which is the current span wherever the request is processed.

use std::task::{Context, Poll};

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::{StatusCode, Version};
use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::trace::SpanKind;
use tower::{Layer, Service};

use super::super::request_context::RequestContext;
use crate::telemetry::metrics::{CANCELLED, LabelValue as _, MethodLabel};
use crate::telemetry::trace::{Span, Tracing};

/// Starts the span of a request.
pub(super) fn start(tracing: &Tracing, context: &RequestContext, request: &Request) -> Span {
    let method = MethodLabel::from(request.method());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let name = if method == MethodLabel::Other {
        "HTTP"
    } else {
        method.as_str()
    };
    let parent = tracing.extract(request.headers());
    let span = match route {
        // The most frequent name is not formatted per request.
        Some("/v1") if method == MethodLabel::Post => {
            tracing.start_span("POST /v1", SpanKind::Server, &parent)
        }
        Some(route) => tracing.start_span(format!("{name} {route}"), SpanKind::Server, &parent),
        None => tracing.start_span(name, SpanKind::Server, &parent),
    };
    span.set_attributes(|| {
        [
            ("http.request.method", method.as_str().into()),
            // TLS is terminated in front of the service.
            ("url.scheme", "http".into()),
            ("network.protocol.name", "http".into()),
            (
                "network.protocol.version",
                protocol_version(request.version()).into(),
            ),
            ("shoutback.request.id", context.id_str().to_owned().into()),
        ]
    });
    if let Some(route) = route {
        // No route has parameters, so this is the path, too. The path of an unknown route may contain a secret.
        span.set_attributes(|| {
            [
                ("http.route", route.to_owned().into()),
                ("url.path", route.to_owned().into()),
            ]
        });
    }
    span
}

/// Ends the span of a request. A 4xx is not an error of the server (OpenTelemetry's HTTP conventions).
pub(super) fn end(
    span: Span,
    context: &RequestContext,
    status: Option<u16>,
    error_type: Option<&'static str>,
) {
    if let Some(principal) = context.principal() {
        span.set_attributes(|| [("shoutback.client.id", principal.client_id.to_string().into())]);
    }
    if let Some(source) = context.source() {
        span.set_attributes(|| [("shoutback.source", source.into())]);
    }
    if let Some(status) = status {
        span.set_attributes(|| [("http.response.status_code", i64::from(status).into())]);
    }
    let is_server_error = status.is_some_and(|status| status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16());
    match error_type {
        None => span.end(),
        Some(CANCELLED) => drop(span),
        Some(error_type) if is_server_error => span.fail(error_type),
        Some(error_type) => span.reject(error_type),
    }
}

/// `network.protocol.version`; also `http.version` of the log line.
pub(super) fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
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
