//! The span of a request before it is known whether the request may enter the trace that its headers name.
//!
//! Any client can send a `traceparent`. A request that is not accepted would put spans into the trace of another client, as many as its
//! sender likes. So its span starts late: in the client's trace once the request is accepted, else as the root of a new trace
//! with a link to the client's span. Until then only the ids of that root exist, for log lines and for the spans of key fetches.

use std::cell::Cell;
use std::time::SystemTime;

use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::{SpanName, Tracing, add_link};

/// A server span that has not started.
pub struct Provisional {
    name: SpanName,
    attributes: Vec<KeyValue>,
    started: SystemTime,
    /// The client's.
    parent: Context,
    /// The root that it becomes unless it is accepted.
    root: Context,
}

impl Tracing {
    /// Returns the span of a request whose headers name the trace of `parent`; or `None` if they name none, or if spans are
    /// disabled: then the span can start at once.
    pub fn provisional(
        &self,
        name: impl FnOnce() -> SpanName,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        parent: &Context,
    ) -> Option<Provisional> {
        if !self.is_enabled() || !parent.span().span_context().is_valid() {
            return None;
        }
        let name = name();
        let ids = self.0.ids.start(&name.0, &SpanKind::Server, &Context::new());
        Some(Provisional {
            attributes: if self.is_exporting() {
                attributes()
            } else {
                Vec::new()
            },
            name,
            started: SystemTime::now(),
            parent: parent.clone(),
            root: Context::new().with_remote_span_context(ids),
        })
    }

    /// Starts the span in the client's trace.
    pub fn accept(&self, provisional: &Provisional) -> Context {
        let Provisional { name, parent, .. } = provisional;
        if !self.is_exporting() {
            return self.start_context(SpanName(name.0.clone()), SpanKind::Server, parent);
        }
        let context = self.build(provisional.builder(), parent);
        // What was done for the request before, such as fetching a key, is in the trace of the root.
        add_link(&context, provisional.root.span().span_context());
        context
    }

    /// Starts the span as the root of a new trace.
    pub fn reject(&self, provisional: &Provisional) -> Context {
        if !self.is_exporting() {
            return provisional.root.clone();
        }
        let link = Link::with_context(provisional.parent.span().span_context().clone());
        let builder = provisional.builder().with_links(vec![link]);
        let _preset = PresetIds::preset(provisional.root.span().span_context());
        self.build(builder, &Context::new())
    }
}

impl Provisional {
    /// Returns the context in which the root is the current span.
    pub fn root(&self) -> &Context {
        &self.root
    }

    fn builder(&self) -> SpanBuilder {
        SpanBuilder::from_name(self.name.0.clone())
            .with_kind(SpanKind::Server)
            .with_start_time(self.started)
            .with_attributes(self.attributes.iter().cloned())
    }
}

thread_local! {
    static PRESET: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Generates random ids, except for a span whose ids exist already.
#[derive(Debug, Default)]
pub(super) struct PresetIds(RandomIdGenerator);

impl PresetIds {
    /// Has spans that this thread starts take the ids of `span`, until the guard is dropped.
    fn preset(span: &SpanContext) -> PresetGuard {
        PRESET.set(Some((span.trace_id(), span.span_id())));
        PresetGuard
    }
}

struct PresetGuard;

impl Drop for PresetGuard {
    fn drop(&mut self) {
        PRESET.set(None);
    }
}

impl IdGenerator for PresetIds {
    fn new_trace_id(&self) -> TraceId {
        PRESET
            .get()
            .map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        PRESET
            .get()
            .map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}
