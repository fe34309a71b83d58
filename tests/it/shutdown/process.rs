//! Exit codes and log lines of a shutdown.

use serde_json::Value;

use crate::process::child::{Ended, Process, readiness};
use crate::support::http1::Connection;
use crate::support::http1::shout;
use crate::support::settings::LONG_TIMEOUTS;
use crate::support::until;
use crate::support::upstream::FakeUpstream;

/// Starts the service as a process without authentication.
pub fn serve(upstream: &str, more: &[(&str, &str)]) -> Process {
    let variables = [
        &LONG_TIMEOUTS[..],
        &[
            ("HTTP_ADDR", "127.0.0.1:0"),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("AUTH_MODE", "disabled"),
            ("SHOUTCLOUD_URL", upstream),
            ("SHUTDOWN_GRACE", "0ms"),
        ],
        more,
    ]
    .concat();
    Process::start(&["serve"], &variables)
}

fn warnings(ended: &Ended) -> Vec<String> {
    let lines = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let warnings = lines.filter(|line| {
        line["log.level"]
            .as_str()
            .is_some_and(|level| level.eq_ignore_ascii_case("warn"))
    });
    warnings
        .map(|line| line["message"].as_str().expect("a message").to_owned())
        .collect()
}

#[tokio::test]
async fn aborted_complete_requests_are_logged_and_exit_with_1() {
    let upstream = FakeUpstream::held().await;
    let mut service = serve(&upstream.url(), &[("SHUTDOWN_TIMEOUT", "200ms")]);
    let (public, _) = service.ready().await;
    let mut waiting = Vec::new();
    for text in ["one", "two", "three"] {
        let mut connection = Connection::open(public).await;
        connection.send(shout("", text)).await;
        waiting.push(connection);
    }
    upstream.called(3).await;
    service.signal("TERM");
    let ended = service.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let is_logged = warnings(&ended)
        .iter()
        .any(|text| text.contains("3 complete requests"));
    assert!(is_logged, "{ended:?}");
}

#[tokio::test]
async fn aborted_incomplete_requests_exit_with_0() {
    let upstream = FakeUpstream::held().await;
    let mut service = serve(&upstream.url(), &[("SHUTDOWN_TIMEOUT", "200ms")]);
    let (public, _) = service.ready().await;
    let request = shout("", "a body");
    let mut open = Vec::new();
    for length in [0, 10, request.len() - 1] {
        let mut connection = Connection::open(public).await;
        connection.send(&request[..length]).await;
        open.push(connection);
    }
    service.signal("TERM");
    let ended = service.ended().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}

#[tokio::test]
async fn a_second_signal_aborts_requests_in_flight() {
    let upstream = FakeUpstream::held().await;
    let mut service = serve(&upstream.url(), &[("SHUTDOWN_TIMEOUT", "10m")]);
    let (public, admin) = service.ready().await;
    let mut waiting = Connection::open(public).await;
    waiting.send(shout("", "one")).await;
    upstream.called(1).await;
    service.signal("TERM");
    until("it is unready", async || readiness(admin).await == Some(503)).await;
    service.signal("TERM");
    assert_eq!(service.ended().await.code, Some(1));
    assert_eq!(waiting.rest().await, "");
}
