//! Propagation of trace context in HTTP headers.
//!
//! The propagators of the OpenTelemetry crates parse the headers. This module rejects what they accept too leniently: a
//! `traceparent` that W3C Trace Context does not allow starts a new trace, and so does a repeated one. It also keeps what
//! they lose: list members on several lines, the random flag of Trace Context Level 2, and the encoding of baggage.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceFlags};
use opentelemetry_aws::trace::XrayPropagator;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::write_hex;
use crate::config::Propagator;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";
const XRAY: &str = "x-amzn-trace-id";

/// The length up to which values should be propagated according to W3C Trace Context. Longer ones are ignored, because
/// each span stores them.
const MAX_STATE_BYTES: usize = 512;
/// The length up to which baggage must be propagated according to W3C Baggage. Longer baggage is ignored.
const MAX_BAGGAGE_BYTES: usize = 8192;

/// The trace id is random (W3C Trace Context Level 2). It is not stored in [`SpanContext`], whose flags the SDK clears for
/// spans that are not sampled; and the X-Ray propagator gives the same bit another meaning.
const RANDOM: TraceFlags = TraceFlags::new(0x02);

/// An entry of a [`Context`]: the caller did not mark the trace id as random. Ids that start here are random.
struct NotRandom;

/// An entry of a [`Context`]: the caller's baggage. It is forwarded as it is encoded, because nothing here reads it.
struct ForwardedBaggage(HeaderValue);

/// The configured propagators, which are applied in this order: the last one that finds a valid context decides.
pub(super) struct Propagators(Vec<Propagator>);

impl Propagators {
    pub(super) fn new(configured: &[Propagator]) -> Self {
        Self(configured.to_vec())
    }

    pub(super) fn extract(&self, headers: &HeaderMap) -> Context {
        let fields = HeaderExtractor::new(headers);
        let context = self
            .0
            .iter()
            .fold(Context::new(), |context, propagator| match propagator {
                Propagator::TraceContext => {
                    TraceContextPropagator::new().extract_with_context(&context, &fields)
                }
                Propagator::XRay => XrayPropagator::new().extract_with_context(&context, &fields),
                Propagator::Baggage => match baggage(headers) {
                    Some(baggage) => context.with_value(ForwardedBaggage(baggage)),
                    None => context,
                },
            });
        let is_random = {
            let span = context.span();
            let caller = span.span_context();
            !caller.is_valid() || self.has_random_flag(caller, &fields)
        };
        if is_random {
            context
        } else {
            context.with_value(NotRandom)
        }
    }

    /// Returns whether the trace of `caller` comes from a `traceparent` with the random flag.
    fn has_random_flag(&self, caller: &SpanContext, fields: &HeaderExtractor<'_>) -> bool {
        let Some(traceparent) = fields
            .get(TRACEPARENT)
            .filter(|_| self.0.contains(&Propagator::TraceContext))
        else {
            return false;
        };
        let mut parts = traceparent.split('-').skip(1);
        let is_same_trace = parts.next() == Some(caller.trace_id().to_string().as_str());
        let flags = parts.nth(1).and_then(|flags| u8::from_str_radix(flags, 16).ok());
        is_same_trace && flags.is_some_and(|flags| flags & RANDOM.to_u8() != 0)
    }

    pub(super) fn inject(&self, context: &Context, headers: &mut HeaderMap) {
        for propagator in &self.0 {
            match propagator {
                Propagator::TraceContext => inject_trace_context(context, headers),
                Propagator::XRay => {
                    XrayPropagator::new().inject_context(context, &mut HeaderInjector(headers));
                }
                Propagator::Baggage => {
                    if let Some(ForwardedBaggage(baggage)) = context.get() {
                        headers.insert(BAGGAGE, baggage.clone());
                    }
                }
            }
        }
    }
}

/// Injects `traceparent` and `tracestate`. The propagator of the SDK drops the random flag.
fn inject_trace_context(context: &Context, headers: &mut HeaderMap) {
    let span = context.span();
    let span_context = span.span_context();
    if !span_context.is_valid() {
        return;
    }
    let random = if context.get::<NotRandom>().is_some() {
        TraceFlags::default()
    } else {
        RANDOM
    };
    let flags = span_context.trace_flags() & TraceFlags::SAMPLED | random;
    let mut traceparent =
        String::with_capacity("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03".len());
    traceparent.push_str("00-");
    write_hex(&mut traceparent, &span_context.trace_id().to_bytes());
    traceparent.push('-');
    write_hex(&mut traceparent, &span_context.span_id().to_bytes());
    traceparent.push('-');
    write_hex(&mut traceparent, &[flags.to_u8()]);
    let mut injector = HeaderInjector(headers);
    injector.set(TRACEPARENT, traceparent);
    injector.set(TRACESTATE, span_context.trace_state().header());
}

/// Returns the valid members of all `baggage` lines. Neither a member nor a property can contain a comma.
fn baggage(headers: &HeaderMap) -> Option<HeaderValue> {
    let members = combine(headers, BAGGAGE, |member| {
        let (name, _) = member.split(';').next().unwrap_or_default().split_once('=')?;
        let name = name.trim_ascii();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        (!name.is_empty() && name.bytes().all(is_token)).then_some(member)
    })?;
    let is_short = !members.is_empty() && members.len() <= MAX_BAGGAGE_BYTES;
    is_short.then(|| HeaderValue::try_from(members).ok()).flatten()
}

/// Combines the lines of a list in their order (RFC 9110 section 5.3), without empty members and those that `filter` drops.
/// Returns `None` if there is no line, or one is not ASCII.
fn combine<'a>(
    headers: &'a HeaderMap,
    name: &str,
    filter: impl Fn(&'a str) -> Option<&'a str>,
) -> Option<String> {
    let mut combined = String::new();
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    for line in lines {
        let members = line.to_str().ok()?.split(',').map(str::trim_ascii);
        for member in members.filter(|member| !member.is_empty()).filter_map(&filter) {
            if !combined.is_empty() {
                combined.push(',');
            }
            combined.push_str(member);
        }
    }
    Some(combined)
}

struct HeaderExtractor<'a> {
    headers: &'a HeaderMap,
    /// All lines of `tracestate`, of which there is usually one at most.
    tracestate: Option<Cow<'a, str>>,
}

impl<'a> HeaderExtractor<'a> {
    fn new(headers: &'a HeaderMap) -> Self {
        let mut lines = headers.get_all(TRACESTATE).iter();
        let tracestate = match (lines.next(), lines.next()) {
            (only, None) => only.and_then(|line| line.to_str().ok()).map(Cow::Borrowed),
            _ => combine(headers, TRACESTATE, Some).map(Cow::Owned),
        };
        Self { headers, tracestate }
    }
}

impl Extractor for HeaderExtractor<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        if name == TRACESTATE {
            let tracestate = self.tracestate.as_deref();
            return tracestate.filter(|value| value.len() <= MAX_STATE_BYTES);
        }
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        let is_only = values.next().is_none();
        let is_valid = match name {
            TRACEPARENT => is_only && is_valid_traceparent(value),
            XRAY => is_only && value.len() <= MAX_STATE_BYTES && has_root_and_parent(value),
            _ => is_only,
        };
        is_valid.then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.headers.keys().map(HeaderName::as_str).collect()
    }
}

/// Returns whether `value` has the four fields of version 00 in full length and lower case. Later versions may have
/// more.
fn is_valid_traceparent(value: &str) -> bool {
    let lengths = [2, 32, 16, 2];
    let fields: Vec<_> = value.split('-').collect();
    let is_hex = |field: &str| {
        field
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let has_valid_count = fields.first() != Some(&"00") || fields.len() == lengths.len();
    has_valid_count
        && fields.len() >= lengths.len()
        && fields
            .iter()
            .zip(lengths)
            .all(|(field, length)| field.len() == length && is_hex(field))
}

/// Returns whether an X-Ray header names the calling span. Load balancers send a root without a parent; accepted as a
/// context, it would hide that of another header.
fn has_root_and_parent(value: &str) -> bool {
    let has = |name| value.split(';').any(|field| field.trim().starts_with(name));
    has("Root=") && has("Parent=")
}

struct HeaderInjector<'a>(&'a mut HeaderMap);

impl Injector for HeaderInjector<'_> {
    fn set(&mut self, name: &str, value: String) {
        if value.is_empty() {
            return;
        }
        let header = HeaderName::from_bytes(name.as_bytes()).ok();
        let value = HeaderValue::try_from(value).ok();
        if let (Some(name), Some(value)) = (header, value) {
            self.0.insert(name, value);
        }
    }
}
