//! Traces: OpenTelemetry spans that continue the client's trace and propagate it to SHOUTCLOUD.
//!
//! The client's `sampled` flag decides nothing: the configured sampler does. A request enters the client's trace only
//! once it is accepted: see [`Provisional`].
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
mod provisional;
mod sampling;
mod span;
mod span_queue;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::trace::{
    SpanBuilder, SpanId, SpanKind, TraceContextExt as _, TraceId, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use crate::config::Otel;
use crate::telemetry::metrics::SpanMetrics;
use crate::version;

pub use self::export::ExportTask;
pub use self::otlp::ExporterBuildError;
pub use self::provisional::Provisional;
pub use self::span::{Outcome, Span, SpanName, add_link, end_span, set_attributes};

use self::propagation::Propagators;
use self::provisional::PresetIds;
use self::sampling::NonRecordingTracer;
use self::span_queue::SpanQueue;

/// The version of the semantic conventions that names of spans and attributes follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

/// Starts spans and propagates their context. Cheap to clone.
#[derive(Clone)]
pub struct Tracing(Arc<Inner>);

struct Inner {
    propagators: Propagators,
    tracer: Tracer,
    /// Generates the ids of roots before their spans start.
    ids: NonRecordingTracer,
    queue: Option<SpanQueue>,
}

/// The source of spans.
enum Tracer {
    /// Records spans of sampled traces for export.
    Sdk(Box<SdkTracer>),
    /// Generates and propagates ids only, because no exporter is configured.
    NonRecording,
    /// Starts no spans. The client's context is propagated unchanged.
    Disabled,
}

impl Tracing {
    /// Builds tracing as configured, and the task that exports spans, which must run until the process exits.
    pub fn new(
        config: &Otel,
        metrics: &SpanMetrics,
    ) -> Result<(Self, Option<ExportTask>), ExporterBuildError> {
        let sampler = sampling::sampler(config.sampling_ratio);
        let (tracer, queue, export_task) = match &config.exporter {
            _ if config.disabled => (Tracer::Disabled, None, None),
            None => (Tracer::NonRecording, None, None),
            Some(exporter) => {
                let resource = resource(config);
                let (queue, export_task) = export::new(exporter, &resource, metrics)?;
                let provider = SdkTracerProvider::builder()
                    .with_sampler(sampler.clone())
                    .with_id_generator(PresetIds::default())
                    .with_resource(resource)
                    .with_span_processor(queue.clone())
                    .build();
                let scope = InstrumentationScope::builder("shoutback")
                    .with_version(version::RELEASE)
                    .with_schema_url(SCHEMA_URL)
                    .build();
                let tracer = Box::new(provider.tracer_with_scope(scope));
                (Tracer::Sdk(tracer), Some(queue), Some(export_task))
            }
        };
        let propagators = Propagators::new(&config.propagators);
        let inner = Inner {
            propagators,
            tracer,
            ids: NonRecordingTracer::new(sampler),
            queue,
        };
        Ok((Self(Arc::new(inner)), export_task))
    }

    /// Returns tracing that starts no spans and propagates no context.
    pub fn disabled() -> Self {
        Self(Arc::new(Inner {
            propagators: Propagators::new(&[]),
            tracer: Tracer::Disabled,
            ids: NonRecordingTracer::new(Sampler::AlwaysOff),
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
        self.0.propagators.inject(span.context(), headers);
    }

    /// Starts a span as a child of the span of `parent`, or as the root of a new trace.
    pub fn start_span(&self, name: impl Into<SpanName>, kind: SpanKind, parent: &Context) -> Span {
        Span::from(self.start_context(name, kind, parent))
    }

    /// Does the same, and returns the context in which it is the current span. The caller ends it with [`end_span`].
    pub fn start_context(&self, name: impl Into<SpanName>, kind: SpanKind, parent: &Context) -> Context {
        let SpanName(name) = name.into();
        match self.0.tracer {
            Tracer::Disabled => parent.clone(),
            Tracer::NonRecording => parent.with_remote_span_context(self.0.ids.start(&name, &kind, parent)),
            Tracer::Sdk(_) => self.build(SpanBuilder::from_name(name).with_kind(kind), parent),
        }
    }

    /// Returns whether spans are exported.
    pub fn is_exporting(&self) -> bool {
        matches!(self.0.tracer, Tracer::Sdk(_))
    }

    fn is_enabled(&self) -> bool {
        !matches!(self.0.tracer, Tracer::Disabled)
    }

    /// Starts a recorded span, or none if spans are not exported.
    fn build(&self, builder: SpanBuilder, parent: &Context) -> Context {
        match &self.0.tracer {
            Tracer::Sdk(tracer) => parent.with_span(tracer.build_with_context(builder, parent)),
            Tracer::NonRecording | Tracer::Disabled => parent.clone(),
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

/// Returns the ids of the current trace and span, if there is one.
pub fn current_ids() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| (ids.trace_id(), ids.span_id()))
    })
}

/// Appends `bytes` in lower-case hexadecimal digits.
pub fn write_hex(text: &mut String, bytes: &[u8]) {
    let digit = |value: u8| {
        char::from(
            b"0123456789abcdef"
                .get(usize::from(value))
                .copied()
                .unwrap_or_default(),
        )
    };
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
}

/// Returns the resource attributes. Configured ones override the detected ones.
fn resource(config: &Otel) -> Resource {
    let detected = [
        ("service.version", version::RELEASE.to_owned()),
        ("vcs.ref.head.revision", version::COMMIT.to_owned()),
        ("service.instance.id", uuid::Uuid::now_v7().to_string()),
    ];
    let detected = detected.map(|(name, value)| KeyValue::new(name, value));
    let configured = config.resource.iter();
    let configured = configured.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_schema_url(detected, SCHEMA_URL)
        .with_attributes(configured)
        .build()
}
