//! Tells the binary which build it is. `SHOUTBACK_COMMIT` and `SHOUTBACK_BUILD_TIME` (RFC 3339) or `SOURCE_DATE_EPOCH`
//! override what git and the clock say, so that an image built outside a checkout knows its commit and a build can be
//! reproduced. The time has a name of its own because a change of `SOURCE_DATE_EPOCH` has every library in C built again.

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
    println!("cargo::rerun-if-env-changed=SHOUTBACK_BUILD_TIME");
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
    let fixed = |name, parse: fn(&str) -> Option<SystemTime>| {
        let text = env::var(name).ok().filter(|text| !text.is_empty())?;
        let time = parse(&text);
        if time.is_none() {
            println!("cargo::error={name} is no time: {text}");
        }
        time
    };
    let built = fixed("SHOUTBACK_BUILD_TIME", |text| humantime::parse_rfc3339(text).ok())
        .or_else(|| fixed("SOURCE_DATE_EPOCH", seconds))
        .unwrap_or_else(SystemTime::now);
    println!(
        "cargo::rustc-env=SHOUTBACK_BUILD_TIME={}",
        humantime::format_rfc3339_seconds(built)
    );
}

fn seconds(text: &str) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(text.parse().ok()?))
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
