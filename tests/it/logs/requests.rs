//! The access log.

use serde_json::{Value, json};
use shoutback_emulators::cognito;
use shoutback_emulators::shoutcloud::Behaviour;

use super::{NO_UPSTREAM, serve, shoutcloud};
use crate::process::child::Process;
use crate::support::http1::Connection;
use crate::support::upstream::FakeUpstream;
use crate::support::{POOL_ID, assert_is_release, client, http1, http2::Http2, loopback, until};

/// Returns the line of the request with this id.
async fn line_of(service: &Process, id: &str) -> Value {
    let find = || {
        service
            .requests()
            .into_iter()
            .find(|line| line["http.request.id"] == id)
    };
    until("it is logged", async || find().is_some()).await;
    find().expect("logged")
}

#[track_caller]
fn assert_fields(line: &Value, expected: &[(&str, Value)]) {
    for (name, value) in expected {
        assert_eq!(line.get(*name).unwrap_or(&Value::Null), value, "{name}: {line:#}");
    }
}

#[tokio::test]
async fn a_shout_is_logged_with_all_fields() {
    let shoutcloud = shoutcloud().await;
    let cognito = cognito::Emulator::start(loopback().await, POOL_ID).expect("a Cognito emulator");
    let (url, endpoint) = (shoutcloud.url(), cognito.endpoint());
    let mut service = serve(
        &url,
        &[
            ("AUTH_MODE", "cognito"),
            ("COGNITO_ENDPOINT", &endpoint),
            ("COGNITO_USER_POOL_IDS", POOL_ID),
            ("COGNITO_CLIENT_IDS", &cognito.client().id),
        ],
    );
    let (public, _) = service.ready().await;
    let shout = async |id: &str, text: &'static str| {
        let request = client()
            .post(format!("http://{public}/v1?query=s3cret"))
            .bearer_auth(cognito.token())
            .header("content-type", "text/plain")
            .header("x-request-id", id)
            .body(text);
        assert_eq!(request.send().await.expect("a response").status(), 200);
    };
    shout("first", "hi").await;
    let line = line_of(&service, "first").await;
    assert_fields(
        &line,
        &[
            ("log.level", json!("info")),
            ("log.logger", json!("shoutback::http::middleware::access_log")),
            ("message", json!("POST /v1")),
            ("ecs.version", json!("8.11.0")),
            ("service.name", json!("shoutback")),
            ("event.dataset", json!("shoutback.log")),
            ("event.action", json!("request")),
            ("event.kind", json!("event")),
            ("event.category", json!(["web"])),
            ("event.type", json!(["access"])),
            ("event.outcome", json!("success")),
            ("http.request.method", json!("POST")),
            ("http.version", json!("1.1")),
            ("http.response.status_code", json!(200)),
            ("url.path", json!("/v1")),
            ("client.user.id", json!(cognito.client().id)),
            ("error.type", Value::Null),
            ("shoutback.route", json!("/v1")),
            ("shoutback.source", json!("upstream")),
            ("shoutback.upstream.attempts", json!(1)),
            ("http.request.body.bytes", json!(2)),
            ("http.response.body.bytes", json!(2)),
        ],
    );
    assert_is_release(line["service.version"].as_str().expect("a version"));
    assert!(
        line["event.duration"]
            .as_u64()
            .is_some_and(|duration| duration > 0),
        "{line:#}"
    );
    let time = line["@timestamp"].as_str().expect("a time");
    assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    shout("second", "hi").await;
    let line = line_of(&service, "second").await;
    assert_fields(
        &line,
        &[
            ("shoutback.source", json!("cache")),
            ("shoutback.upstream.attempts", Value::Null),
        ],
    );
    shout("empty", "").await;
    let line = line_of(&service, "empty").await;
    assert_fields(
        &line,
        &[
            ("shoutback.source", json!("none")),
            ("shoutback.upstream.attempts", Value::Null),
        ],
    );
}

#[tokio::test]
async fn attempts_that_a_request_waited_for_are_logged() {
    let shoutcloud = shoutcloud().await;
    let fails = Behaviour {
        failure_rate: 1.0,
        ..Behaviour::default()
    };
    shoutcloud.set_behaviour(fails);
    let url = shoutcloud.url();
    let mut service = serve(
        &url,
        &[("SHOUTCLOUD_MAX_RETRIES", "2"), ("BREAKER_MIN_CALLS", "7")],
    );
    let (public, _) = service.ready().await;
    for (id, cache_control, attempts) in [
        ("retried", "max-stale", 3),
        ("retried-past-the-cache", "no-store", 3),
        ("opens-the-breaker", "max-stale", 1),
        ("rejected-by-it", "max-stale", 0),
    ] {
        let request = client()
            .post(format!("http://{public}/v1"))
            .header("content-type", "text/plain")
            .header("x-request-id", id)
            .header("cache-control", cache_control)
            .body("hi");
        assert_eq!(request.send().await.expect("a response").status(), 503);
        let line = line_of(&service, id).await;
        assert_fields(
            &line,
            &[
                ("shoutback.upstream.attempts", json!(attempts)),
                ("shoutback.source", json!("upstream")),
                ("error.type", json!("upstream-unavailable")),
                ("event.outcome", json!("failure")),
            ],
        );
    }
}

#[tokio::test]
async fn a_follower_logs_the_attempts_of_the_shared_call() {
    let upstream = FakeUpstream::held().await;
    let mut service = serve(&upstream.url(), &[]);
    let (public, admin) = service.ready().await;
    let mut connections = Vec::new();
    for id in ["first", "second"] {
        let mut connection = Connection::open(public).await;
        let request =
            http1::shout("", "hi").replacen("host: x", &format!("host: x\r\nx-request-id: {id}"), 1);
        connection.send(request).await;
        connections.push(connection);
        upstream.called(1).await;
    }
    let active = async || {
        let response = client().get(format!("http://{admin}/metrics")).send().await;
        let text = response.expect("a response").text().await.expect("UTF-8");
        text.contains("http_server_active_requests{http_request_method=\"POST\"} 2")
    };
    until("both wait", active).await;
    upstream.release();
    for (id, source) in [("first", "upstream"), ("second", "coalesced")] {
        let line = line_of(&service, id).await;
        assert_fields(
            &line,
            &[
                ("shoutback.source", json!(source)),
                ("shoutback.upstream.attempts", json!(1)),
            ],
        );
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_not_logged() {
    let mut service = serve(NO_UPSTREAM, &[]);
    let (public, _) = service.ready().await;
    let request = "eyJtoken /v1/eyJtoken?eyJtoken HTTP/1.0\r\nx-request-id: mine\r\n\r\n";
    assert!(
        http1::exchange(public, request.as_bytes())
            .await
            .contains(" 404 ")
    );
    let line = line_of(&service, "mine").await;
    assert_fields(
        &line,
        &[
            ("http.request.method", json!("_OTHER")),
            ("url.path", Value::Null),
            ("shoutback.route", json!("unmatched")),
            ("http.version", json!("1.0")),
            ("http.response.status_code", json!(404)),
            ("error.type", json!("not-found")),
            ("client.user.id", Value::Null),
        ],
    );
    assert!(!service.stdout().contains("eyJtoken"), "{}", service.stdout());
}

#[tokio::test]
async fn a_request_whose_client_disconnects_is_logged_without_a_status() {
    let upstream = FakeUpstream::held().await;
    let mut service = serve(&upstream.url(), &[]);
    let (public, _) = service.ready().await;
    let mut connection = Connection::open(public).await;
    connection
        .send(http1::shout("", "hi").replacen("host: x", "host: x\r\nx-request-id: mine", 1))
        .await;
    upstream.called(1).await;
    drop(connection);
    let line = line_of(&service, "mine").await;
    assert_fields(
        &line,
        &[
            ("event.outcome", json!("unknown")),
            ("error.type", json!("cancelled")),
            ("http.response.status_code", Value::Null),
            ("client.user.id", json!("anonymous")),
        ],
    );
}

#[tokio::test]
async fn the_version_of_http_2_is_logged() {
    let shoutcloud = shoutcloud().await;
    let mut service = serve(&shoutcloud.url(), &[]);
    let (public, _) = service.ready().await;
    let mut connection = Http2::open(public).await;
    connection.shout(1, "", "hi").await;
    assert!(connection.response(1).await.is_some());
    until("it is logged", async || !service.requests().is_empty()).await;
    assert_fields(&service.requests()[0], &[("http.version", json!("2"))]);
}

#[tokio::test]
async fn the_pretty_format_has_no_colours_in_a_pipe() {
    let shoutcloud = shoutcloud().await;
    let url = shoutcloud.url();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("log");
    let variables = [
        ("LOG_FORMAT", "pretty"),
        ("LOG_FILE", file.to_str().expect("UTF-8")),
    ];
    let variables = super::settings(&url, &variables);
    let service = Process::start(&["serve"], &variables);
    let listening = || {
        let text = service.stdout();
        let (_, rest) = text.split_once("shoutback.http_addr=")?;
        rest.split_once([' ', '\n'])?
            .0
            .parse::<std::net::SocketAddr>()
            .ok()
    };
    until("it listens", async || listening().is_some()).await;
    let request =
        http1::shout("", "hi").replacen("host: x", "host: x\r\nconnection: close\r\nx-request-id: mine", 1);
    http1::exchange(listening().expect("it listens"), request.as_bytes()).await;
    service.signal("TERM");
    let ended = service.ended().await;
    let line = ended
        .stdout
        .lines()
        .find(|line| line.ends_with(" mine"))
        .expect("a line");
    assert!(
        line.contains(" info POST /v1 200 ") && line.contains(" ms anonymous upstream mine"),
        "{line}"
    );
    assert!(!ended.stdout.contains('\u{1b}'), "{}", ended.stdout);
    let lines = std::fs::read_to_string(file).expect("a file");
    let in_file = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("the file is always JSON"))
        .any(|line| line["http.request.id"] == "mine");
    assert!(in_file, "{lines}");
}

async fn shout_as(public: std::net::SocketAddr, id: &str) -> u16 {
    let request = client()
        .post(format!("http://{public}/v1"))
        .header("content-type", "text/plain")
        .header("x-request-id", id)
        .body("hi");
    request.send().await.expect("a response").status().as_u16()
}

#[tokio::test]
async fn a_5xx_line_is_a_warning_that_says_why() {
    for (url, setting, cause, message) in [
        (NO_UPSTREAM, ("BREAKER_MIN_CALLS", "1"), "", "refused"),
        (
            "http://nowhere.invalid/V1/SHOUT",
            ("BREAKER_MIN_CALLS", "1"),
            "",
            "lookup",
        ),
        (NO_UPSTREAM, ("SHOUTCLOUD_MAX_RETRIES", "0"), "", "refused"),
    ] {
        let variables = [
            ("SHOUTCLOUD_MAX_RETRIES", "0"),
            ("SHOUTCLOUD_DEADLINE", "20s"),
            setting,
        ];
        let mut service = serve(url, &variables);
        let (public, _) = service.ready().await;
        assert_eq!(shout_as(public, "failed").await, 503);
        let line = line_of(&service, "failed").await;
        assert_fields(
            &line,
            &[
                ("log.level", json!("warn")),
                ("error.type", json!("upstream-unavailable")),
            ],
        );
        let text = line["error.message"].as_str().expect("a message");
        assert!(text.contains(message) && text.contains(cause), "{text}");
        assert!(!text.contains("127.0.0.1"), "{text}");
        assert!(line["shoutback.failure.cause"].is_string(), "{line:#}");
        if setting.0 == "BREAKER_MIN_CALLS" {
            assert_eq!(shout_as(public, "rejected").await, 503);
            let line = line_of(&service, "rejected").await;
            assert_fields(&line, &[("shoutback.failure.cause", json!("breaker_open"))]);
            assert_eq!(line["error.message"], "the circuit breaker is open");
        }
    }
}

#[tokio::test]
async fn an_attempt_that_times_out_differs_from_the_deadline() {
    let upstream = FakeUpstream::held().await;
    for (id, variables, status, cause) in [
        (
            "attempt",
            [
                ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "50ms"),
                ("SHOUTCLOUD_DEADLINE", "5s"),
            ],
            503,
            "timeout",
        ),
        (
            "deadline",
            [
                ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "100ms"),
                ("SHOUTCLOUD_DEADLINE", "100ms"),
            ],
            504,
            "deadline",
        ),
    ] {
        let more = [
            ("SHOUTCLOUD_MAX_RETRIES", "0"),
            ("BREAKER_SLOW_CALL", "50ms"),
            variables[0],
            variables[1],
        ];
        let mut service = serve(&upstream.url(), &more);
        let (public, _) = service.ready().await;
        assert_eq!(shout_as(public, id).await, status);
        let line = line_of(&service, id).await;
        assert_fields(
            &line,
            &[
                ("log.level", json!("warn")),
                ("shoutback.failure.cause", json!(cause)),
            ],
        );
    }
}

#[tokio::test]
async fn the_breakers_line_has_its_reason_and_figures() {
    let shoutcloud = shoutcloud().await;
    let url = shoutcloud.url();
    let variables = [
        ("SHOUTCLOUD_MAX_RETRIES", "0"),
        ("BREAKER_MIN_CALLS", "4"),
        ("CACHE_CAPACITY", "0"),
    ];
    let mut service = serve(&url, &variables);
    let (public, _) = service.ready().await;
    assert_eq!(shout_as(public, "good").await, 200);
    shoutcloud.set_behaviour(Behaviour {
        failure_rate: 1.0,
        ..Behaviour::default()
    });
    for number in 0..3 {
        shout_as(public, &format!("bad{number}")).await;
    }
    let find = || {
        service
            .log()
            .into_iter()
            .find(|line| line["event.action"] == "breaker")
    };
    until("the transition is logged", async || find().is_some()).await;
    let opened = find().expect("logged");
    assert_fields(
        &opened,
        &[
            ("shoutback.breaker.to", json!("open")),
            ("shoutback.breaker.reason", json!("failure_rate")),
            ("shoutback.breaker.calls", json!(4)),
            ("shoutback.breaker.failed", json!(3)),
            ("shoutback.breaker.slow", json!(0)),
            ("shoutback.breaker.failure_percent", json!(75)),
            ("shoutback.breaker.slow_percent", json!(0)),
            ("error.type", json!("transient_status")),
        ],
    );
    assert!(
        opened["error.message"]
            .as_str()
            .is_some_and(|text| text.contains("status"))
    );
}

#[tokio::test]
async fn a_rejected_token_is_a_denied_authentication() {
    let cognito = cognito::Emulator::start(loopback().await, POOL_ID).expect("a Cognito emulator");
    let (endpoint, id) = (cognito.endpoint(), cognito.client().id.clone());
    let settings = [
        ("AUTH_MODE", "cognito"),
        ("COGNITO_ENDPOINT", endpoint.as_str()),
        ("COGNITO_USER_POOL_IDS", POOL_ID),
        ("COGNITO_CLIENT_IDS", id.as_str()),
    ];
    let mut service = serve(NO_UPSTREAM, &settings);
    let (public, _) = service.ready().await;
    assert_eq!(shout_as(public, "mine").await, 401);
    let line = line_of(&service, "mine").await;
    assert_fields(
        &line,
        &[
            ("log.level", json!("info")),
            ("event.category", json!(["web", "authentication"])),
            ("event.type", json!(["access", "denied"])),
            ("event.outcome", json!("failure")),
            ("http.request.body.bytes", Value::Null),
        ],
    );
    let size = line["http.response.body.bytes"].as_u64();
    assert!(size.is_some_and(|size| size > 50), "{line:#}");
}

#[tokio::test]
async fn every_event_of_the_service_has_a_category_and_a_type() {
    let mut service = serve(
        NO_UPSTREAM,
        &[("BREAKER_MIN_CALLS", "1"), ("SHOUTCLOUD_MAX_RETRIES", "0")],
    );
    let (public, _) = service.ready().await;
    shout_as(public, "mine").await;
    service.signal("TERM");
    let lines = service.ended().await.log();
    let actions: std::collections::BTreeSet<_> = lines
        .iter()
        .map(|line| line["event.action"].as_str().expect("an action"))
        .collect();
    assert!(
        actions.contains("breaker") && actions.contains("start"),
        "{actions:?}"
    );
    for line in &lines {
        for name in ["event.category", "event.type"] {
            assert!(
                line[name].as_array().is_some_and(|items| !items.is_empty()),
                "{line:#}"
            );
        }
    }
}
