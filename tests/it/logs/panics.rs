//! The log line of a panic. No request is known to cause one, so a second process of this test binary panics.

use std::process::Command;

use serde_json::Value;
use shoutback::config::{Config, Environment};
use shoutback::telemetry::log::{self, Identity, Stream};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

const SECRET: &str = "a-text-of-a-client";

/// Panics with a secret.
#[test]
#[ignore = "run by the other tests in a separate process"]
fn child() {
    let environment = Environment::from([("AUTH_MODE", "disabled")]);
    let config = Config::load(&environment).expect("valid").config;
    let identity = Identity {
        environment: Some("staging".to_owned()),
        node: Some("pod-1".to_owned()),
        ..Identity::default()
    };
    let (lines, _guard) = log::layer(&config.log, &identity, Stream::Stdout).expect("stdout");
    log::install_panic_hook();
    tracing_subscriber::registry().with(lines).init();
    panic!("{SECRET}");
}

/// Returns the lines of the child.
pub(super) fn lines_of_a_panic() -> Vec<Value> {
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "logs::panics::child", "--ignored", "--nocapture"])
        .output()
        .expect("a process");
    assert!(!output.status.success(), "no panic");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !stdout.contains(SECRET) && !stderr.contains(SECRET),
        "{stdout}{stderr}"
    );
    // The test harness also writes to stdout, before and after it on the same line.
    let objects = stdout
        .lines()
        .filter_map(|line| line.find('{').map(|at| line.split_at(at).1));
    objects
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn a_panic_is_logged_with_its_location_and_without_its_message() {
    let lines = lines_of_a_panic();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!(lines[0]["event.action"], "panic");
    assert_eq!(lines[0]["log.level"], "error");
    assert_eq!(lines[0]["log.origin.file.name"], "tests/it/logs/panics.rs");
    assert!(lines[0]["log.origin.file.line"].is_u64(), "{lines:#?}");
}
