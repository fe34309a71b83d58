//! The sampler, and a tracer that records nothing.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt as _, TraceFlags};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _,
};

/// Builds a sampler that records this ratio of traces. It depends on the trace id alone, so that it decides alike for all spans
/// of a trace, whatever the flags of its parent.
pub(super) fn sampler(ratio: f64) -> Sampler {
    if ratio >= 1.0 {
        Sampler::AlwaysOn
    } else if ratio <= 0.0 {
        Sampler::AlwaysOff
    } else {
        Sampler::TraceIdRatioBased(ratio)
    }
}

/// Samples spans as the SDK does, but records none. Their ids and the sampling decision are propagated, so that
/// SHOUTCLOUD and the log share a trace although the service exports nothing.
pub(super) struct NonRecordingTracer {
    sampler: Sampler,
    ids: RandomIdGenerator,
}

impl NonRecordingTracer {
    pub(super) fn new(sampler: Sampler) -> Self {
        Self {
            sampler,
            ids: RandomIdGenerator::default(),
        }
    }

    /// Generates the ids of a child of the span of `parent`.
    pub(super) fn start(&self, name: &str, kind: &SpanKind, parent: &Context) -> SpanContext {
        let parent_span = parent.span();
        let parent_ids = Some(parent_span.span_context()).filter(|ids| ids.is_valid());
        let trace_id = parent_ids.map_or_else(|| self.ids.new_trace_id(), SpanContext::trace_id);
        let result = self
            .sampler
            .should_sample(Some(parent), trace_id, name, kind, &[], &[]);
        let sampled = result.decision == SamplingDecision::RecordAndSample;
        SpanContext::new(
            trace_id,
            self.ids.new_span_id(),
            TraceFlags::default().with_sampled(sampled),
            false,
            result.trace_state,
        )
    }
}
