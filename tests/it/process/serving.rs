//! The service as a process: start, log lines, shutdown.

use std::net::SocketAddr;

use shoutback_emulators::shoutcloud::{Behaviour, Emulator};

use super::child::{Process, readiness};
use crate::support::tcp_server::TcpServer;
use crate::support::{client, loopback, until};

async fn shoutcloud() -> Emulator {
    Emulator::start(loopback().await, Behaviour::default()).expect("a SHOUTCLOUD emulator")
}

/// Starts the service on free ports without authentication.
fn serve(shoutcloud: &Emulator, more: &[(&str, &str)]) -> Process {
    let url = shoutcloud.url();
    let mut variables = vec![
        ("HTTP_ADDR", "127.0.0.1:0"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("AUTH_MODE", "disabled"),
        ("SHOUTCLOUD_URL", url.as_str()),
        ("SHUTDOWN_GRACE", "0ms"),
    ];
    variables.extend(more);
    Process::start(&["serve"], &variables)
}

async fn shout(public: SocketAddr) -> Result<String, reqwest::Error> {
    let request = client()
        .post(format!("http://{public}/v1"))
        .header("content-type", "text/plain")
        .body("hi");
    request.send().await?.error_for_status()?.text().await
}

#[tokio::test]
async fn a_signal_makes_it_unready_while_serving_and_then_exits_with_0() {
    let stop = async |signal: &str| {
        let shoutcloud = shoutcloud().await;
        let mut service = serve(&shoutcloud, &[("SHUTDOWN_GRACE", "3s")]);
        let (public, admin) = service.ready().await;
        service.signal(signal);
        until("it is unready", async || readiness(admin).await == Some(503)).await;
        assert_eq!(shout(public).await.expect("it still serves"), "IH", "{signal}");
        let livez = client().get(format!("http://{admin}/livez")).send().await;
        assert_eq!(livez.expect("a response").status(), 200, "{signal}");
        let ended = service.ended().await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{signal}");
        assert!(shout(public).await.is_err(), "{signal}");
    };
    tokio::join!(stop("TERM"), stop("INT"));
}

#[tokio::test]
async fn a_second_signal_exits_immediately_with_1() {
    let shoutcloud = shoutcloud().await;
    let mut service = serve(&shoutcloud, &[("SHUTDOWN_GRACE", "5m")]);
    let (_, admin) = service.ready().await;
    service.signal("TERM");
    until("it is unready", async || readiness(admin).await == Some(503)).await;
    service.signal("INT");
    assert_eq!(service.ended().await.code, Some(1));
}

#[tokio::test]
async fn without_authentication_it_warns_and_the_first_curl_command_of_the_readme_works() {
    let shoutcloud = shoutcloud().await;
    let mut service = serve(&shoutcloud, &[]);
    let (public, _) = service.ready().await;
    let warnings = service.warnings();
    assert!(
        warnings.iter().any(|text| text.contains("AUTH_MODE=disabled")),
        "{warnings:?}"
    );
    let port = public.port();
    let line = format!(
        r#"curl --header "Content-Type: application/json" -X POST -d '{{"data": "hello, world!"}}' http://localhost:{port}/v1"#
    );
    let ended = Process::shell(&format!("command -v curl > /dev/null || exit 99; {line}"))
        .ended()
        .await;
    if ended.code != Some(99) {
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), r#"{"data":"!DLROW ,OLLEH"}"#)
        );
    }
}

#[tokio::test]
async fn unknown_variables_with_a_known_prefix_are_warned_about_without_their_values() {
    let shoutcloud = shoutcloud().await;
    let unknown = [
        ("COGNITO_CLIENT_ID", "s3cret"),
        ("SHOUTCLOUD_TIMEOUT", "s3cret"),
        ("RATE_LIMIT", "s3cret"),
        ("GREETING", "s3cret"),
    ];
    let mut service = serve(&shoutcloud, &unknown);
    service.ready().await;
    let warnings = service.warnings();
    for (name, is_reported) in [
        ("COGNITO_CLIENT_ID ", true),
        ("SHOUTCLOUD_TIMEOUT ", true),
        ("GREETING", false),
        ("PATH", false),
    ] {
        assert_eq!(
            warnings.iter().any(|text| text.contains(name)),
            is_reported,
            "{name}: {warnings:?}"
        );
    }
    assert!(!service.stdout().contains("s3cret"), "{}", service.stdout());
}

#[tokio::test]
async fn proxy_variables_are_ignored() {
    let shoutcloud = shoutcloud().await;
    let proxy = TcpServer::responding("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
    let url = format!("http://{}", proxy.address);
    let names = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    let mut service = serve(&shoutcloud, &names.map(|name| (name, url.as_str())));
    let (public, _) = service.ready().await;
    assert_eq!(shout(public).await.expect("a shout"), "IH");
    assert_eq!((proxy.connections(), shoutcloud.calls()), (0, 1));
    let warnings = service.warnings();
    assert!(
        warnings.iter().all(|text| text.contains("AUTH_MODE")),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn a_request_is_one_log_line_with_ecs_fields_and_without_its_text() {
    let shoutcloud = shoutcloud().await;
    let mut service = serve(&shoutcloud, &[]);
    let (public, _) = service.ready().await;
    let request = client()
        .post(format!("http://{public}/v1"))
        .header("x-request-id", "mine")
        .header("content-type", "text/plain")
        .header("authorization", "Bearer s3cret")
        .body("s3cret");
    assert_eq!(request.send().await.expect("a response").status(), 200);
    let requests = |service: &Process| -> Vec<serde_json::Value> {
        let lines = service.log().into_iter();
        lines.filter(|line| line["event.action"] == "request").collect()
    };
    until("it is logged", async || !requests(&service).is_empty()).await;
    let lines = requests(&service);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for (name, value) in [
        ("http.request.method", serde_json::json!("POST")),
        ("http.request.id", serde_json::json!("mine")),
        ("http.response.status_code", serde_json::json!(200)),
        ("url.path", serde_json::json!("/v1")),
        ("client.user.id", serde_json::json!("anonymous")),
    ] {
        assert_eq!(lines[0][name], value, "{name}");
    }
    assert!(
        lines[0]["event.duration"]
            .as_u64()
            .is_some_and(|nanoseconds| nanoseconds > 0)
    );
    for name in ["@timestamp", "log.level", "message"] {
        assert!(lines[0][name].is_string(), "{name}");
    }
    let log = service.stdout().to_lowercase();
    assert!(!log.contains("s3cret") && !log.contains("terc3s"), "{log}");
}
