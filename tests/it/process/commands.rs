//! Commands that end by themselves, and their output.

use std::collections::BTreeSet;

use serde_json::Value;
use shoutback::config::Config;

use super::child::{Process, run};
use crate::support::{App, loopback};

const GOOD: [(&str, &str); 2] = [
    ("COGNITO_USER_POOL_IDS", "us-east-2_AbCdEfGhI"),
    ("COGNITO_CLIENT_IDS", "app1"),
];

#[tokio::test]
async fn missing_variables_are_all_reported_with_exit_code_2() {
    for arguments in [&[][..], &["serve"], &["check-config"]] {
        let ended = run(arguments, &[]).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        for name in ["COGNITO_USER_POOL_IDS", "COGNITO_CLIENT_IDS"] {
            assert!(ended.output().contains(name), "{arguments:?}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn check_config_exits_with_0_or_2() {
    for (variables, code) in [
        (&GOOD[..], 0),
        (&[("AUTH_MODE", "disabled")], 0),
        (&[("AUTH_MODE", "off")], 2),
        (&[("AUTH_MODE", "disabled"), ("REQUEST_TIMEOUT", "0s")], 2),
        (&[("AUTH_MODE", "disabled"), ("REQUEST_TIMEOUT", "5s")], 2),
        (
            &[("AUTH_MODE", "disabled"), ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "6s")],
            2,
        ),
        (
            &[GOOD[0], GOOD[1], ("COGNITO_JWKS_ENDPOINT", "http://keys.example")],
            2,
        ),
    ] {
        let ended = run(&["check-config"], variables).await;
        assert_eq!(ended.code, Some(code), "{variables:?}: {ended:?}");
    }
}

#[tokio::test]
async fn all_invalid_variables_are_reported_without_secrets() {
    // No variable accepts this value: it has a duplicate item, and is no log level.
    let value = "s3cret\"=s3cret,s3cret\"=s3cret";
    let documentation = Config::documentation();
    let variables: Vec<_> = documentation
        .iter()
        .map(|variable| (variable.name, value))
        .collect();
    for arguments in [&[][..], &["check-config"]] {
        let ended = run(arguments, &variables).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let output = ended.output();
        for variable in &documentation {
            let prefix = format!("{}: ", variable.name);
            let reports: Vec<_> = output.lines().filter(|line| line.starts_with(&prefix)).collect();
            assert_eq!(reports.len(), 1, "{prefix}: {output}");
            assert_eq!(
                reports[0].contains("s3cret"),
                !variable.may_be_secret,
                "{reports:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_invalid_auth_mode_does_not_require_pools() {
    let ended = run(&["check-config"], &[("AUTH_MODE", "none")]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
    assert!(
        ended
            .stdout
            .starts_with("AUTH_MODE: must be one of cognito, disabled"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn help_lists_every_variable_with_its_default() {
    let ended = run(&["--help"], &[]).await;
    assert_eq!(ended.code, Some(0));
    for variable in Config::documentation() {
        let line = format!("  {} [{}]", variable.name, variable.default);
        assert!(ended.stdout.lines().any(|printed| printed == line), "{line}");
    }
    for (name, default) in [
        ("HTTP_ADDR", "0.0.0.0:5000"),
        ("ADMIN_ADDR", "0.0.0.0:9090"),
        ("MAX_BODY_BYTES", "64KiB"),
        ("MAX_CONNECTIONS", "10000"),
        ("MAX_REQUESTS_IN_FLIGHT", "12000"),
        ("HEADER_READ_TIMEOUT", "10s"),
        ("REQUEST_TIMEOUT", "30s"),
        ("IDLE_TIMEOUT", "75s"),
        ("SHUTDOWN_GRACE", "5s"),
        ("SHUTDOWN_TIMEOUT", "25s"),
        ("AUTH_MODE", "cognito"),
        ("COGNITO_USER_POOL_IDS", "required"),
        ("COGNITO_CLIENT_IDS", "required"),
        ("COGNITO_JWKS_REFRESH", "10m"),
        ("COGNITO_JWKS_MAX_STALE", "24h"),
        ("AUTH_REQUIRED_SCOPES", "shoutback/shout"),
        ("AUTH_CLOCK_LEEWAY", "30s"),
        ("RATE_LIMIT_PER_CLIENT", "100/s"),
        ("RATE_LIMIT_BURST", "200"),
        ("SHOUTCLOUD_URL", "http://api.shoutcloud.io/V1/SHOUT"),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "2s"),
        ("SHOUTCLOUD_DEADLINE", "5s"),
        ("LOG_FORMAT", "ecs"),
        ("RUST_LOG", "info"),
    ] {
        assert!(
            ended.stdout.contains(&format!("  {name} [{default}]\n")),
            "{name}"
        );
    }
    for command in ["serve", "dev", "check-config", "healthcheck", "openapi"] {
        assert!(ended.stdout.contains(command), "{command}");
    }
}

#[tokio::test]
async fn unknown_arguments_exit_with_2_and_usage() {
    for arguments in [&["shout"][..], &["--port", "5000"], &["serve", "now"]] {
        let ended = run(arguments, &[("AUTH_MODE", "disabled")]).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(ended.stderr.contains("Usage"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn openapi_prints_the_document_that_is_served() {
    let settings = [("AUTH_REQUIRED_SCOPES", "a/b"), ("RATE_LIMIT_PER_CLIENT", "off")];
    let ended = run(&["openapi"], &settings).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let printed: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let served = App::start_unready(&settings).await.document().await;
    let mut different = Vec::new();
    differences(&printed, &served, "", &mut different);
    assert!(
        different.is_empty(),
        "`shoutback openapi` and `/openapi.json` must call `openapi_document` with the same configuration, and it must depend on \
         nothing else; they differ at {different:#?}"
    );
}

/// Collects the JSON pointers at which two values differ.
fn differences(one: &Value, other: &Value, pointer: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let one = one.get(key).unwrap_or(&Value::Null);
                let other = other.get(key).unwrap_or(&Value::Null);
                differences(
                    one,
                    other,
                    &format!("{pointer}/{}", key.replace('/', "~1")),
                    found,
                );
            }
        }
        _ if one == other => {}
        _ => found.push(format!("{pointer}: printed {one}, served {other}")),
    }
}

#[tokio::test]
async fn an_occupied_port_is_reported_with_its_variable() {
    let taken = loopback().await;
    let address = taken.local_addr().expect("bound").to_string();
    for (variable, other) in [("HTTP_ADDR", "ADMIN_ADDR"), ("ADMIN_ADDR", "HTTP_ADDR")] {
        let variables = [
            ("AUTH_MODE", "disabled"),
            (variable, address.as_str()),
            (other, "127.0.0.1:0"),
        ];
        let ended = run(&[], &variables).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(variable), "{}", ended.stderr);
        assert!(ended.stderr.contains(&address), "{}", ended.stderr);
        assert!(!ended.stderr.contains(other), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn healthcheck_reports_readiness() {
    let app = App::start(&[]).await;
    let ready = app.admin.to_string();
    let keyless = App::start_unready(&[("COGNITO_JWKS_ENDPOINT", "http://127.0.0.1:1")]).await;
    let unready = keyless.admin.to_string();
    let listener = loopback().await;
    let closed = listener.local_addr().expect("bound").to_string();
    drop(listener);
    for (address, code) in [(ready.as_str(), 0), (&unready, 1), (&closed, 1), ("nonsense", 1)] {
        let variables = [("ADMIN_ADDR", address), ("HTTP_PROXY", "http://127.0.0.1:1")];
        let ended = run(&["healthcheck"], &variables).await;
        assert_eq!(ended.code, Some(code), "{address}: {ended:?}");
        assert_eq!(ended.stderr.is_empty(), code == 0, "{ended:?}");
    }
}

/// Returns whether curl is installed.
async fn has_curl() -> bool {
    Process::shell("command -v curl").ended().await.code == Some(0)
}

const LOOPBACK: [(&str, &str); 2] = [("HTTP_ADDR", "127.0.0.1:0"), ("ADMIN_ADDR", "127.0.0.1:0")];

#[tokio::test]
async fn dev_prints_lines_that_work_when_pasted() {
    let arguments = [
        "dev",
        "--shoutcloud-addr",
        "127.0.0.1:0",
        "--cognito-addr",
        "127.0.0.1:0",
    ];
    let variables = [LOOPBACK[0], LOOPBACK[1], ("SHOUTCLOUD_MAX_RETRIES", "0")];
    let mut dev = Process::start(&arguments, &variables);
    let printed = |dev: &Process| -> Vec<String> {
        let text = dev.stdout();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("curl ") || line.starts_with("export "));
        lines.map(str::to_owned).collect()
    };
    crate::support::until("it prints", async || {
        assert!(dev.is_running());
        printed(&dev).len() == 7
    })
    .await;
    let lines = printed(&dev);
    let [variables, token, json, text, fail, slow, recover] = lines.as_slice() else {
        unreachable!("there are seven");
    };
    assert!(lines.iter().all(|line| line.len() <= 170), "{lines:?}");
    if !has_curl().await {
        return;
    }
    let paste = async |line: &str| {
        let pasted = format!("{variables}\n{token}\n{line}");
        let ended = Process::shell(&pasted).ended().await;
        assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
        ended.stdout
    };
    assert_eq!(paste(json).await, "{\"data\":\"!DLROW ,OLLEH\"}\n");
    // The time of day.
    let is_shout = |text: &str| text.contains(':') && text.to_uppercase() == text;
    let failing = paste(&format!("{fail}\n{text}")).await;
    assert!(failing.contains("/docs#upstream-unavailable"), "{failing}");
    let slowed = paste(&format!("{recover} >/dev/null\n{slow}\n{text}")).await;
    assert!(slowed.contains("/docs#upstream-"), "{slowed}");
    let recovered = paste(&format!("{recover} >/dev/null\n{text}")).await;
    assert!(is_shout(&recovered), "{recovered}");
    let metrics = dev.stdout();
    let metrics = metrics
        .lines()
        .find_map(|line| line.strip_prefix("Metrics"))
        .expect("a URL");
    let metrics = paste(&format!("curl {}", metrics.trim())).await;
    assert!(metrics.contains("shoutback_build_info"), "{metrics}");
    dev.signal("INT");
    assert_eq!(dev.ended().await.code, Some(0));
}

#[tokio::test]
async fn dev_reports_an_occupied_port_with_its_flag() {
    let taken = loopback().await;
    let address = taken.local_addr().expect("bound").to_string();
    for (flag, other) in [
        ("--shoutcloud-addr", "--cognito-addr"),
        ("--cognito-addr", "--shoutcloud-addr"),
    ] {
        let ended = run(&["dev", flag, &address, other, "127.0.0.1:0"], &LOOPBACK).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.stderr.contains(flag) && ended.stderr.contains(&address),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains(other), "{}", ended.stderr);
        assert_eq!(ended.stdout, "", "nothing to paste");
    }
    let arguments = [
        "dev",
        "--shoutcloud-addr",
        "127.0.0.1:0",
        "--cognito-addr",
        "127.0.0.1:0",
    ];
    let ended = run(&arguments, &[("HTTP_ADDR", address.as_str()), LOOPBACK[1]]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("HTTP_ADDR") && ended.stderr.contains(&address),
        "{}",
        ended.stderr
    );
}
