//! Passes commit, build time and compiler version to `src/version.rs`.
//!
//! `SHOUTBACK_COMMIT` and `SHOUTBACK_BUILD_TIME` (RFC 3339) or `SOURCE_DATE_EPOCH` override git and the clock, for
//! images that are built outside a checkout and for reproducible builds. The build time has its own variable because a
//! change of `SOURCE_DATE_EPOCH` rebuilds every C library.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is configured by environment variables only"
)]

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

fn main() {
    println!("cargo::rerun-if-env-changed=SHOUTBACK_COMMIT");
    println!("cargo::rerun-if-env-changed=SHOUTBACK_BUILD_TIME");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // The reflog of HEAD changes with every commit on any branch. With a missing path each build would be a rebuild.
    let reflog =
        output("git", &["rev-parse", "--git-path", "logs/HEAD"]).filter(|path| Path::new(path).exists());
    if let Some(reflog) = reflog {
        println!("cargo::rerun-if-changed={reflog}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let commit = env::var("SHOUTBACK_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty())
        .or_else(|| output("git", &["rev-parse", "HEAD"]));
    println!(
        "cargo::rustc-env=SHOUTBACK_COMMIT={}",
        commit.as_deref().unwrap_or("unknown")
    );
    // Semantic versions allow letters, digits and hyphens as build metadata.
    let metadata = commit
        .as_deref()
        .and_then(|commit| commit.get(..12))
        .filter(|start| start.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    println!(
        "cargo::rustc-env=SHOUTBACK_RELEASE={}{}",
        env!("CARGO_PKG_VERSION"),
        metadata.map(|start| format!("+{start}")).unwrap_or_default()
    );
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    println!(
        "cargo::rustc-env=SHOUTBACK_RUSTC={}",
        output(&rustc, &["--version"]).as_deref().unwrap_or("unknown")
    );
    let override_from = |name, parse: fn(&str) -> Option<SystemTime>| {
        let text = env::var(name).ok().filter(|text| !text.is_empty())?;
        let time = parse(&text);
        if time.is_none() {
            println!("cargo::error={name} is not a valid time: {text}");
        }
        time
    };
    let build_time = override_from("SHOUTBACK_BUILD_TIME", |text| humantime::parse_rfc3339(text).ok())
        .or_else(|| override_from("SOURCE_DATE_EPOCH", parse_epoch_seconds))
        .unwrap_or_else(SystemTime::now);
    println!(
        "cargo::rustc-env=SHOUTBACK_BUILD_TIME={}",
        humantime::format_rfc3339_seconds(build_time)
    );
}

fn parse_epoch_seconds(text: &str) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(text.parse().ok()?))
}

/// Returns the trimmed output of a command that succeeds and prints anything.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}
