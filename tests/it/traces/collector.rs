//! Export to the collector, and its failures.

use crate::support::collector::{Behaviour, Collector};
use crate::support::key_server::ReservedPort;
use crate::support::tcp_server::TcpServer;
use crate::support::{App, send, until};

use super::{NO_DELAY, open_app_with};
use crate::support::assert_is_release;

const DROPPED: &str = "shoutback_otlp_spans_dropped_total";
const QUEUE_FULL: [&str; 1] = ["reason=\"queue_full\""];
const EXPORT_FAILED: [&str; 1] = ["reason=\"export_failed\""];

async fn shout(app: &App) {
    assert_eq!(send(app.shout("hi")).await.status(), 200);
}

#[tokio::test]
async fn a_batch_has_the_resource_and_the_configured_headers() {
    for (protocol, path, content_type) in [
        ("http/protobuf", "/v1/traces", "application/x-protobuf"),
        (
            "grpc",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "application/grpc",
        ),
    ] {
        let collector = Collector::start().await;
        let variables = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20letmein,x-tenant=7",
            ),
            ("OTEL_SERVICE_NAME", "shouting"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=staging,service.name=ignored",
            ),
        ];
        let app = open_app_with(&collector, &variables).await;
        shout(&app).await;
        collector.expect("POST /v1", 1).await;
        let batch = collector.batches().remove(0);
        assert_eq!(batch.path, path);
        for (name, value) in [
            ("content-type", content_type),
            ("authorization", "Bearer letmein"),
            ("x-tenant", "7"),
        ] {
            assert_eq!(batch.headers[name], value, "{protocol}");
        }
        for (name, value) in [
            ("service.name", "shouting"),
            ("service.version", shoutback::version::RELEASE),
            ("vcs.ref.head.revision", shoutback::version::COMMIT),
            ("deployment.environment.name", "staging"),
        ] {
            assert_eq!(batch.resource[name], value, "{protocol}");
        }
        assert!(uuid::Uuid::parse_str(&batch.resource["service.instance.id"]).is_ok());
        assert_eq!(app.metric(DROPPED, &[]).await, 0.0);
    }
}

#[tokio::test]
async fn rejected_spans_are_counted_and_not_retried() {
    for protocol in ["http/protobuf", "grpc"] {
        let collector = Collector::start().await;
        let app = open_app_with(&collector, &[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).await;
        let requests = collector.requests();
        collector.set(Behaviour::Reject);
        // One span, and so one batch.
        send(app.post()).await;
        until("the drop is counted", async || {
            app.metric(DROPPED, &EXPORT_FAILED).await == 1.0
        })
        .await;
        assert_eq!(collector.requests(), requests + 1, "{protocol}");
        collector.set(Behaviour::Accept);
        shout(&app).await;
        assert_eq!(collector.expect("POST /v1", 1).await.len(), 1, "{protocol}");
        assert_eq!(app.metric(DROPPED, &[]).await, 1.0, "{protocol}");
    }
}

/// HTTP only: opentelemetry-otlp does not report partial success over gRPC (docs/metrics.md).
#[tokio::test]
async fn spans_rejected_by_a_partial_success_are_counted() {
    let collector = Collector::start().await;
    let app = open_app_with(&collector, &[]).await;
    collector.set(Behaviour::PartialSuccess(1));
    send(app.post()).await;
    until("one is counted", async || {
        app.metric(DROPPED, &EXPORT_FAILED).await == 1.0
    })
    .await;
    collector.expect("POST /v1", 1).await;
}

#[tokio::test]
async fn a_batch_is_retried_after_a_transient_error() {
    for protocol in ["http/protobuf", "grpc"] {
        let collector = Collector::start().await;
        let app = open_app_with(&collector, &[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).await;
        collector.set(Behaviour::Unavailable);
        let requests = collector.requests();
        // One span, and so one batch: without a retry it would never arrive.
        send(app.post()).await;
        collector.wait_for_requests(requests + 1).await;
        collector.set(Behaviour::Accept);
        assert_eq!(collector.expect("POST /v1", 1).await.len(), 1, "{protocol}");
        assert_eq!(app.metric(DROPPED, &[]).await, 0.0, "{protocol}");
    }
}

/// Asserts with both protocols that a request is served and that its two spans are counted as dropped.
async fn assert_both_spans_are_dropped(url: &str) {
    for protocol in ["http/protobuf", "grpc"] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_BSP_EXPORT_TIMEOUT", "5000"),
            ("AUTH_MODE", "disabled"),
            NO_DELAY,
        ];
        let app = App::start(&variables).await;
        shout(&app).await;
        until("the drops are counted", async || {
            app.metric(DROPPED, &EXPORT_FAILED).await == 2.0
        })
        .await;
    }
}

#[tokio::test]
async fn an_unreachable_collector_costs_only_spans() {
    let port = ReservedPort::new();
    assert_both_spans_are_dropped(&port.url()).await;
}

#[tokio::test]
async fn a_collector_that_recovers_gets_later_spans() {
    let port = ReservedPort::new();
    let url = port.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_BSP_EXPORT_TIMEOUT", "5000"),
        ("AUTH_MODE", "disabled"),
        NO_DELAY,
    ];
    let app = App::start(&variables).await;
    shout(&app).await;
    until("the drops are counted", async || {
        app.metric(DROPPED, &EXPORT_FAILED).await == 2.0
    })
    .await;
    let collector = Collector::on(port.listen());
    shout(&app).await;
    collector.expect("POST /v1", 1).await;
}

#[tokio::test]
async fn the_queue_bounds_the_spans_for_a_stalled_collector() {
    let collector = Collector::start().await;
    collector.set(Behaviour::Stall);
    let small = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"),
    ];
    let app = open_app_with(&collector, &small).await;
    send(app.post()).await;
    collector.wait_for_requests(1).await;
    for _ in 0..20 {
        send(app.post()).await;
    }
    // One is being sent, and four are queued.
    assert_eq!(app.metric(DROPPED, &QUEUE_FULL).await, 16.0);
    assert_eq!(app.metric(DROPPED, &EXPORT_FAILED).await, 0.0);
    collector.set(Behaviour::Accept);
    until("the others arrive", async || collector.spans().len() == 5).await;
}

/// Returns how many attempts a collector that stalls sees until the batch is dropped.
async fn attempts_until_dropped(variables: &[(&str, &str)]) -> usize {
    let collector = Collector::start().await;
    collector.set(Behaviour::Stall);
    let app = open_app_with(&collector, variables).await;
    send(app.post()).await;
    until("the drop is counted", async || {
        app.metric(DROPPED, &EXPORT_FAILED).await == 1.0
    })
    .await;
    collector.requests()
}

#[tokio::test]
async fn an_attempt_times_out_and_is_retried() {
    // An attempt with the default of 10 s would outlast the export.
    let variables = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "3000"),
    ];
    assert!(attempts_until_dropped(&variables).await > 1);
}

#[tokio::test]
async fn an_export_times_out() {
    // The default of 30 s would leave time for a second attempt.
    let attempts = attempts_until_dropped(&[("OTEL_BSP_EXPORT_TIMEOUT", "1000")]).await;
    assert_eq!(attempts, 1);
}

#[tokio::test]
async fn a_batch_is_sent_when_it_is_full() {
    let collector = Collector::start().await;
    let variables = [
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3"),
    ];
    let app = open_app_with(&collector, &variables).await;
    for _ in 0..7 {
        send(app.post()).await;
    }
    until("two batches arrive", async || collector.spans().len() == 6).await;
    assert!(collector.batches().iter().all(|batch| batch.spans.len() <= 3));
}

#[tokio::test]
async fn a_collector_that_does_not_speak_http_costs_only_spans() {
    let server = TcpServer::responding("s3cret").await;
    assert_both_spans_are_dropped(&format!("http://{}", server.address)).await;
}

#[tokio::test]
async fn spans_are_compressed_if_configured() {
    for protocol in ["http/protobuf", "grpc"] {
        for (compression, coding) in [(None, None), (Some("none"), None), (Some("gzip"), Some("gzip"))] {
            let collector = Collector::start().await;
            let mut variables = vec![("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
            variables.extend(compression.map(|value| ("OTEL_EXPORTER_OTLP_COMPRESSION", value)));
            let app = open_app_with(&collector, &variables).await;
            shout(&app).await;
            collector.expect("POST /v1", 1).await;
            for batch in collector.batches() {
                let header = batch
                    .headers
                    .get("content-encoding")
                    .or_else(|| batch.headers.get("grpc-encoding"));
                let header = header.map(|value| value.to_str().expect("ASCII"));
                assert_eq!(header, coding, "{protocol} {compression:?}");
            }
        }
    }
}

#[tokio::test]
async fn compression_for_traces_takes_precedence() {
    let collector = Collector::start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
    ];
    let app = open_app_with(&collector, &variables).await;
    shout(&app).await;
    collector.expect("POST /v1", 1).await;
    let headers = collector.batches().remove(0).headers;
    assert!(!headers.contains_key("content-encoding"), "{headers:?}");
}

#[tokio::test]
async fn resource_and_scope_name_the_build() {
    let collector = Collector::start().await;
    let app = open_app_with(&collector, &[]).await;
    shout(&app).await;
    collector.expect("POST /v1", 1).await;
    let batch = collector.batches().remove(0);
    let version = &batch.resource["service.version"];
    assert_is_release(version);
    assert_eq!(batch.scopes.len(), 1);
    for [name, scope_version, schema] in batch.scopes {
        assert_eq!((name.as_str(), &scope_version), ("shoutback", version));
        assert!(
            schema.starts_with("https://opentelemetry.io/schemas/1."),
            "{schema}"
        );
    }
}
