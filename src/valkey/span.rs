//! The client span of a command, by OpenTelemetry's conventions for databases.

use opentelemetry::Context;
use opentelemetry::trace::{SpanKind, TraceContextExt as _};
use redis::{Cmd, Value};

use super::error::Error;
use crate::config::ValkeyUrl;
use crate::telemetry::metrics::{LabelValue as _, ValkeyOperation};
use crate::telemetry::trace::{Span, Tracing};

/// Starts the client spans of commands.
pub(super) struct CommandSpans {
    tracing: Tracing,
    host: String,
    port: i64,
    database: String,
}

impl CommandSpans {
    pub(super) fn new(tracing: Tracing, url: &ValkeyUrl) -> Self {
        Self {
            tracing,
            host: url.host.clone(),
            port: url.port.into(),
            database: url.database.to_string(),
        }
    }

    /// Starts a child of the current span, if that is sampled: a command of a background task starts no trace. A write
    /// begins when its request may have ended, after which the request's span is no longer recording.
    pub(super) fn start(&self, operation: ValkeyOperation, command: &Cmd) -> Option<Span> {
        let is_sampled = || Context::map_current(|parent| parent.span().span_context().is_sampled());
        if !self.tracing.is_exporting() || !is_sampled() {
            return None;
        }
        let name = name(command);
        let span =
            Context::map_current(|parent| self.tracing.start_span(name.clone(), SpanKind::Client, parent));
        span.set_attributes(|| {
            [
                // The conventions have no name for Valkey; this is the one of its protocol.
                ("db.system.name", "redis".into()),
                ("db.namespace", self.database.clone().into()),
                ("db.operation.name", name.into()),
                ("server.address", self.host.clone().into()),
                ("server.port", self.port.into()),
                ("shoutback.valkey.operation", operation.as_str().into()),
            ]
        });
        Some(span)
    }
}

/// Ends `span` with the outcome that the metrics record.
pub(super) fn end(span: Span, result: &Result<Value, Error>) {
    match result {
        Ok(_) => span.end(),
        Err(error) => {
            if let Some(code) = error.code() {
                span.set_attributes(|| [("db.response.status_code", code.to_owned().into())]);
            }
            span.fail_with(error.outcome().as_str(), &error.to_string());
        }
    }
}

fn name(command: &Cmd) -> String {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
        Some(_) | None => String::new(),
    }
}
