//! The process: the last spans, and what its log says of traces.

use serde_json::Value;

use crate::process::child::Process;
use crate::shutdown::process::serve;
use crate::support::collector::{Collector, Mood};
use crate::support::{client, until};

use super::{CALLER, TRACE, Upstream, traceparent};

/// Nothing is sent before the end.
const LATE: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");

fn export_to(collector: &Collector, upstream: &Upstream, more: &[(&str, &str)]) -> Process {
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
    assert_eq!(request.send().await.expect("an answer").status(), 200);
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn what_was_not_sent_yet_is_sent_at_the_end() {
    for protocol in ["http/protobuf", "grpc"] {
        let (collector, upstream) = (Collector::start().await, Upstream::start(&[]).await);
        let mut service = export_to(
            &collector,
            &upstream,
            &[LATE, ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)],
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
async fn an_unclean_stop_sends_them_too() {
    let collector = Collector::start().await;
    let upstream = crate::support::held::Held::start().await;
    let url = collector.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        LATE,
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
async fn a_collector_that_stalls_does_not_keep_the_process() {
    let stop = async |is_late: bool| {
        let (collector, upstream) = (Collector::start().await, Upstream::start(&[]).await);
        collector.set(Mood::Stall);
        let delay = if is_late { LATE } else { super::SOON };
        let mut service = export_to(&collector, &upstream, &[delay]);
        let (public, _) = service.ready().await;
        shout(public).await;
        if !is_late {
            collector.asked(1).await;
        }
        service.signal("TERM");
        let ended = service.ended().await;
        // The collector holds its answer until here: nobody waited for that.
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
async fn a_collector_that_refuses_connections_is_not_waited_for() {
    let upstream = Upstream::start(&[]).await;
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), super::SOON];
    let mut service = serve(&upstream.url(), &variables);
    let (public, _) = service.ready().await;
    shout(public).await;
    service.signal("TERM");
    let ended = service.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said: Vec<_> = lines(&ended.stdout)
        .into_iter()
        .filter(|line| line["event.action"] == "traces" || line["event.action"] == "stop")
        .map(|line| line["message"].as_str().expect("a message").to_owned())
        .collect();
    // It gave up at once what it would have tried again later.
    assert!(
        said.iter().any(|text| text.starts_with("cannot export spans")),
        "{said:?}"
    );
    assert!(!said.iter().any(|text| text.contains("in time")), "{said:?}");
}

#[tokio::test]
async fn a_second_signal_sends_nothing() {
    let (collector, upstream) = (Collector::start().await, Upstream::start(&[]).await);
    let mut service = export_to(&collector, &upstream, &[LATE, ("SHUTDOWN_GRACE", "5m")]);
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
async fn log_lines_of_a_request_name_its_trace_whatever_is_logged_and_exported() {
    let (collector, upstream) = (
        Collector::start().await,
        Upstream::start(&[500, 500, 500, 500]).await,
    );
    let mut service = export_to(
        &collector,
        &upstream,
        &[super::SOON, ("RUST_LOG", "shoutback=debug")],
    );
    let (public, _) = service.ready().await;
    let failing = client()
        .post(format!("http://{public}/v1"))
        .header("content-type", "text/plain")
        .header("traceparent", traceparent("01"))
        .body("hi");
    assert_eq!(failing.send().await.expect("an answer").status(), 503);
    let span = collector.expect("POST /v1", 1).await.remove(0);
    for action in ["request", "no-shout"] {
        until(action, async || {
            service.log().iter().any(|line| line["event.action"] == action)
        })
        .await;
        let line = service
            .log()
            .into_iter()
            .find(|line| line["event.action"] == action)
            .expect("a line");
        assert_eq!(
            (line["trace.id"].as_str(), line["span.id"].as_str()),
            (Some(TRACE), Some(span.id.as_str())),
            "{line}"
        );
        assert_ne!(line["span.id"], CALLER);
    }
    let start = service
        .log()
        .into_iter()
        .find(|line| line["message"] == "listening")
        .expect("a line");
    assert!(start.get("trace.id").is_none(), "{start}");
}

#[tokio::test]
async fn what_is_not_logged_is_traced_all_the_same() {
    let (collector, upstream) = (Collector::start().await, Upstream::start(&[]).await);
    let mut service = export_to(
        &collector,
        &upstream,
        &[
            super::SOON,
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
async fn a_failing_collector_is_logged_once_and_its_headers_never() {
    let (collector, upstream) = (Collector::start().await, Upstream::start(&[]).await);
    collector.set(Mood::Refuse);
    let secret = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret");
    let mut service = export_to(
        &collector,
        &upstream,
        &[super::SOON, secret, ("RUST_LOG", "trace")],
    );
    let (public, _) = service.ready().await;
    for times in 1..=3 {
        shout(public).await;
        collector.asked(times).await;
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
