//! Propagation of trace context in HTTP headers.
//!
//! The propagators of the OpenTelemetry crates parse the headers. This module rejects what they accept too leniently: a
//! `traceparent` that W3C Trace Context does not allow starts a new trace, and so does a repeated one.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_aws::trace::XrayPropagator;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use crate::config::Propagator;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const XRAY: &str = "x-amzn-trace-id";

/// The length up to which values should be propagated according to W3C Trace Context. Longer ones are ignored, because
/// each span stores them.
const MAX_STATE_BYTES: usize = 512;

type DynPropagator = dyn TextMapPropagator + Send + Sync;

pub(super) struct Propagators(Vec<Box<DynPropagator>>);

impl Propagators {
    pub(super) fn new(configured: &[Propagator]) -> Self {
        let propagators = configured.iter().map(|propagator| -> Box<DynPropagator> {
            match propagator {
                Propagator::TraceContext => Box::new(TraceContextPropagator::new()),
                Propagator::Baggage => Box::new(BaggagePropagator::new()),
                Propagator::XRay => Box::new(XrayPropagator::new()),
            }
        });
        Self(propagators.collect())
    }

    pub(super) fn extract(&self, headers: &HeaderMap) -> Context {
        let headers = HeaderExtractor(headers);
        self.0.iter().fold(Context::new(), |context, propagator| {
            propagator.extract_with_context(&context, &headers)
        })
    }

    pub(super) fn inject(&self, context: &Context, headers: &mut HeaderMap) {
        for propagator in &self.0 {
            propagator.inject_context(context, &mut HeaderInjector(headers));
        }
    }
}

struct HeaderExtractor<'a>(&'a HeaderMap);

impl Extractor for HeaderExtractor<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        let is_only = values.next().is_none();
        let is_valid = match name {
            TRACEPARENT => is_only && is_valid_traceparent(value),
            TRACESTATE => is_only && value.len() <= MAX_STATE_BYTES,
            XRAY => is_only && value.len() <= MAX_STATE_BYTES && has_root_and_parent(value),
            _ => is_only,
        };
        is_valid.then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
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

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use opentelemetry::trace::TraceContextExt as _;

    use super::Propagators;
    use crate::config::Propagator::{self, Baggage, TraceContext, XRay};

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(sent: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    /// Returns the headers injected for the context extracted from `sent`.
    fn round_trip(propagators: &[Propagator], sent: &[(&'static str, &str)]) -> HeaderMap {
        let propagators = Propagators::new(propagators);
        let mut out = HeaderMap::new();
        propagators.inject(&propagators.extract(&headers(sent)), &mut out);
        out
    }

    #[test]
    fn injects_the_extracted_context() {
        for (propagators, sent) in [
            (&[TraceContext][..], &[("traceparent", VALID)][..]),
            (
                &[TraceContext],
                &[("traceparent", VALID), ("tracestate", "a=1,b=2")],
            ),
            (
                &[TraceContext, Baggage],
                &[("traceparent", VALID), ("baggage", "a=1")],
            ),
            (
                &[XRay],
                &[(
                    "x-amzn-trace-id",
                    "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1",
                )],
            ),
            (&[], &[]),
        ] {
            assert_eq!(round_trip(propagators, sent), headers(sent), "{sent:?}");
        }
        assert!(round_trip(&[XRay], &[("traceparent", VALID)]).is_empty());
        assert!(round_trip(&[], &[("traceparent", VALID), ("baggage", "a=1")]).is_empty());
        let both = round_trip(&[TraceContext, XRay], &[("traceparent", VALID)]);
        assert!(
            both.contains_key("traceparent") && both.contains_key("x-amzn-trace-id"),
            "{both:?}"
        );
    }

    #[test]
    fn ignores_an_invalid_or_repeated_traceparent() {
        for invalid in [
            "",
            "nonsense",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            let context = Propagators::new(&[TraceContext]).extract(&headers(&[("traceparent", invalid)]));
            assert!(!context.span().span_context().is_valid(), "{invalid}");
        }
        assert!(round_trip(&[TraceContext], &[("traceparent", VALID), ("traceparent", VALID)]).is_empty());
    }

    #[test]
    fn ignores_a_long_tracestate() {
        let long = format!("a={}", "x".repeat(600));
        let out = round_trip(&[TraceContext], &[("traceparent", VALID), ("tracestate", &long)]);
        assert_eq!(out, headers(&[("traceparent", VALID)]));
    }

    #[test]
    fn ignores_an_x_ray_header_without_parent_or_too_long() {
        let root = "Root=1-0af76519-16cd43dd8448eb211c80319c";
        let long = format!(
            "{root};Parent=b7ad6b7169203331;Sampled=1;Self={}",
            "x".repeat(600)
        );
        for invalid in [root, "Parent=b7ad6b7169203331", &long, "nonsense"] {
            assert!(
                round_trip(&[XRay], &[("x-amzn-trace-id", invalid)]).is_empty(),
                "{invalid}"
            );
            let both = [("traceparent", VALID), ("x-amzn-trace-id", invalid)];
            let out = round_trip(&[TraceContext, XRay], &both);
            assert_eq!(out.get("traceparent").expect("the valid one"), VALID, "{invalid}");
        }
    }

    #[test]
    fn continues_a_later_version_as_version_00() {
        let later = VALID.replacen("00", "cc", 1) + "-what-the-future-will-be-like";
        assert_eq!(
            round_trip(&[TraceContext], &[("traceparent", &later)]),
            headers(&[("traceparent", VALID)])
        );
    }
}
