//! Traces: spans of what the service does, continued from its callers' and handed on to SHOUTCLOUD.
//!
//! There is no global tracer: [`Tracing`] is handed to whoever begins a span, and which span is the current one goes along in
//! OpenTelemetry's [`Context`], which [`Span::enter`] attaches. Spans are not tracing's: what `RUST_LOG` leaves out of the log
//! is traced all the same, and a request that is not recorded costs two random numbers.
//!
//! Spans that are recorded wait in a bounded queue (`queue`), from which a task sends them (`export`). Nobody waits for that
//! but [`Tracing::flush`], at the end of the process and not for long.

mod export;
mod otlp;
mod propagation;
mod queue;
mod sampling;

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
use crate::telemetry::metrics::SpanMetrics;
use crate::version;

pub use self::export::Exports;
pub use self::otlp::NoExporter;

use self::propagation::Propagation;
use self::queue::Queue;
use self::sampling::Unrecorded;

/// What stands in `error.type` of a span whose work was given up before it had ended.
pub const CANCELLED: &str = "cancelled";

/// Begins spans. Cheap to clone.
#[derive(Clone)]
pub struct Tracing(Arc<Inner>);

struct Inner {
    propagation: Propagation,
    spans: Spans,
    queue: Option<Queue>,
}

/// What becomes of a span.
enum Spans {
    /// It is recorded and exported, if its trace is sampled.
    Recorded(Box<SdkTracer>),
    /// Its ids are made and handed on: there is nowhere to export it to.
    Unrecorded(Unrecorded),
    /// It is the caller's.
    Off,
}

impl Tracing {
    /// Traces as `config` says, and what sends them, which has to run as long as the process does.
    pub fn new(config: &Otel, metrics: &SpanMetrics) -> Result<(Self, Option<Exports>), NoExporter> {
        let sampler = sampling::sampler(config.sampler);
        let (spans, queue, exports) = match &config.exporter {
            _ if config.disabled => (Spans::Off, None, None),
            None => (Spans::Unrecorded(Unrecorded::new(sampler)), None, None),
            Some(exporter) => {
                let resource = resource(config);
                let (queue, exports) = export::start(exporter, &resource, metrics)?;
                let provider = SdkTracerProvider::builder()
                    .with_sampler(sampler)
                    .with_resource(resource)
                    .with_span_processor(queue.clone())
                    .build();
                let tracer = Box::new(provider.tracer("shoutback"));
                (Spans::Recorded(tracer), Some(queue), Some(exports))
            }
        };
        let propagation = Propagation::new(&config.propagators);
        let inner = Inner {
            propagation,
            spans,
            queue,
        };
        Ok((Self(Arc::new(inner)), exports))
    }

    /// Neither begins nor continues a trace.
    pub fn off() -> Self {
        Self(Arc::new(Inner {
            propagation: Propagation::new(&[]),
            spans: Spans::Off,
            queue: None,
        }))
    }

    /// The caller's trace, as `headers` name it; else the beginning of a new one.
    pub fn incoming(&self, headers: &HeaderMap) -> Context {
        self.0.propagation.extract(headers)
    }

    /// Adds what names the trace of `span` to `headers`.
    pub fn outgoing(&self, span: &Span, headers: &mut HeaderMap) {
        self.0.propagation.inject(&span.context, headers);
    }

    /// Begins a span in the trace of `parent`.
    pub fn begin(&self, name: impl Into<Name>, kind: SpanKind, parent: &Context) -> Span {
        let Name(name) = name.into();
        let context = match &self.0.spans {
            Spans::Recorded(tracer) => {
                let span = tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), parent);
                parent.with_span(span)
            }
            Spans::Unrecorded(unrecorded) => {
                parent.with_remote_span_context(unrecorded.begin(&name, &kind, parent))
            }
            Spans::Off => parent.clone(),
        };
        Span {
            context,
            is_over: false,
        }
    }

    /// Sends what is waiting, but no longer than `patience`; whether all of it was sent.
    pub async fn flush(&self, patience: Duration) -> bool {
        match &self.0.queue {
            Some(queue) => tokio::time::timeout(patience, queue.flush()).await.is_ok(),
            None => true,
        }
    }
}

/// The name of a span.
pub struct Name(std::borrow::Cow<'static, str>);

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self(name.into())
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

/// A span under way. It ends when it is dropped: as cancelled, unless its end was told.
pub struct Span {
    context: Context,
    is_over: bool,
}

impl Span {
    /// One of no trace.
    pub fn none() -> Self {
        Self {
            context: Context::new(),
            is_over: false,
        }
    }

    /// The context in which it is the current span.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Its ids, which are invalid if it is of no trace.
    pub fn ids(&self) -> SpanContext {
        self.context.span().span_context().clone()
    }

    /// Whether anybody will see its attributes.
    pub fn is_recording(&self) -> bool {
        self.context.span().is_recording()
    }

    /// Sets attributes, which are only computed if the span is recorded.
    pub fn set<const N: usize>(&self, attributes: impl FnOnce() -> [(&'static str, Value); N]) {
        if self.is_recording() {
            let attributes = attributes().map(|(name, value)| KeyValue::new(name, value));
            self.context.span().set_attributes(attributes);
        }
    }

    /// Points to a span of another trace, or elsewhere in this one, on which this one waits.
    pub fn waits_for(&self, other: &SpanContext) {
        waits_for(&self.context, other);
    }

    /// Makes it the current one until the guard is dropped.
    pub fn enter(&self) -> ContextGuard {
        self.context.clone().attach()
    }

    /// It ended well.
    pub fn end(mut self) {
        self.is_over = true;
    }

    /// It ended in what is somebody else's fault: `error_type` is told, and the status left as it is.
    pub fn refuse(mut self, error_type: &'static str) {
        self.set(|| [("error.type", error_type.into())]);
        self.is_over = true;
    }

    /// It failed.
    pub fn fail(self, error_type: &'static str) {
        if self.is_recording() {
            self.context.span().set_status(Status::error(""));
        }
        self.refuse(error_type);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.is_over {
            self.set(|| [("error.type", CANCELLED.into())]);
        }
        self.context.span().end();
    }
}

/// Has the current span of `context` point to another on which it waits.
pub fn waits_for(context: &Context, other: &SpanContext) {
    let span = context.span();
    if other.is_valid() && span.is_recording() {
        span.add_link(other.clone(), Vec::new());
    }
}

/// The ids of the current trace and span; `None` outside of any.
pub fn current_ids() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| (ids.trace_id(), ids.span_id()))
    })
}

/// What the process says of itself. What was configured goes before what is known.
fn resource(config: &Otel) -> Resource {
    let known = [
        ("service.version", version::VERSION.to_owned()),
        ("vcs.ref.head.revision", version::COMMIT.to_owned()),
        ("service.instance.id", uuid::Uuid::now_v7().to_string()),
    ];
    let known = known.map(|(name, value)| KeyValue::new(name, value));
    let configured = config.resource.iter();
    let configured = configured.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(known)
        .with_attributes(configured)
        .build()
}
