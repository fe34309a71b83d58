//! Each variable, and those that depend on each other.

use super::{Exporter, Otel, Propagator, Protocol};
use crate::config::{Config, Environment};

fn load(variables: &[(&str, &str)]) -> Result<Otel, String> {
    let mut environment = Environment::from([("AUTH_MODE", "disabled")]);
    for (name, value) in variables {
        environment.set(name, *value);
    }
    Config::load(&environment)
        .map(|loaded| loaded.config.otel)
        .map_err(|problems| problems.to_string())
}

fn exporter(variables: &[(&str, &str)]) -> Exporter {
    load(variables).expect("valid").exporter.expect("an endpoint")
}

const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

#[test]
fn without_an_endpoint_nothing_is_exported() {
    assert!(load(&[]).expect("valid").exporter.is_none());
    assert!(
        load(&[(GENERAL, ""), (TRACES, " ")])
            .expect("empty counts as unset")
            .exporter
            .is_none()
    );
    let none = [
        (GENERAL, "http://collector:4318"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ];
    assert!(load(&none).expect("valid").exporter.is_none());
}

#[test]
fn a_path_is_appended_to_the_general_endpoint_but_not_to_the_one_for_traces() {
    for (variables, expected) in [
        (&[(GENERAL, "http://c:4318")][..], "http://c:4318/v1/traces"),
        (
            &[(GENERAL, "http://c:4318/otel/")],
            "http://c:4318/otel/v1/traces",
        ),
        (
            &[(GENERAL, "http://c:4318"), (TRACES, "https://t/spans")],
            "https://t/spans",
        ),
        (&[(TRACES, "http://t:1")], "http://t:1/"),
        (
            &[(GENERAL, "http://c:4317"), (PROTOCOL, "grpc")],
            "http://c:4317/",
        ),
    ] {
        assert_eq!(exporter(variables).endpoint.as_str(), expected, "{variables:?}");
    }
}

#[test]
fn variables_for_traces_take_precedence() {
    let one = exporter(&[
        (GENERAL, "http://c:4318"),
        (PROTOCOL, "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=%20two%2C, c = 3"),
    ]);
    assert_eq!((one.protocol, one.timeout.as_millis()), (Protocol::Http, 2));
    assert_eq!(
        one.endpoint.path(),
        "/v1/traces",
        "the path depends on the protocol for traces"
    );
    assert_eq!(one.headers.get("a"), None);
    assert_eq!(
        (&one.headers["b"], &one.headers["c"]),
        (&" two,".parse().unwrap(), &"3".parse().unwrap())
    );
    let unset = exporter(&[
        (GENERAL, "http://c"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", ""),
    ]);
    assert_eq!(unset.headers["a"], "1");
}

#[test]
fn defaults_match_the_specification() {
    let otel = load(&[(GENERAL, "http://c")]).expect("valid");
    assert!(!otel.disabled);
    assert!((otel.sampling_ratio - 1.0).abs() < f64::EPSILON);
    assert_eq!(otel.propagators, [Propagator::TraceContext, Propagator::Baggage]);
    assert_eq!(otel.resource["service.name"], "shoutback");
    let one = otel.exporter.expect("an endpoint");
    assert_eq!((one.max_queue_size, one.max_batch_size), (2048, 512));
    assert_eq!(
        (
            one.schedule_delay.as_secs(),
            one.export_timeout.as_secs(),
            one.timeout.as_secs()
        ),
        (5, 30, 10)
    );
}

#[test]
fn booleans_are_case_insensitive() {
    for (text, disabled) in [("true", true), ("TRUE", true), ("False", false), ("", false)] {
        let read = load(&[("OTEL_SDK_DISABLED", text)]).expect("valid");
        assert_eq!(read.disabled, disabled, "{text}");
    }
}

#[test]
fn samplers_and_their_ratios() {
    for (name, argument, ratio) in [
        ("always_on", "0.3", 1.0),
        ("always_off", "0.3", 0.0),
        ("traceidratio", "0.3", 0.3),
        ("traceidratio", "", 1.0),
        ("parentbased_always_off", "1", 0.0),
        ("parentbased_traceidratio", "0", 0.0),
    ] {
        let read = load(&[
            ("OTEL_TRACES_SAMPLER", name),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ])
        .expect(name)
        .sampling_ratio;
        assert!((read - ratio).abs() < f64::EPSILON, "{name} {argument}");
    }
}

#[test]
fn the_service_name_takes_precedence_over_resource_attributes() {
    let attributes = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=a,deployment.environment.name=pre%20prod,",
    );
    let resource = load(&[attributes]).expect("valid").resource;
    assert_eq!(resource["service.name"], "a");
    assert_eq!(resource["deployment.environment.name"], "pre prod");
    let resource = load(&[attributes, ("OTEL_SERVICE_NAME", "b")])
        .expect("valid")
        .resource;
    assert_eq!(resource["service.name"], "b");
}

#[test]
fn names_and_values_of_pairs_are_percent_decoded_strictly() {
    let read = |text| load(&[("OTEL_RESOURCE_ATTRIBUTES", text)]);
    let resource = read("a%2Db=%C3%A9%2c%3D,%C3%A9t%C3%A9=1=2,c=")
        .expect("valid")
        .resource;
    assert_eq!(resource["a-b"], "é,=");
    assert_eq!(resource["été"], "1=2");
    assert_eq!(resource["c"], "");
    for text in [
        "a=%ZZ",
        "a=%",
        "a=%4",
        "a=1%2",
        "a=%+1",
        "a=% 41",
        "a=100%,b=1",
        "a=%FF",
        "%ZZ=a",
        "%FF=a",
        "a-b=1,a%2Db=2",
        "a",
        "=a",
    ] {
        let problem = read(text).expect_err(text);
        assert!(
            problem.starts_with("OTEL_RESOURCE_ATTRIBUTES: must be"),
            "{problem}"
        );
    }
    assert!(load(&[(GENERAL, "http://c"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=%ZZ")]).is_err());
    let one = exporter(&[
        (GENERAL, "http://c"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x%2Da=%20b%25"),
    ]);
    assert_eq!(one.headers["x-a"], " b%");
}

#[test]
fn batches_are_no_larger_than_the_queue() {
    let small = exporter(&[(GENERAL, "http://c"), ("OTEL_BSP_MAX_QUEUE_SIZE", "10")]);
    assert_eq!(small.max_batch_size, 10);
    let problem = load(&[
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "11"),
    ]);
    assert!(
        problem
            .expect_err("above")
            .starts_with("OTEL_BSP_MAX_EXPORT_BATCH_SIZE: must not")
    );
}

#[test]
fn invalid_values_are_problems_without_secrets() {
    let bad = [
        ("OTEL_SDK_DISABLED", "maybe"),
        ("OTEL_SERVICE_NAME", "a,"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=1,a=1"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.1"),
        ("OTEL_PROPAGATORS", "tracecontext,b3"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        (GENERAL, "s3cret:4318"),
        (TRACES, "http://user:s3cret@collector"),
        (PROTOCOL, "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=s3cret%0A"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
    ];
    let problems = load(&bad).expect_err("all of them");
    assert_eq!(problems.lines().count(), bad.len(), "{problems}");
    assert!(!problems.contains("s3cret"), "{problems}");
    for (name, _) in bad {
        assert!(
            problems.contains(&format!("{name}: must be")),
            "{name}: {problems}"
        );
    }
}

#[test]
fn debug_redacts_headers() {
    let one = exporter(&[
        (GENERAL, "http://c"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret"),
    ]);
    assert!(!format!("{one:?}").contains("s3cret"), "{one:?}");
}
