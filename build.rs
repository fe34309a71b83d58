//! Tells the binary which build it is. `SHOUTBACK_COMMIT` and `SOURCE_DATE_EPOCH` override what git and the clock say, so
//! that an image built outside a checkout knows its commit and a build can be reproduced.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script has no configuration but the environment"
)]

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

fn main() {
    println!("cargo::rerun-if-env-changed=SHOUTBACK_COMMIT");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // The log of HEAD grows with every commit, whatever branch it is on. A path that does not exist would rebuild each time.
    let log =
        output("git", &["rev-parse", "--git-path", "logs/HEAD"]).filter(|path| Path::new(path).exists());
    if let Some(log) = log {
        println!("cargo::rerun-if-changed={log}");
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
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    println!(
        "cargo::rustc-env=SHOUTBACK_RUSTC={}",
        output(&rustc, &["--version"]).as_deref().unwrap_or("unknown")
    );
    let fixed = env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    let built = fixed.map_or_else(SystemTime::now, |seconds| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    });
    println!(
        "cargo::rustc-env=SHOUTBACK_BUILD_TIME={}",
        humantime::format_rfc3339_seconds(built)
    );
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}
