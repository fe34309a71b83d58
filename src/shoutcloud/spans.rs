//! One client span an attempt.

use http::Extensions;
use opentelemetry::Context;
use opentelemetry::trace::SpanKind;
use reqwest::Request;

use crate::config::UpstreamUrl;
use crate::telemetry::metrics::AttemptLabels;
use crate::telemetry::trace::{Span, Tracing};

/// Begins the spans of attempts.
pub(super) struct AttemptSpans {
    tracing: Tracing,
    url: String,
    host: String,
    port: i64,
}

/// How many attempts there were; every attempt finds it in the request's extensions.
#[derive(Clone, Copy, Default)]
struct Made(i64);

impl AttemptSpans {
    pub(super) fn new(tracing: Tracing, url: &UpstreamUrl) -> Self {
        let parsed = url.to_url();
        Self {
            tracing,
            url: url.redacted(),
            host: parsed.host_str().unwrap_or_default().to_owned(),
            port: parsed.port_or_known_default().unwrap_or_default().into(),
        }
    }

    /// Begins one under the current span, and has `request` name it.
    pub(super) fn begin(&self, request: &mut Request, extensions: &mut Extensions) -> Span {
        let span = Context::map_current(|parent| self.tracing.start_span("POST", SpanKind::Client, parent));
        let Made(before) = extensions.get().copied().unwrap_or_default();
        extensions.insert(Made(before + 1));
        span.set_attributes(|| {
            [
                ("http.request.method", "POST".into()),
                ("server.address", self.host.clone().into()),
                ("server.port", self.port.into()),
                ("url.full", self.url.clone().into()),
            ]
        });
        if before > 0 {
            span.set_attributes(|| [("http.request.resend_count", before.into())]);
        }
        self.tracing.inject(&span, request.headers_mut());
        span
    }
}

/// Ends one as it is counted.
pub(super) fn end(span: Span, labels: AttemptLabels) {
    if let Some(status) = labels.status {
        span.set_attributes(|| [("http.response.status_code", i64::from(status).into())]);
    }
    match labels.error_type {
        "" => span.end(),
        error_type => span.fail(error_type),
    }
}
