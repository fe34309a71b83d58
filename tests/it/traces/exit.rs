//! The process: export at shutdown, and traces in the log.

use serde_json::Value;

use crate::process::child::Process;
use crate::shutdown::process::serve;
use crate::support::collector::{Behaviour, Collector};
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{client, send, until};

use super::{CALLER, NO_DELAY, TRACE, traceparent};

/// Nothing is exported before the shutdown.
const AT_SHUTDOWN: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");

fn export_to(collector: &Collector, upstream: &FakeUpstream, more: &[(&str, &str)]) -> Process {
    let url = collector.url();
    let mut variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    variables.extend(more);
    serve(&upstream.url(), &variables)
}

async fn shout(public: std::net::SocketAddr) {
    let request = client()
        .post(format!("http://{public}/v1"))
        .header("content-type", "text/plain")
        .header("traceparent", traceparent("01"))
        .body("hi");
    assert_eq!(send(request).await.status(), 200);
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn queued_spans_are_exported_at_shutdown() {
    for protocol in ["http/protobuf", "grpc"] {
        let (collector, upstream) = (Collector::start().await, FakeUpstream::shouting().await);
        let mut service = export_to(
            &collector,
            &upstream,
            &[AT_SHUTDOWN, ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)],
        );
        let (public, _) = service.ready().await;
        shout(public).await;
        assert_eq!(collector.requests(), 0);
        service.signal("TERM");
        let ended = service.ended().await;
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{protocol}: {ended:?}"
        );
        assert_eq!(
            (collector.named("POST /v1").len(), collector.named("POST").len()),
            (1, 1),
            "{protocol}"
        );
    }
}

#[tokio::test]
async fn they_are_exported_at_a_shutdown_that_times_out() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::held().await;
    let url = collector.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        AT_SHUTDOWN,
        ("SHUTDOWN_TIMEOUT", "100ms"),
    ];
    let mut service = serve(&upstream.url(), &variables);
    let (public, _) = service.ready().await;
    let waiting = tokio::spawn(
        client()
            .post(format!("http://{public}/v1"))
            .header("content-type", "text/plain")
            .body("hi")
            .send(),
    );
    upstream.called(1).await;
    service.signal("TERM");
    assert_eq!(service.ended().await.code, Some(1));
    assert!(waiting.await.expect("a task").is_err());
    let span = collector.named("POST /v1").remove(0);
    assert_eq!(span.attribute("error.type"), Some("cancelled"));
}

#[tokio::test]
async fn a_stalled_collector_does_not_delay_the_exit() {
    let stop = async |at_shutdown: bool| {
        let (collector, upstream) = (Collector::start().await, FakeUpstream::shouting().await);
        collector.set(Behaviour::Stall);
        let delay = if at_shutdown { AT_SHUTDOWN } else { NO_DELAY };
        let mut service = export_to(&collector, &upstream, &[delay]);
        let (public, _) = service.ready().await;
        shout(public).await;
        if !at_shutdown {
            collector.wait_for_requests(1).await;
        }
        service.signal("TERM");
        let ended = service.ended().await;
        // The collector has not responded.
        assert_eq!((ended.code, collector.requests()), (Some(0), 1), "{ended:?}");
        assert!(collector.spans().is_empty());
        let warned = lines(&ended.stdout)
            .iter()
            .any(|line| line["message"] == "the last spans could not be sent in time");
        assert!(warned, "{ended:?}");
    };
    tokio::join!(stop(true), stop(false));
}

#[tokio::test]
async fn an_unreachable_collector_does_not_delay_the_exit() {
    let upstream = FakeUpstream::shouting().await;
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), NO_DELAY];
    let mut service = serve(&upstream.url(), &variables);
    let (public, _) = service.ready().await;
    shout(public).await;
    service.signal("TERM");
    let ended = service.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let messages: Vec<_> = lines(&ended.stdout)
        .into_iter()
        .filter(|line| line["event.action"] == "traces" || line["event.action"] == "stop")
        .map(|line| line["message"].as_str().expect("a message").to_owned())
        .collect();
    // The export failed at once instead of being retried.
    assert!(
        messages
            .iter()
            .any(|text| text.starts_with("cannot export spans")),
        "{messages:?}"
    );
    assert!(
        !messages.iter().any(|text| text.contains("in time")),
        "{messages:?}"
    );
}

#[tokio::test]
async fn a_second_signal_skips_the_export() {
    let (collector, upstream) = (Collector::start().await, FakeUpstream::shouting().await);
    let mut service = export_to(&collector, &upstream, &[AT_SHUTDOWN, ("SHUTDOWN_GRACE", "5m")]);
    let (public, admin) = service.ready().await;
    shout(public).await;
    service.signal("TERM");
    until("it is unready", async || {
        crate::process::child::readiness(admin).await == Some(503)
    })
    .await;
    service.signal("INT");
    assert_eq!(service.ended().await.code, Some(1));
    assert_eq!(collector.requests(), 0);
}

#[tokio::test]
async fn log_lines_of_a_request_have_its_trace_and_span() {
    let upstream = FakeUpstream::start([Reply::Status(500)]).await;
    let collector = Collector::start().await;
    let mut service = export_to(
        &collector,
        &upstream,
        &[NO_DELAY, ("RUST_LOG", "shoutback=debug")],
    );
    let (public, _) = service.ready().await;
    let failing = client()
        .post(format!("http://{public}/v1"))
        .header("content-type", "text/plain")
        .header("traceparent", traceparent("01"))
        .body("hi");
    assert_eq!(failing.send().await.expect("a response").status(), 503);
    let span = collector.expect("POST /v1", 1).await.remove(0);
    until("it is logged", async || !service.requests().is_empty()).await;
    let line = service.requests().remove(0);
    assert_eq!(
        (line["trace.id"].as_str(), line["span.id"].as_str()),
        (Some(TRACE), Some(span.id.as_str())),
        "{line}"
    );
    assert_ne!(line["span.id"], CALLER);
    let start = service
        .log()
        .into_iter()
        .find(|line| line["message"] == "listening")
        .expect("a line");
    assert!(start.get("trace.id").is_none(), "{start}");
}

#[tokio::test]
async fn requests_are_traced_even_if_they_are_not_logged() {
    let (collector, upstream) = (Collector::start().await, FakeUpstream::shouting().await);
    let mut service = export_to(
        &collector,
        &upstream,
        &[
            NO_DELAY,
            (
                "RUST_LOG",
                "off,shoutback::app=info,shoutback=info,shoutback::http=off",
            ),
        ],
    );
    let (public, _) = service.ready().await;
    shout(public).await;
    collector.expect("POST /v1", 1).await;
    service.signal("TERM");
    let ended = service.ended().await;
    assert!(
        lines(&ended.stdout)
            .iter()
            .all(|line| line["event.action"] != "request"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_failing_collector_is_logged_once_without_its_headers() {
    let (collector, upstream) = (Collector::start().await, FakeUpstream::shouting().await);
    collector.set(Behaviour::Reject);
    let secret = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret");
    let mut service = export_to(&collector, &upstream, &[NO_DELAY, secret, ("RUST_LOG", "trace")]);
    let (public, _) = service.ready().await;
    for times in 1..=3 {
        shout(public).await;
        collector.wait_for_requests(times).await;
    }
    let failures = |service: &Process| {
        let log = service.log().into_iter();
        log.filter(|line| line["event.action"] == "traces").count()
    };
    until("it is logged", async || failures(&service) > 0).await;
    service.signal("TERM");
    let ended = service.ended().await;
    let failures: Vec<_> = lines(&ended.stdout)
        .into_iter()
        .filter(|line| line["event.action"] == "traces")
        .collect();
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert_eq!(failures[0]["error.message"], "status 400 Bad Request");
    assert!(!ended.output().contains("s3cret"));
}
