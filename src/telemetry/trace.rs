//! Traces: OpenTelemetry spans that continue the client's trace and propagate it to SHOUTCLOUD.
//!
//! There is no global tracer: [`Tracing`] is passed to the code that starts spans. The current span is part of
//! OpenTelemetry's [`Context`], which [`Span::attach`] makes current. Spans are not those of the `tracing` crate:
//! `RUST_LOG` filters the log only, and a request that is not recorded costs two random numbers.
//!
//! Ended spans are put into a bounded queue (`span_queue`), from which a task exports them (`export`). Only
//! [`Tracing::flush`] waits for that, for a bounded time when the process shuts down.

mod export;
mod otlp;
mod propagation;
mod sampling;
mod span_queue;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, ContextGuard, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::config::Otel;
use crate::telemetry::metrics::{CANCELLED, SpanMetrics};
use crate::version;

pub use self::export::ExportTask;
pub use self::otlp::ExporterBuildError;

use self::propagation::Propagators;
use self::sampling::NonRecordingTracer;
use self::span_queue::SpanQueue;

/// Starts spans and propagates their context. Cheap to clone.
#[derive(Clone)]
pub struct Tracing(Arc<Inner>);

struct Inner {
    propagators: Propagators,
    tracer: Tracer,
    queue: Option<SpanQueue>,
}

/// The source of spans.
enum Tracer {
    /// Records spans of sampled traces for export.
    Sdk(Box<SdkTracer>),
    /// Generates and propagates ids only, because no exporter is configured.
    NonRecording(NonRecordingTracer),
    /// Starts no spans. The client's context is propagated unchanged.
    Disabled,
}

impl Tracing {
    /// Builds tracing as configured, and the task that exports spans, which must run until the process exits.
    pub fn new(
        config: &Otel,
        metrics: &SpanMetrics,
    ) -> Result<(Self, Option<ExportTask>), ExporterBuildError> {
        let sampler = sampling::sampler(config.sampler);
        let (tracer, queue, export_task) = match &config.exporter {
            _ if config.disabled => (Tracer::Disabled, None, None),
            None => {
                let tracer = NonRecordingTracer::new(sampler);
                (Tracer::NonRecording(tracer), None, None)
            }
            Some(exporter) => {
                let resource = resource(config);
                let (queue, export_task) = export::new(exporter, &resource, metrics)?;
                let provider = SdkTracerProvider::builder()
                    .with_sampler(sampler)
                    .with_resource(resource)
                    .with_span_processor(queue.clone())
                    .build();
                let tracer = Box::new(provider.tracer("shoutback"));
                (Tracer::Sdk(tracer), Some(queue), Some(export_task))
            }
        };
        let propagators = Propagators::new(&config.propagators);
        let inner = Inner {
            propagators,
            tracer,
            queue,
        };
        Ok((Self(Arc::new(inner)), export_task))
    }

    /// Returns tracing that starts no spans and propagates no context.
    pub fn disabled() -> Self {
        Self(Arc::new(Inner {
            propagators: Propagators::new(&[]),
            tracer: Tracer::Disabled,
            queue: None,
        }))
    }

    /// Extracts the client's trace context from `headers`. Returns an empty context, which starts a new trace, if there
    /// is none.
    pub fn extract(&self, headers: &HeaderMap) -> Context {
        self.0.propagators.extract(headers)
    }

    /// Injects the trace context of `span` into `headers`.
    pub fn inject(&self, span: &Span, headers: &mut HeaderMap) {
        self.0.propagators.inject(&span.context, headers);
    }

    /// Starts a span as a child of the span of `parent`, or as the root of a new trace.
    pub fn start_span(&self, name: impl Into<SpanName>, kind: SpanKind, parent: &Context) -> Span {
        let SpanName(name) = name.into();
        let context = match &self.0.tracer {
            Tracer::Sdk(tracer) => {
                let span = tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), parent);
                parent.with_span(span)
            }
            Tracer::NonRecording(tracer) => {
                parent.with_remote_span_context(tracer.start(&name, &kind, parent))
            }
            Tracer::Disabled => parent.clone(),
        };
        Span {
            context,
            is_ended: false,
        }
    }

    /// Exports all queued spans. Returns whether that finished within `timeout`.
    pub async fn flush(&self, timeout: Duration) -> bool {
        match &self.0.queue {
            Some(queue) => tokio::time::timeout(timeout, queue.flush()).await.is_ok(),
            None => true,
        }
    }
}

/// The name of a span.
pub struct SpanName(std::borrow::Cow<'static, str>);

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

/// A started span. It ends on drop: as cancelled, unless it was ended explicitly.
pub struct Span {
    context: Context,
    is_ended: bool,
}

impl Span {
    /// Returns a span that belongs to no trace.
    pub fn noop() -> Self {
        Self {
            context: Context::new(),
            is_ended: false,
        }
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
        if self.is_recording() {
            let attributes = attributes().map(|(name, value)| KeyValue::new(name, value));
            self.context.span().set_attributes(attributes);
        }
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
    pub fn end(mut self) {
        self.is_ended = true;
    }

    /// Ends the span with an error that the client caused: `error.type` is set and the status stays unset.
    pub fn reject(mut self, error_type: &'static str) {
        self.set_attributes(|| [("error.type", error_type.into())]);
        self.is_ended = true;
    }

    /// Ends the span with status Error.
    pub fn fail(self, error_type: &'static str) {
        if self.is_recording() {
            self.context.span().set_status(Status::error(""));
        }
        self.reject(error_type);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.is_ended {
            self.set_attributes(|| [("error.type", CANCELLED.into())]);
        }
        self.context.span().end();
    }
}

/// Links the current span of `context` to another, on whose work it waits.
pub fn add_link(context: &Context, other: &SpanContext) {
    let span = context.span();
    if other.is_valid() && span.is_recording() {
        span.add_link(other.clone(), Vec::new());
    }
}

/// Returns the ids of the current trace and span, if there is one.
pub fn current_ids() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| (ids.trace_id(), ids.span_id()))
    })
}

/// Returns the resource attributes. Configured ones override the detected ones.
fn resource(config: &Otel) -> Resource {
    let detected = [
        ("service.version", version::VERSION.to_owned()),
        ("vcs.ref.head.revision", version::COMMIT.to_owned()),
        ("service.instance.id", uuid::Uuid::now_v7().to_string()),
    ];
    let detected = detected.map(|(name, value)| KeyValue::new(name, value));
    let configured = config.resource.iter();
    let configured = configured.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(detected)
        .with_attributes(configured)
        .build()
}
