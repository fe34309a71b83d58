//! Sampling.

use crate::support::collector::Collector;
use crate::support::send;
use crate::support::upstream::FakeUpstream;

use super::{TRACE, app_with, sent, traceparent};

/// Sends requests with a sampled trace, with an unsampled one and without one. Returns which of them are recorded, and the
/// flags that SHOUTCLOUD got.
async fn recorded(sampler: &str, ratio: &str) -> ([bool; 3], Vec<String>) {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::shouting().await;
    let url = upstream.url();
    let variables = [
        ("OTEL_TRACES_SAMPLER", sampler),
        ("OTEL_TRACES_SAMPLER_ARG", ratio),
        ("SHOUTCLOUD_URL", &url),
    ];
    let app = app_with(&collector, &variables).await;
    for (id, parent) in [
        ("yes", traceparent("01")),
        ("no", traceparent("00")),
        ("new", String::new()),
    ] {
        let request = app
            .shout(id)
            .header("x-request-id", id)
            .header("traceparent", parent);
        assert_eq!(send(request).await.status(), 200);
    }
    app.stop().await;
    let flags = sent(&upstream, "traceparent")
        .iter()
        .map(|sent| sent[sent.len() - 2..].to_owned())
        .collect();
    let servers = collector.named("POST /v1");
    let has = |id| {
        servers
            .iter()
            .any(|span| span.attribute("shoutback.request.id") == Some(id))
    };
    (["yes", "no", "new"].map(has), flags)
}

#[tokio::test]
async fn each_sampler_records_and_propagates_its_decision() {
    for (sampler, ratio, expected) in [
        // The caller's flag decides nothing.
        ("parentbased_always_on", "", [true, true, true]),
        ("parentbased_always_off", "", [false, false, false]),
        ("parentbased_traceidratio", "0", [false, false, false]),
        ("parentbased_traceidratio", "1", [true, true, true]),
        ("always_on", "", [true, true, true]),
        ("always_off", "", [false, false, false]),
        ("traceidratio", "0", [false, false, false]),
    ] {
        let (recorded, flags) = recorded(sampler, ratio).await;
        assert_eq!(recorded, expected, "{sampler} {ratio}");
        let [yes, no, new] = expected.map(|sampled| if sampled { "1" } else { "0" });
        // The id of the new trace is random; the callers' ids are not marked so.
        let new = if new == "1" { "3" } else { "2" };
        assert_eq!(
            flags,
            [yes, no, new].map(|flags| format!("0{flags}")),
            "{sampler} {ratio}"
        );
    }
}

#[tokio::test]
async fn a_ratio_depends_on_the_trace_id() {
    let upstream = FakeUpstream::shouting().await;
    let settings = [
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
    ];
    let app = upstream.app(&settings).await;
    for (trace, sampled) in [
        (format!("{}{}", &TRACE[..16], "0000000000000001"), "01"),
        (format!("{}{}", &TRACE[..16], "ffffffffffffffff"), "00"),
    ] {
        let parent = format!("00-{trace}-b7ad6b7169203331-00");
        let request = app.shout(&trace).header("traceparent", parent);
        assert_eq!(send(request).await.status(), 200);
        let propagated = sent(&upstream, "traceparent").pop().expect("a call");
        assert!(
            propagated.contains(&trace) && propagated.ends_with(sampled),
            "{propagated}"
        );
    }
}

#[tokio::test]
async fn unsampled_spans_are_not_exported() {
    let collector = Collector::start().await;
    let app = app_with(&collector, &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    assert_eq!(send(app.shout("hi")).await.status(), 200);
    app.stop().await;
    assert_eq!(collector.requests(), 0);
}
