//! The admin listener: probes, metrics, version.

use std::collections::HashSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::http1::{self, Connection};
use crate::support::upstream::FakeUpstream;
use crate::support::{App, assert_problem, send, until};

async fn members(response: reqwest::Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_str(&response.text().await.expect("UTF-8")).expect("JSON")
}

#[tokio::test]
async fn probes_respond_and_other_paths_are_not_found() {
    let app = App::start(&[]).await;
    assert_eq!(app.admin("/livez").await.status(), 200);
    assert_eq!(app.admin("/readyz").await.status(), 200);
    for path in [
        "/v1",
        "/",
        "/docs",
        "/openapi.json",
        "/livez/",
        "/LIVEZ",
        "/metrics/x",
    ] {
        assert_problem(app.admin(path).await, 404, "not-found").await;
    }
    for path in ["/livez", "/readyz", "/metrics", "/version"] {
        let url = format!("http://{}{path}", app.admin);
        let post = send(app.client.post(url)).await;
        assert_eq!(post.headers()["allow"], "GET, HEAD", "{path}");
        assert_problem(post, 405, "method-not-allowed").await;
        let url = format!("http://{}{path}", app.public);
        let public = send(app.client.get(url)).await;
        assert_eq!(public.status(), 404, "{path} is not public");
    }
}

#[tokio::test]
async fn without_keys_it_is_live_but_not_ready() {
    let app = App::start_unready(&[("COGNITO_JWKS_ENDPOINT", "http://127.0.0.1:1")]).await;
    assert_eq!(app.admin("/livez").await.status(), 200);
    let readyz = app.admin("/readyz").await;
    assert_eq!(readyz.status(), 503);
    let readyz = members(readyz).await;
    let reasons = readyz["reasons"].as_array().expect("reasons");
    assert_eq!(reasons.len(), 1, "{readyz}");
    let reason = reasons[0].as_str().expect("a reason");
    assert!(reason.contains(app.cognito.issuer().as_str()), "{reason}");
}

#[tokio::test]
async fn a_scrape_needs_no_worker_and_liveness_does() {
    let app = App::start(&[]).await;
    let get = |path| {
        let mut connection = TcpStream::connect(app.admin).expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        connection
            .write_all(request.as_bytes())
            .expect("an open connection");
        connection
    };
    // Nothing awaits here, so that the only worker is blocked.
    let mut live = get("/livez");
    let mut scrape = String::new();
    _ = get("/metrics").read_to_string(&mut scrape).expect("a response");
    assert!(scrape.contains("process_cpu_seconds_total"), "{scrape}");
    live.set_nonblocking(true).expect("a socket");
    let blocked = live.read(&mut [0]).expect_err("no response");
    assert_eq!(blocked.kind(), ErrorKind::WouldBlock);
    until("the worker responds", async || live.peek(&mut [0]).is_ok()).await;
}

#[tokio::test]
async fn without_authentication_it_is_ready_without_keys() {
    let app = App::start(&[]).await;
    let open = App::start(&[("AUTH_MODE", "disabled")]).await;
    for app in [&app, &open] {
        assert_eq!(members(app.admin("/readyz").await).await["reasons"], json!([]));
    }
    assert_eq!(open.cognito.jwks_fetches(), 0);
}

#[tokio::test]
async fn it_is_ready_while_the_upstream_is_unavailable() {
    let app = App::start(&[("SHOUTCLOUD_URL", "http://127.0.0.1:1/")]).await;
    assert_eq!(app.status_with(&app.cognito.token()).await, 503);
    assert_eq!(app.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn the_version_describes_the_build() {
    let app = App::start(&[]).await;
    let response = app.admin("/version").await;
    assert_eq!(response.status(), 200);
    let version = members(response).await;
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for name in ["git_commit", "build_time", "rustc"] {
        assert!(
            version[name].as_str().is_some_and(|text| !text.is_empty()),
            "{name}: {version}"
        );
    }
}

#[tokio::test]
async fn metrics_are_in_the_prometheus_format_with_types() {
    let app = App::start(&[]).await;
    assert_eq!(app.status_with(&app.cognito.token()).await, 200);
    let response = app.admin("/metrics").await;
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = response.text().await.expect("UTF-8");
    let mut typed = HashSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            if let Some(rest) = comment.strip_prefix("TYPE ") {
                let name = rest.split(' ').next().expect("a name");
                assert!(typed.insert(name.to_owned()), "{name} has two types");
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().expect("a name");
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix).filter(|base| typed.contains(*base)));
        assert!(typed.contains(base.unwrap_or(name)), "{name} has no type");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let app = App::start(&[]).await;
    let name = "http_server_request_duration_seconds_count";
    let count = async |labels: &[&str]| app.metric(name, labels).await;
    let matched = [
        "http_route=\"/v1\"",
        "http_request_method=\"POST\"",
        "http_response_status_code=\"200\"",
    ];
    let unmatched = [
        "http_route=\"unmatched\"",
        "http_response_status_code=\"404\"",
        "error_type=\"not-found\"",
    ];
    assert_eq!((count(&matched).await, count(&unmatched).await), (0.0, 0.0));
    assert_eq!(app.status_with(&app.cognito.token()).await, 200);
    for path in ["/s3cret", "/v1/s3cret"] {
        let request = app.client.post(format!("http://{}{path}", app.public));
        assert_eq!(send(request).await.status(), 404);
    }
    until("both are counted", async || {
        (count(&matched).await, count(&unmatched).await) == (1.0, 2.0)
    })
    .await;
    let unknown_method = app.client.request(
        "S3CRET".parse().expect("a method"),
        format!("http://{}/v1", app.public),
    );
    assert_eq!(send(unknown_method).await.status(), 405);
    until("it is counted", async || {
        count(&["http_response_status_code=\"405\"", "_OTHER"]).await == 1.0
    })
    .await;
    let text = app.admin("/metrics").await.text().await.expect("UTF-8");
    assert!(!text.to_lowercase().contains("s3cret"));
}

#[tokio::test]
async fn series_exist_before_the_first_request() {
    let app = App::start(&[]).await;
    let text = app.admin("/metrics").await.text().await.expect("UTF-8");
    let at_zero = |name: &str, label: &str| {
        text.lines()
            .any(|line| line.starts_with(name) && line.contains(label) && line.ends_with(" 0"))
    };
    for (name, label) in [
        ("http_server_request_duration_seconds_count", "upstream-timeout"),
        ("http_server_request_duration_seconds_count", "internal-error"),
        ("http_server_active_requests", "POST"),
        ("shoutback_auth_total", "outcome=\"accepted\""),
        ("shoutback_auth_total", "outcome=\"expired\""),
        ("shoutback_rate_limited_total", app.cognito.client().id.as_str()),
    ] {
        assert!(at_zero(name, label), "{name} {label}: {text}");
    }
    for path in app.api_paths().await {
        let route = format!("http_route=\"{path}\"");
        let series = text.lines().filter(|line| {
            line.starts_with("http_server_request_duration_seconds_count") && line.contains(&route)
        });
        let errors: HashSet<_> = series
            .filter_map(|line| line.split("error_type=\"").nth(1)?.split('"').next())
            .collect();
        for error in [
            "internal-error",
            "overloaded",
            "method-not-allowed",
            "cancelled",
            "",
        ] {
            assert!(errors.contains(error), "{path} {error:?}: {errors:?}");
        }
    }
    assert_eq!(app.metric("shoutback_build_info", &[]).await, 1.0);
}

#[tokio::test]
async fn the_process_and_its_runtime_are_measured() {
    let app = App::start(&[]).await;
    for (metric, at_least) in [
        ("process_resident_memory_bytes", 1_048_576.0),
        ("process_virtual_memory_bytes", 1_048_576.0),
        ("process_open_fds", 4.0),
        ("process_max_fds", 4.0),
        ("process_threads", 1.0),
        ("process_start_time_seconds", 1.7e9),
        ("tokio_workers", 1.0),
        ("tokio_live_tasks", 1.0),
    ] {
        let name = format!("{metric} is at least {at_least}");
        until(&name, async || app.metric(metric, &[]).await >= at_least).await;
    }
}

#[tokio::test]
async fn a_shutdown_without_requests_in_flight_is_clean() {
    let app = App::start(&[]).await;
    let (public, client) = (app.public, app.client.clone());
    assert_eq!(app.status_with(&app.cognito.token()).await, 200);
    app.stop().await;
    assert!(client.get(format!("http://{public}/")).send().await.is_err());
}

#[tokio::test]
async fn metrics_are_compressed_if_the_client_accepts_it() {
    let app = App::start(&[]).await;
    let url = format!("http://{}/metrics", app.admin);
    let plain = app.client.get(&url).header("accept-encoding", "identity");
    let plain = send(plain).await;
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = plain.bytes().await.expect("a body").len();
    let gzip = app
        .client
        .get(&url)
        .header("accept-encoding", "deflate, gzip;q=0.8");
    let gzip = send(gzip).await;
    assert_eq!(gzip.headers()["content-encoding"], "gzip");
    assert_eq!(
        gzip.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let compressed = gzip.bytes().await.expect("a body").len();
    assert!(compressed * 5 < plain, "{compressed} of {plain} bytes");
    let refused = app.client.get(&url).header("accept-encoding", "gzip;q=0");
    assert!(!send(refused).await.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn names_and_units_of_metrics_follow_the_conventions_of_prometheus() {
    let app = App::start(&[]).await;
    let text = app.admin("/metrics").await.text().await.expect("UTF-8");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(
                !name.ends_with("_count") && !name.ends_with("_duration"),
                "{line}"
            );
        }
        assert!(!(line.starts_with("# HELP") && line.contains("::")), "{line}");
    }
}

#[tokio::test]
async fn connections_their_limit_and_rejections_are_measured() {
    let app = App::start(&[("MAX_CONNECTIONS", "2"), ("HEADER_READ_TIMEOUT", "300ms")]).await;
    assert_eq!(
        app.metric("shoutback_limit", &["limit=\"connections\""]).await,
        2.0
    );
    let rejected = async |reason: &str| {
        let label = format!("reason=\"{reason}\"");
        app.metric("shoutback_connections_rejected_total", &[&label])
            .await
    };
    for reason in ["header_timeout", "parser", "limit_wait"] {
        assert_eq!(rejected(reason).await, 0.0, "{reason}");
    }
    let idle = [
        Connection::open(app.public).await,
        Connection::open(app.public).await,
    ];
    let waiting = Connection::open(app.public).await;
    until("the limit is reached", async || {
        app.metric("shoutback_connections", &[]).await == 2.0
    })
    .await;
    until("one waits", async || rejected("limit_wait").await >= 1.0).await;
    until("all are cut off", async || {
        rejected("header_timeout").await == 3.0
    })
    .await;
    drop((idle, waiting));
    until("they are closed", async || {
        app.metric("shoutback_connections", &[]).await == 0.0
    })
    .await;
    for (number, request) in [
        "GARBAGE\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "x".repeat(70_000)),
        "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        http1::exchange_while_writing(app.public, request.into_bytes()).await;
        until("it is counted", async || {
            rejected("parser").await == number as f64 + 1.0
        })
        .await;
    }
    assert_eq!(rejected("header_timeout").await, 3.0);
}

#[tokio::test]
async fn every_configured_limit_is_exported() {
    let app = App::start(&[
        ("MAX_BODY_BYTES", "10KiB"),
        ("MAX_REQUESTS_IN_FLIGHT", "11"),
        ("SHOUTCLOUD_MAX_CONCURRENCY", "12"),
        ("SHOUTCLOUD_MAX_QUEUE", "13"),
        ("SHOUTCLOUD_MAX_RETRIES", "2"),
        ("SHOUTCLOUD_RETRY_RESERVE", "14"),
        ("CACHE_CAPACITY", "3MiB"),
        ("RATE_LIMIT_PER_CLIENT", "600/m"),
        ("RATE_LIMIT_BURST", "20"),
    ])
    .await;
    for (limit, value) in [
        ("connections", 10_000.0),
        ("body_bytes", 10_240.0),
        ("requests_in_flight", 11.0),
        ("upstream_concurrency", 12.0),
        ("upstream_queue", 13.0),
        ("upstream_retries", 2.0),
        ("retry_reserve", 14.0),
        ("cache_bytes", 3_145_728.0),
        ("rate_limit_per_second", 10.0),
        ("rate_limit_burst", 20.0),
    ] {
        let label = format!("limit=\"{limit}\"");
        assert_eq!(app.metric("shoutback_limit", &[&label]).await, value, "{limit}");
    }
    let unlimited = App::start(&[]).await;
    let text = unlimited.admin("/metrics").await.text().await.expect("UTF-8");
    assert!(!text.contains("rate_limit_burst"), "the rate limit is off");
}

#[tokio::test]
async fn the_time_in_the_queue_of_calls_is_measured() {
    let upstream = FakeUpstream::held().await;
    let settings = [("SHOUTCLOUD_MAX_CONCURRENCY", "1"), ("CACHE_CAPACITY", "0")];
    let app = upstream.app(&settings).await;
    let name = "shoutback_upstream_queue_duration_seconds";
    assert_eq!(app.metric(&format!("{name}_count"), &[]).await, 0.0);
    let requests = ["one", "two"].map(|text| tokio::spawn(app.shout(text).send()));
    until("one waits", async || {
        app.metric("shoutback_upstream_queued", &[]).await == 1.0
    })
    .await;
    upstream.release();
    for request in requests {
        assert_eq!(request.await.expect("a task").expect("a response").status(), 200);
    }
    assert_eq!(app.metric(&format!("{name}_count"), &[]).await, 2.0);
    assert!(app.metric(&format!("{name}_sum"), &[]).await > 0.0);
}

#[tokio::test]
async fn requests_are_counted_by_scheme_and_protocol_version() {
    let app = App::start(&[]).await;
    let name = "http_server_request_duration_seconds_count";
    let token = app.cognito.token();
    let request = app.shout_with(&token, "").header("x-forwarded-proto", "https");
    assert_eq!(send(request).await.status(), 200);
    let labels = [
        "url_scheme=\"https\"",
        "network_protocol_version=\"1.1\"",
        "code=\"200\"",
    ];
    until("it is counted", async || app.metric(name, &labels).await == 1.0).await;
    let text = app.admin("/metrics").await.text().await.expect("UTF-8");
    let zero = text.lines().any(|line| {
        line.starts_with(name)
            && line.contains(labels[0])
            && line.contains("upstream-timeout")
            && line.ends_with(" 0")
    });
    assert!(zero, "failures have a series before the first one: {text}");
    let attempt = ["http_request_method=\"POST\"", "server_port=\""];
    assert_eq!(send(app.shout("hi")).await.status(), 200);
    let name = "http_client_request_duration_seconds_count";
    until("the attempt is counted", async || {
        app.metric(name, &attempt).await == 1.0
    })
    .await;
}

#[tokio::test]
async fn methods_that_a_route_does_not_support_share_series() {
    let app = App::start(&[]).await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE"] {
        let method = method.parse().expect("a method");
        let request = app.client.request(method, format!("http://{}/v1", app.public));
        assert_eq!(send(request).await.status(), 405);
    }
    let name = "http_server_request_duration_seconds_count";
    let labels = [
        "http_request_method=\"_OTHER\"",
        "error_type=\"method-not-allowed\"",
    ];
    until("they are counted", async || {
        app.metric(name, &labels).await == 5.0
    })
    .await;
}
