//! The client span of an attempt.

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::trace::SpanKind;

use super::error::Error;
use crate::config::UpstreamUrl;
use crate::telemetry::metrics::{AttemptLabels, LabelValue as _};
use crate::telemetry::redact::without_addresses;
use crate::telemetry::trace::{Span, Tracing};

/// Starts the client spans of attempts.
pub(super) struct AttemptSpans {
    tracing: Tracing,
    url: String,
    host: String,
    port: i64,
}

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

    /// Starts a child of the current span and adds its trace context to `headers`; `resends` attempts were sent before.
    pub(super) fn start(&self, headers: &mut HeaderMap, resends: i64) -> Span {
        let span = Context::map_current(|parent| self.tracing.start_span("POST", SpanKind::Client, parent));
        span.set_attributes(|| {
            [
                ("http.request.method", "POST".into()),
                ("server.address", self.host.clone().into()),
                ("server.port", self.port.into()),
                ("url.full", self.url.clone().into()),
            ]
        });
        if resends > 0 {
            span.set_attributes(|| [("http.request.resend_count", resends.into())]);
        }
        self.tracing.inject(&span, headers);
        span
    }
}

/// Ends `span` with the status and error type that the metrics record.
pub(super) fn end(span: Span, labels: AttemptLabels, error: Option<&Error>) {
    if let Some(status) = labels.status {
        span.set_attributes(|| [("http.response.status_code", i64::from(status).into())]);
    }
    match (labels.error, error) {
        (None, _) => span.end(),
        (Some(error_type), Some(error)) if span.is_recording() => {
            span.fail_with(error_type.as_str(), &without_addresses(&error.to_string()));
        }
        (Some(error_type), _) => span.fail(error_type.as_str()),
    }
}
