//! What is extracted from a request is injected into the call.

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
fn combines_the_lines_of_a_list() {
    let lines = [
        ("traceparent", VALID),
        ("tracestate", "a=1"),
        ("tracestate", ", b=2 ,"),
        ("tracestate", ""),
        ("tracestate", "c=3"),
        ("baggage", "a=1;p=2 , b=2"),
        ("baggage", "c=3"),
    ];
    let combined = [
        ("traceparent", VALID),
        ("tracestate", "a=1,b=2,c=3"),
        ("baggage", "a=1;p=2,b=2,c=3"),
    ];
    assert_eq!(round_trip(&[TraceContext, Baggage], &lines), headers(&combined));
    let part = format!("a={}", "x".repeat(300));
    let long = [
        ("traceparent", VALID),
        ("tracestate", part.as_str()),
        ("tracestate", &part),
    ];
    assert_eq!(
        round_trip(&[TraceContext], &long),
        headers(&long[..1]),
        "512 bytes in all"
    );
}

#[test]
fn forwards_baggage_as_it_was_encoded() {
    for value in [
        "k=100%2541",
        "k=%C3%A9%2C%3B%3D",
        "k=100%",
        "k=a=b",
        "k=",
        "a%20b=1;p;q=%2541",
        "a=1,a=2",
    ] {
        let sent = [("baggage", value)];
        assert_eq!(round_trip(&[Baggage], &sent), headers(&sent), "{value}");
    }
    let invalid = [("baggage", "no value, =x, a b=1, k=1")];
    assert_eq!(round_trip(&[Baggage], &invalid), headers(&[("baggage", "k=1")]));
    let long = format!("k={}", "x".repeat(8_200));
    assert!(round_trip(&[Baggage], &[("baggage", &long)]).is_empty());
}

#[test]
fn keeps_the_sampled_and_the_random_flag() {
    for (sent, forwarded) in [
        ("00", "00"),
        ("01", "01"),
        ("02", "02"),
        ("03", "03"),
        ("fe", "02"),
        ("ff", "03"),
    ] {
        let parent = |flags| VALID.replace("-01", &format!("-{flags}"));
        for propagators in [&[TraceContext][..], &[TraceContext, XRay], &[XRay, TraceContext]] {
            let out = round_trip(propagators, &[("traceparent", &parent(sent))]);
            assert_eq!(out["traceparent"], parent(forwarded), "{propagators:?}");
            if let Some(xray) = out.get("x-amzn-trace-id") {
                let sampled = if forwarded.ends_with(['1', '3']) {
                    "Sampled=1"
                } else {
                    "Sampled=0"
                };
                assert!(
                    xray.to_str().expect("ASCII").ends_with(sampled),
                    "{sent} {xray:?}"
                );
            }
        }
    }
    let xray = "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1";
    let out = round_trip(&[TraceContext, XRay], &[("x-amzn-trace-id", xray)]);
    assert_eq!(out["traceparent"], VALID, "X-Ray does not promise random ids");
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
