//! Which traces are recorded.

use crate::support::App;
use crate::support::collector::Collector;

use super::{TRACE, Upstream, app_with, traceparent};

/// Shouts as a caller who records its trace, as one who does not, and as one without a trace. Returns which of them were
/// recorded, and what SHOUTCLOUD was told of that.
async fn recorded(sampler: &str, share: &str) -> ([bool; 3], Vec<String>) {
    let collector = Collector::start().await;
    let upstream = Upstream::start(&[]).await;
    let url = upstream.url();
    let variables = [
        ("OTEL_TRACES_SAMPLER", sampler),
        ("OTEL_TRACES_SAMPLER_ARG", share),
        ("SHOUTCLOUD_URL", &url),
    ];
    let app = app_with(&collector, &variables).await;
    for (id, sent) in [
        ("yes", traceparent("01")),
        ("no", traceparent("00")),
        ("new", String::new()),
    ] {
        let request = app
            .shout(id)
            .header("x-request-id", id)
            .header("traceparent", sent);
        assert_eq!(request.send().await.expect("an answer").status(), 200);
    }
    app.stop().await;
    let told = upstream.sent("traceparent");
    let flags = told
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
async fn samplers_record_what_their_names_say_and_tell_shoutcloud() {
    for (sampler, share, expected) in [
        ("parentbased_always_on", "", [true, false, true]),
        ("parentbased_always_off", "", [true, false, false]),
        ("parentbased_traceidratio", "0", [true, false, false]),
        ("parentbased_traceidratio", "1", [true, false, true]),
        ("always_on", "", [true, true, true]),
        ("always_off", "", [false, false, false]),
        ("traceidratio", "0", [false, false, false]),
    ] {
        let (recorded, flags) = recorded(sampler, share).await;
        assert_eq!(recorded, expected, "{sampler} {share}");
        let told = expected.map(|sampled| if sampled { "01" } else { "00" });
        assert_eq!(flags, told, "{sampler} {share}");
    }
}

#[tokio::test]
async fn a_share_goes_by_the_traces_id() {
    let upstream = Upstream::start(&[]).await;
    let url = upstream.url();
    let variables = [
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
        ("SHOUTCLOUD_URL", &url),
    ];
    let app = App::start(&variables).await;
    for (trace, sampled) in [
        (format!("{}{}", &TRACE[..16], "0000000000000001"), "01"),
        (format!("{}{}", &TRACE[..16], "ffffffffffffffff"), "00"),
    ] {
        let sent = format!("00-{trace}-b7ad6b7169203331-00");
        let request = app.shout(&trace).header("traceparent", sent);
        assert_eq!(request.send().await.expect("an answer").status(), 200);
        let told = upstream.sent("traceparent").pop().expect("a call");
        assert!(told.contains(&trace) && told.ends_with(sampled), "{told}");
    }
}

#[tokio::test]
async fn what_is_not_recorded_is_not_sent() {
    let collector = Collector::start().await;
    let app = app_with(&collector, &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    assert_eq!(app.shout("hi").send().await.expect("an answer").status(), 200);
    app.stop().await;
    assert_eq!(collector.requests(), 0);
}
