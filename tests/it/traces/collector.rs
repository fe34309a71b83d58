//! The collector: what it is told, how, and what happens when it is not well.

use crate::support::collector::{Collector, Mood};
use crate::support::key_server::Reserved;
use crate::support::{App, raw, until};

use super::{SOON, open_app_with};

const DROPPED: &str = "shoutback_otlp_spans_dropped_total";
const QUEUE_FULL: [&str; 1] = ["reason=\"queue_full\""];
const EXPORT_FAILED: [&str; 1] = ["reason=\"export_failed\""];

async fn shout(app: &App) {
    assert_eq!(app.shout("hi").send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn it_is_told_who_sends_and_with_which_headers() {
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
            ("service.version", shoutback::version::VERSION),
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
async fn spans_that_it_refuses_are_counted_and_not_sent_twice() {
    for protocol in ["http/protobuf", "grpc"] {
        let collector = Collector::start().await;
        let app = open_app_with(&collector, &[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).await;
        let asked = collector.requests();
        collector.set(Mood::Refuse);
        shout(&app).await;
        until("they are counted", async || {
            app.metric(DROPPED, &EXPORT_FAILED).await == 2.0
        })
        .await;
        let refused = collector.requests() - asked;
        assert!((1..=2).contains(&refused), "one batch or two: {refused}");
        collector.set(Mood::Good);
        shout(&app).await;
        assert_eq!(collector.expect("POST /v1", 1).await.len(), 1, "{protocol}");
        assert_eq!(app.metric(DROPPED, &[]).await, 2.0, "{protocol}");
    }
}

/// By HTTP alone: opentelemetry-otlp keeps what is said by gRPC to itself (docs/tracing.md).
#[tokio::test]
async fn spans_of_which_it_took_a_part_are_counted() {
    let collector = Collector::start().await;
    let app = open_app_with(&collector, &[]).await;
    collector.set(Mood::Partial(1));
    app.post().send().await.expect("an answer");
    until("one is counted", async || {
        app.metric(DROPPED, &EXPORT_FAILED).await == 1.0
    })
    .await;
    collector.expect("POST /v1", 1).await;
}

#[tokio::test]
async fn a_batch_is_sent_again_to_one_that_is_unwell_for_a_moment() {
    for protocol in ["http/protobuf", "grpc"] {
        let collector = Collector::start().await;
        let app = open_app_with(&collector, &[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).await;
        collector.set(Mood::Unwell);
        let asked = collector.requests();
        shout(&app).await;
        collector.asked(asked + 1).await;
        collector.set(Mood::Good);
        assert_eq!(collector.expect("POST /v1", 1).await.len(), 1, "{protocol}");
        assert_eq!(app.metric(DROPPED, &[]).await, 0.0, "{protocol}");
    }
}

/// A request is served, and its two spans are counted as dropped, whatever is spoken.
async fn both_spans_are_dropped_by(url: &str) {
    for protocol in ["http/protobuf", "grpc"] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_BSP_EXPORT_TIMEOUT", "50"),
            ("AUTH_MODE", "disabled"),
            SOON,
        ];
        let app = App::start(&variables).await;
        shout(&app).await;
        until("they are counted", async || {
            app.metric(DROPPED, &EXPORT_FAILED).await == 2.0
        })
        .await;
    }
}

#[tokio::test]
async fn one_that_is_not_there_costs_its_spans_alone() {
    let nobody = Reserved::port();
    both_spans_are_dropped_by(&nobody.url()).await;
}

#[tokio::test]
async fn one_that_dies_and_comes_back_gets_what_comes_later() {
    let port = Reserved::port();
    let url = port.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_BSP_EXPORT_TIMEOUT", "50"),
        ("AUTH_MODE", "disabled"),
        SOON,
    ];
    let app = App::start(&variables).await;
    shout(&app).await;
    until("they are counted", async || {
        app.metric(DROPPED, &EXPORT_FAILED).await == 2.0
    })
    .await;
    let collector = Collector::on(port.listen());
    shout(&app).await;
    collector.expect("POST /v1", 1).await;
}

#[tokio::test]
async fn one_that_never_answers_costs_no_more_than_its_queue() {
    let collector = Collector::start().await;
    collector.set(Mood::Stall);
    let small = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"),
    ];
    let app = open_app_with(&collector, &small).await;
    app.post().send().await.expect("an answer");
    collector.asked(1).await;
    for _ in 0..20 {
        app.post().send().await.expect("an answer");
    }
    // The first is being sent, and four wait.
    assert_eq!(app.metric(DROPPED, &QUEUE_FULL).await, 16.0);
    assert_eq!(app.metric(DROPPED, &EXPORT_FAILED).await, 0.0);
    collector.set(Mood::Good);
    until("the others arrive", async || collector.spans().len() == 5).await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_given_up() {
    let collector = Collector::start().await;
    collector.set(Mood::Stall);
    let soon = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "50"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "60"),
    ];
    let app = open_app_with(&collector, &soon).await;
    shout(&app).await;
    until("they are counted", async || {
        app.metric(DROPPED, &EXPORT_FAILED).await == 2.0
    })
    .await;
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
        app.post().send().await.expect("an answer");
    }
    until("two batches are there", async || collector.spans().len() == 6).await;
    assert!(collector.batches().iter().all(|batch| batch.spans.len() <= 3));
}

#[tokio::test]
async fn one_that_talks_nonsense_is_a_failure_like_another() {
    let nonsense = raw::Server::answering("s3cret").await;
    both_spans_are_dropped_by(&format!("http://{}", nonsense.address)).await;
}
