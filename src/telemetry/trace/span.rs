//! A started span, and how spans end.

use std::borrow::Cow;

use opentelemetry::trace::{SpanContext, Status, TraceContextExt as _};
use opentelemetry::{Context, ContextGuard, KeyValue, Value};

use crate::telemetry::metrics::CANCELLED;

/// The name of a span.
pub struct SpanName(pub(super) Cow<'static, str>);

impl From<&'static str> for SpanName {
    fn from(name: &'static str) -> Self {
        Self(name.into())
    }
}

impl From<String> for SpanName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

/// How the work of a span ended.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// Without an error.
    Completed,
    /// With an error that the client caused: `error.type` is set and the status stays unset.
    Rejected(&'static str),
    /// With an error: `error.type`, and the description of the status.
    Failed(&'static str, &'a str),
    /// It was abandoned: the client disconnected, for example.
    Cancelled,
}

/// Ends the current span of `context`.
pub fn end_span(context: &Context, outcome: Outcome<'_>) {
    let span = context.span();
    if span.is_recording() {
        let (error_type, description) = match outcome {
            Outcome::Completed => (None, None),
            Outcome::Rejected(error_type) => (Some(error_type), None),
            Outcome::Failed(error_type, description) => (Some(error_type), Some(description)),
            Outcome::Cancelled => (Some(CANCELLED), Some("abandoned before it was complete")),
        };
        if let Some(error_type) = error_type {
            span.set_attribute(KeyValue::new("error.type", error_type));
        }
        if let Some(description) = description {
            span.set_status(Status::error(description.to_owned()));
        }
    }
    span.end();
}

/// Sets attributes of the current span of `context`. They are computed only if it is recording.
pub fn set_attributes<const N: usize>(
    context: &Context,
    attributes: impl FnOnce() -> [(&'static str, Value); N],
) {
    let span = context.span();
    if span.is_recording() {
        span.set_attributes(attributes().map(|(name, value)| KeyValue::new(name, value)));
    }
}

/// Links the current span of `context` to another, on whose work it waits.
pub fn add_link(context: &Context, other: &SpanContext) {
    let span = context.span();
    if other.is_valid() && span.is_recording() {
        span.add_link(other.clone(), Vec::new());
    }
}

/// A started span. It ends on drop: as cancelled, unless it was ended explicitly.
pub struct Span {
    context: Context,
    is_ended: bool,
}

impl From<Context> for Span {
    fn from(context: Context) -> Self {
        Self {
            context,
            is_ended: false,
        }
    }
}

impl Span {
    /// Returns a span that belongs to no trace.
    pub fn noop() -> Self {
        Self::from(Context::new())
    }

    /// Returns the context in which this is the current span.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Returns the trace and span ids, which are invalid if the span belongs to no trace.
    pub fn span_context(&self) -> SpanContext {
        self.context.span().span_context().clone()
    }

    /// Returns whether attributes are recorded.
    pub fn is_recording(&self) -> bool {
        self.context.span().is_recording()
    }

    /// Sets attributes. They are computed only if the span is recording.
    pub fn set_attributes<const N: usize>(&self, attributes: impl FnOnce() -> [(&'static str, Value); N]) {
        set_attributes(&self.context, attributes);
    }

    /// Links to another span, on whose work this one waits.
    pub fn add_link(&self, other: &SpanContext) {
        add_link(&self.context, other);
    }

    /// Makes this the current span until the guard is dropped.
    pub fn attach(&self) -> ContextGuard {
        self.context.clone().attach()
    }

    /// Ends the span without an error.
    pub fn end(self) {
        self.end_with(Outcome::Completed);
    }

    /// Ends the span with status Error.
    pub fn fail(self, error_type: &'static str) {
        self.fail_with(error_type, error_type);
    }

    /// Does the same with a description of the error.
    pub fn fail_with(self, error_type: &'static str, description: &str) {
        self.end_with(Outcome::Failed(error_type, description));
    }

    fn end_with(mut self, outcome: Outcome<'_>) {
        self.is_ended = true;
        end_span(&self.context, outcome);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.is_ended {
            end_span(&self.context, Outcome::Cancelled);
        }
    }
}
