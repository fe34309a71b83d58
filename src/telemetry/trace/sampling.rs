//! Which traces are recorded, and the ids of those that are not.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt as _, TraceFlags};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _,
};

use crate::config;

pub(super) fn sampler(config: config::Sampler) -> Sampler {
    let share = if config.ratio >= 1.0 {
        Sampler::AlwaysOn
    } else if config.ratio <= 0.0 {
        Sampler::AlwaysOff
    } else {
        Sampler::TraceIdRatioBased(config.ratio)
    };
    if config.parent_based {
        Sampler::ParentBased(Box::new(share))
    } else {
        share
    }
}

/// Decides about spans as the SDK does, and records none: their ids go on, and what was decided, so that SHOUTCLOUD and the log
/// see one trace where the service itself exports nothing.
pub(super) struct Unrecorded {
    sampler: Sampler,
    ids: RandomIdGenerator,
}

impl Unrecorded {
    pub(super) fn new(sampler: Sampler) -> Self {
        Self {
            sampler,
            ids: RandomIdGenerator::default(),
        }
    }

    pub(super) fn begin(&self, name: &str, kind: &SpanKind, parent: &Context) -> SpanContext {
        let caller = parent.span();
        let caller = Some(caller.span_context()).filter(|ids| ids.is_valid());
        let trace = caller.map_or_else(|| self.ids.new_trace_id(), SpanContext::trace_id);
        let decided = self
            .sampler
            .should_sample(Some(parent), trace, name, kind, &[], &[]);
        let sampled = decided.decision == SamplingDecision::RecordAndSample;
        SpanContext::new(
            trace,
            self.ids.new_span_id(),
            TraceFlags::default().with_sampled(sampled),
            false,
            decided.trace_state,
        )
    }
}
