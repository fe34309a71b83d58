//! The headers that a trace comes in and goes out with.
//!
//! The libraries' propagators read them; here stands what these let through: a `traceparent` that is not exactly what W3C's
//! Trace Context asks for begins a new trace, and so do two of them.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_aws::trace::XrayPropagator;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use crate::config::Propagator;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const XRAY: &str = "x-amzn-trace-id";

/// The least that everybody has to hand on, says Trace Context; more would wait in memory with every span.
const LONGEST_STATE: usize = 512;

type Format = dyn TextMapPropagator + Send + Sync;

pub(super) struct Propagation(Vec<Box<Format>>);

impl Propagation {
    pub(super) fn new(formats: &[Propagator]) -> Self {
        let formats = formats.iter().map(|format| -> Box<Format> {
            match format {
                Propagator::TraceContext => Box::new(TraceContextPropagator::new()),
                Propagator::Baggage => Box::new(BaggagePropagator::new()),
                Propagator::XRay => Box::new(XrayPropagator::new()),
            }
        });
        Self(formats.collect())
    }

    pub(super) fn extract(&self, headers: &HeaderMap) -> Context {
        let headers = Incoming(headers);
        self.0.iter().fold(Context::new(), |context, format| {
            format.extract_with_context(&context, &headers)
        })
    }

    pub(super) fn inject(&self, context: &Context, headers: &mut HeaderMap) {
        for format in &self.0 {
            format.inject_context(context, &mut Outgoing(headers));
        }
    }
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        let is_only = values.next().is_none();
        let is_good = match name {
            TRACEPARENT => is_only && is_traceparent(value),
            TRACESTATE => is_only && value.len() <= LONGEST_STATE,
            XRAY => is_only && value.len() <= LONGEST_STATE && names_a_span(value),
            _ => is_only,
        };
        is_good.then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Whether it has the parts that version 0 has, each in full length and lower case. Later versions may have more.
fn is_traceparent(value: &str) -> bool {
    let lengths = [2, 32, 16, 2];
    let parts: Vec<_> = value.split('-').collect();
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_of_its_version = parts.first() != Some(&"00") || parts.len() == lengths.len();
    is_of_its_version
        && parts.len() >= lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(part, length)| part.len() == length && is_hex(part))
}

/// Whether a header of X-Ray's says which span called. That of a load balancer that traces nothing itself has a root alone: taken
/// for a trace, it would hide the one that another header names.
fn names_a_span(value: &str) -> bool {
    let has = |name| value.split(';').any(|part| part.trim().starts_with(name));
    has("Root=") && has("Parent=")
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
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

    use super::Propagation;
    use crate::config::Propagator::{self, Baggage, TraceContext, XRay};

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(sent: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    /// What goes out if that came in, without a span of ours in between.
    fn through(formats: &[Propagator], sent: &[(&'static str, &str)]) -> HeaderMap {
        let propagation = Propagation::new(formats);
        let mut out = HeaderMap::new();
        propagation.inject(&propagation.extract(&headers(sent)), &mut out);
        out
    }

    #[test]
    fn what_comes_in_goes_out() {
        for (formats, sent) in [
            (&[TraceContext][..], &[("traceparent", GOOD)][..]),
            (
                &[TraceContext],
                &[("traceparent", GOOD), ("tracestate", "a=1,b=2")],
            ),
            (
                &[TraceContext, Baggage],
                &[("traceparent", GOOD), ("baggage", "a=1")],
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
            assert_eq!(through(formats, sent), headers(sent), "{sent:?}");
        }
        assert!(through(&[XRay], &[("traceparent", GOOD)]).is_empty());
        assert!(through(&[], &[("traceparent", GOOD), ("baggage", "a=1")]).is_empty());
        let both = through(&[TraceContext, XRay], &[("traceparent", GOOD)]);
        assert!(
            both.contains_key("traceparent") && both.contains_key("x-amzn-trace-id"),
            "{both:?}"
        );
    }

    #[test]
    fn a_bad_traceparent_is_none() {
        for bad in [
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
            let context = Propagation::new(&[TraceContext]).extract(&headers(&[("traceparent", bad)]));
            assert!(!context.span().span_context().is_valid(), "{bad}");
        }
        assert!(through(&[TraceContext], &[("traceparent", GOOD), ("traceparent", GOOD)]).is_empty());
    }

    #[test]
    fn a_long_tracestate_is_left_behind() {
        let long = format!("a={}", "x".repeat(600));
        let out = through(&[TraceContext], &[("traceparent", GOOD), ("tracestate", &long)]);
        assert_eq!(out, headers(&[("traceparent", GOOD)]));
    }

    #[test]
    fn a_header_of_x_ray_that_names_no_span_or_is_too_long_is_none() {
        let root = "Root=1-0af76519-16cd43dd8448eb211c80319c";
        let long = format!(
            "{root};Parent=b7ad6b7169203331;Sampled=1;Self={}",
            "x".repeat(600)
        );
        for bad in [root, "Parent=b7ad6b7169203331", &long, "nonsense"] {
            assert!(through(&[XRay], &[("x-amzn-trace-id", bad)]).is_empty(), "{bad}");
            let beside = [("traceparent", GOOD), ("x-amzn-trace-id", bad)];
            let out = through(&[TraceContext, XRay], &beside);
            assert_eq!(
                out.get("traceparent").expect("the one that is good"),
                GOOD,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_later_version_is_continued_as_ours() {
        let later = GOOD.replacen("00", "cc", 1) + "-what-the-future-will-be-like";
        assert_eq!(
            through(&[TraceContext], &[("traceparent", &later)]),
            headers(&[("traceparent", GOOD)])
        );
    }
}
