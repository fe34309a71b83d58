//! docs/logging.md documents every field and event that is logged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shoutback_emulators::shoutcloud::Behaviour;
use tempfile::TempDir;

use super::panics::lines_of_a_panic;
use super::{send_requests, serve, settings, shoutcloud};
use crate::process::child::Process;
use crate::support::http1::Connection;
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::ADA;
use crate::support::upstream::FakeUpstream;
use crate::support::{client, http1, until};

const DOCS: &str = include_str!("../../../docs/logging.md");

/// Returns the first two cells of the rows of the tables with this heading, the first one without its quotes.
fn rows(cells: usize, heading: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut is_in_table = false;
    for line in DOCS.lines() {
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        match columns.get(1) {
            None => is_in_table = false,
            Some(first) if *first == heading => is_in_table = true,
            Some(first) if is_in_table && first.starts_with('`') => {
                assert_eq!(columns.len(), cells + 2, "{line}");
                rows.push((first.trim_matches('`').to_owned(), columns[2].to_owned()));
            }
            Some(_) => {}
        }
    }
    rows
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Number(number) if number.is_u64() => "integer",
        _ => "other",
    }
}

/// Logs requests, also with a failing upstream, which opens the breaker.
async fn of_requests() -> Vec<Value> {
    let shoutcloud = shoutcloud().await;
    let url = shoutcloud.url();
    let variables = [
        ("RUST_LOG", "shoutback=trace"),
        ("BREAKER_MIN_CALLS", "1"),
        ("SHOUTCLOUD_MAX_RETRIES", "0"),
        ("COGNITO_CLIENT_ID", "unknown"),
    ];
    let mut service = serve(&url, &variables);
    let (public, _) = service.ready().await;
    for failure_rate in [0.0, 1.0] {
        shoutcloud.set_behaviour(Behaviour {
            failure_rate,
            ..Behaviour::default()
        });
        let request = client()
            .post(format!("http://{public}/v1"))
            .header("content-type", "text/plain")
            .header("cache-control", "no-store")
            .body("hi");
        request.send().await.expect("a response");
    }
    service.signal("TERM");
    service.ended().await.log()
}

/// Logs key sets with unusable keys, and failed fetches.
async fn of_keys() -> Vec<Value> {
    let keys = KeyServer::start(KeyResponse::keys([
        ADA.jwk("ada"),
        json!({"kty": "oct", "kid": "symmetric"}),
    ]))
    .await;
    let service = super::serve_with_keys(&keys);
    let is_logged = |field: &'static str| {
        let lines = service.log();
        lines
            .iter()
            .any(|line| line["event.action"] == "key-refresh" && line.get(field).is_some())
    };
    until("a set with an unusable key", async || {
        is_logged("shoutback.keys.usable")
    })
    .await;
    keys.set(KeyResponse::of(503, "no"));
    until("a failed fetch", async || is_logged("error.message")).await;
    service.signal("TERM");
    service.ended().await.log()
}

/// Logs a shutdown that aborts a request.
async fn of_an_aborting_shutdown() -> Vec<Value> {
    let upstream = FakeUpstream::held().await;
    let mut service = serve(&upstream.url(), &[("SHUTDOWN_TIMEOUT", "0ms")]);
    let (public, _) = service.ready().await;
    let mut connection = Connection::open(public).await;
    connection.send(http1::shout("", "hi")).await;
    upstream.called(1).await;
    service.signal("TERM");
    service.ended().await.log()
}

/// Logs more connections than file descriptors.
async fn of_exhausted_descriptors() -> Vec<Value> {
    let variables = settings(super::NO_UPSTREAM, &[]);
    let mut service = Process::start_by(r#"ulimit -n 24; exec "$0" serve"#, &variables);
    let (public, _) = service.ready().await;
    let mut connections = Vec::new();
    for _ in 0..24 {
        connections.push(Connection::open(public).await);
    }
    let is_logged = || service.log().iter().any(|line| line["event.action"] == "accept");
    until("no descriptors are left", async || is_logged()).await;
    drop(connections);
    service.signal("TERM");
    service.ended().await.log()
}

/// Logs a file whose directory is missing for a while.
async fn of_a_missing_file() -> Vec<Value> {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("log");
    let mut service = serve(super::NO_UPSTREAM, &[("LOG_FILE", path.to_str().expect("UTF-8"))]);
    let (public, _) = service.ready().await;
    let logged = || {
        service
            .log()
            .iter()
            .filter(|line| line["event.action"] == "log")
            .count()
    };
    let away = directory.path().with_extension("away");
    std::fs::rename(directory.path(), &away).expect("it is there");
    send_requests(public, 0..1, 1).await;
    until("the failure is logged", async || logged() == 1).await;
    std::fs::rename(&away, directory.path()).expect("it is there");
    until("the recovery is logged", async || {
        send_requests(public, 0..1, 1).await;
        logged() == 2
    })
    .await;
    service.signal("TERM");
    service.ended().await.log()
}

/// Logs failed exports of spans.
async fn of_an_unreachable_collector() -> Vec<Value> {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", super::NO_UPSTREAM),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "1"),
    ];
    let mut service = serve(super::NO_UPSTREAM, &variables);
    let (public, _) = service.ready().await;
    send_requests(public, 0..1, 1).await;
    let is_logged = || service.log().iter().any(|line| line["event.action"] == "traces");
    until("the failure is logged", async || is_logged()).await;
    service.signal("TERM");
    service.ended().await.log()
}

/// Logs that Valkey is not in use.
async fn of_an_unreachable_valkey() -> Vec<Value> {
    let mut service = serve(super::NO_UPSTREAM, &[("VALKEY_URL", "redis://127.0.0.1:1")]);
    _ = service.ready().await;
    let is_logged = || service.log().iter().any(|line| line["event.action"] == "valkey");
    until("the failure is logged", async || is_logged()).await;
    service.signal("TERM");
    service.ended().await.log()
}

async fn everything() -> Vec<Value> {
    let (requests, keys, shutdown, descriptors, file, collector, valkey) = tokio::join!(
        of_requests(),
        of_keys(),
        of_an_aborting_shutdown(),
        of_exhausted_descriptors(),
        of_a_missing_file(),
        of_an_unreachable_collector(),
        of_an_unreachable_valkey()
    );
    [
        requests,
        keys,
        shutdown,
        descriptors,
        file,
        collector,
        valkey,
        lines_of_a_panic(),
    ]
    .concat()
}

#[tokio::test]
async fn the_docs_have_exactly_the_fields_and_events_that_are_logged() {
    let mut types: BTreeMap<String, &str> = BTreeMap::new();
    let mut actions = BTreeSet::new();
    for line in everything().await {
        let object = line.as_object().expect("an object");
        for (name, value) in object {
            let seen = types.entry(name.clone()).or_insert(type_of(value));
            assert_eq!(*seen, type_of(value), "{name}: {line:#}");
        }
        let level = line["log.level"].as_str().expect("a level").to_owned();
        let action = line["event.action"].as_str().expect("an action").to_owned();
        actions.insert((action, level));
    }
    let emitted: BTreeSet<_> = types
        .iter()
        .map(|(name, kind)| (name.clone(), (*kind).to_owned()))
        .collect();
    let documented: BTreeSet<_> = rows(3, "field").into_iter().collect();
    assert_eq!(documented, emitted);
    let documented = rows(3, "event");
    for (action, level) in &actions {
        let row = documented.iter().find(|(name, _)| name == action);
        assert!(
            row.is_some_and(|(_, levels)| levels.contains(level.as_str())),
            "{action} {level}"
        );
    }
    for (name, _) in documented {
        assert!(
            actions.iter().any(|(action, _)| *action == name),
            "nothing logs {name}"
        );
    }
}

#[test]
fn the_docs_have_an_example_of_every_event() {
    let fields: BTreeMap<_, _> = rows(3, "field").into_iter().collect();
    let mut examples = BTreeSet::new();
    for line in DOCS.lines().filter(|line| line.starts_with('{')) {
        let example: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        for (name, value) in example.as_object().expect("an object") {
            assert_eq!(
                fields.get(name).map(String::as_str),
                Some(type_of(value)),
                "{name}: {line}"
            );
        }
        examples.insert(example["event.action"].as_str().expect("an event").to_owned());
    }
    let events: BTreeSet<_> = rows(3, "event").into_iter().map(|(name, _)| name).collect();
    assert_eq!(examples, events);
}
