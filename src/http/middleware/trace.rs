//! One server span a request, which is the current one wherever the request is worked on.

use std::task::{Context as Waker, Poll};

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::{StatusCode, Version};
use opentelemetry::Value;
use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::trace::SpanKind;
use tower::{Layer, Service};

use super::super::context::Context;
use crate::telemetry::metrics::HttpMetrics;
use crate::telemetry::trace::{CANCELLED, Span, Tracing};

/// Begins the span of a request.
pub(super) fn begin(tracing: &Tracing, context: &Context, request: &Request) -> Span {
    let method = HttpMetrics::method_label(request.method());
    let is_known = method == request.method().as_str();
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let named = if is_known { method } else { "HTTP" };
    let parent = tracing.extract(request.headers());
    let span = match route {
        // The one that counts needs no text of its own.
        Some("/v1") if method == "POST" => tracing.start_span("POST /v1", SpanKind::Server, &parent),
        Some(route) => tracing.start_span(format!("{named} {route}"), SpanKind::Server, &parent),
        None => tracing.start_span(named, SpanKind::Server, &parent),
    };
    span.set_attributes(|| {
        [
            ("http.request.method", method.into()),
            // TLS ends in front of the service.
            ("url.scheme", "http".into()),
            ("network.protocol.name", "http".into()),
            ("network.protocol.version", version(request.version())),
            ("shoutback.request.id", context.id_str().to_owned().into()),
        ]
    });
    if let Some(route) = route {
        // No route has a part that varies; paths and methods that are not ours are whatever somebody sent.
        span.set_attributes(|| {
            [
                ("http.route", route.to_owned().into()),
                ("url.path", route.to_owned().into()),
            ]
        });
    }
    span
}

fn version(version: Version) -> Value {
    let version = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    version.into()
}

/// Ends the span of a request. What the client is to blame for is no failure of ours.
pub(super) fn end(span: Span, context: &Context, status: Option<u16>, error_type: &'static str) {
    if let Some(principal) = context.principal() {
        span.set_attributes(|| [("shoutback.client.id", principal.client_id.to_string().into())]);
    }
    if let Some(source) = context.source() {
        span.set_attributes(|| [("shoutback.source", source.into())]);
    }
    if let Some(status) = status {
        span.set_attributes(|| [("http.response.status_code", i64::from(status).into())]);
    }
    let is_ours = status.is_some_and(|status| status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16());
    match error_type {
        "" => span.end(),
        CANCELLED => drop(span),
        _ if is_ours => span.fail(error_type),
        _ => span.reject(error_type),
    }
}

/// Makes the span of a request the current one while the request is polled.
#[derive(Clone)]
pub(in super::super) struct Attach;

impl<S> Layer<S> for Attach {
    type Service = Attaching<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Attaching { inner }
    }
}

#[derive(Clone)]
pub(in super::super) struct Attaching<S> {
    inner: S,
}

impl<S: Service<Request, Response = Response>> Service<Request> for Attaching<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = WithContext<S::Future>;

    fn poll_ready(&mut self, cx: &mut Waker<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let context = request.extensions().get::<Context>();
        let trace = context.map(Context::trace).unwrap_or_default();
        self.inner.call(request).with_context(trace)
    }
}
