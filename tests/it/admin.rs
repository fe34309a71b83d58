//! The admin listener: probes, metrics, version.

use std::collections::HashSet;

use serde_json::{Value, json};

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
        ("tokio_workers_count", 1.0),
        ("tokio_live_tasks_count", 1.0),
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
