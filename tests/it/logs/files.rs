//! `LOG_FILE`: rotation, and recovery from failures of the file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{DROPPED, NO_UPSTREAM, metric, send_requests, serve, settings};
use crate::process::child::{Process, run};
use crate::support::until;

const LIMIT: usize = 64 << 10;

struct LogDirectory(TempDir);

impl LogDirectory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }

    fn variables(&self) -> [(&'static str, String); 2] {
        let path = self.log().to_str().expect("UTF-8").to_owned();
        [("LOG_FILE", path), ("LOG_FILE_MAX_BYTES", "64KiB".to_owned())]
    }

    /// Returns the contents of all files, the oldest first.
    fn contents(&self) -> String {
        let names = ["log.3", "log.2", "log.1", "log"];
        let contents = names.map(|name| fs::read_to_string(self.0.path().join(name)).unwrap_or_default());
        contents.concat()
    }
}

fn with<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

fn has(path: &Path, id: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("\"http.request.id\":\"{id}\"")))
}

#[tokio::test]
async fn the_files_have_the_last_lines_of_all_runs_within_the_limit() {
    let directory = LogDirectory::new();
    let variables = directory.variables();
    let mut stdout = String::new();
    for number in 0..3 {
        let mut service = serve(NO_UPSTREAM, &with(&variables));
        let (public, _) = service.ready().await;
        for part in 0..4 {
            send_requests(public, part * 20..(part + 1) * 20, 4 + number).await;
            let contents = directory.contents().len();
            assert!(contents <= LIMIT, "{contents}");
        }
        service.signal("TERM");
        let ended = service.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        stdout += &ended.stdout;
        let contents = directory.contents();
        assert!(
            contents.len() <= LIMIT && stdout.ends_with(&contents),
            "{}",
            contents.len()
        );
        assert!(
            stdout.len() == contents.len() || contents.len() > LIMIT / 2,
            "{}",
            contents.len()
        );
    }
    assert!(stdout.len() > LIMIT, "no rotation: {}", stdout.len());
}

#[tokio::test]
async fn a_file_that_cannot_be_created_fails_the_start() {
    let directory = LogDirectory::new();
    let path = directory.0.path().join("missing/log");
    let path = path.to_str().expect("UTF-8");
    let ended = run(&["serve"], &settings(NO_UPSTREAM, &[("LOG_FILE", path)])).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in [
        "LOG_FILE",
        path,
        "No such file or directory",
        "create its directory",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn a_removed_file_is_created_again() {
    let directory = LogDirectory::new();
    let variables = directory.variables();
    let mut service = serve(NO_UPSTREAM, &with(&variables));
    let (public, _) = service.ready().await;
    send_requests(public, 1..2, 1).await;
    until("the line is written", async || has(&directory.log(), "1")).await;
    fs::remove_file(directory.log()).expect("it exists");
    send_requests(public, 2..3, 1).await;
    until("the line is written", async || has(&directory.log(), "2")).await;
}

#[tokio::test]
async fn a_full_disk_costs_only_lines_of_the_file() {
    let directory = LogDirectory::new();
    let variables = directory.variables();
    // A limit on the file size, in blocks of 512 bytes: a write fails as on a full disk.
    let line = r#"trap "" XFSZ; ulimit -S -f 15; exec "$0" serve"#;
    let mut service = Process::start_by(line, &settings(NO_UPSTREAM, &with(&variables)));
    let (public, admin) = service.ready().await;
    send_requests(public, 0..60, 100).await;
    until("lines are dropped", async || metric(admin, DROPPED).await > 0).await;
    send_requests(public, 60..80, 100).await;
    let pid = service.pid().to_string();
    let lifted = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status();
    assert!(lifted.expect("prlimit").success());
    let logged = || -> Vec<Value> {
        let lines = service.log().into_iter();
        lines.filter(|line| line["event.action"] == "log").collect()
    };
    let dropped = |lines: &[Value]| -> u64 {
        let counts = lines.iter().map(|line| line["shoutback.log.dropped"].as_u64());
        counts.flatten().sum()
    };
    let mut number = 80;
    until("the recovery is logged", async || {
        send_requests(public, number..number + 1, 100).await;
        number += 1;
        dropped(&logged()) == metric(admin, DROPPED).await
    })
    .await;
    let missing = metric(admin, DROPPED).await;
    let logged = logged();
    assert_eq!(logged[0]["log.level"], "error");
    assert!(
        logged[0]["error.message"]
            .as_str()
            .is_some_and(|text| text.contains("too large")),
        "{logged:#?}"
    );
    assert!(
        logged.iter().all(|line| line["shoutback.log.sink"] == "file"),
        "{logged:#?}"
    );
    service.signal("TERM");
    let ended = service.ended().await;
    let contents = directory.contents();
    assert!(
        contents
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "a partial line: {contents}"
    );
    assert_eq!(
        contents.lines().count() as u64 + missing,
        ended.stdout.lines().count() as u64
    );
}

#[tokio::test]
async fn a_missing_directory_costs_only_the_lines_of_that_time() {
    let directory = LogDirectory::new();
    let variables = directory.variables();
    let mut service = serve(NO_UPSTREAM, &with(&variables));
    let (public, admin) = service.ready().await;
    let away = directory.0.path().with_extension("away");
    fs::rename(directory.0.path(), &away).expect("it exists");
    send_requests(public, 1..2, 1).await;
    until("the drop is counted", async || metric(admin, DROPPED).await > 0).await;
    fs::rename(&away, directory.0.path()).expect("it exists");
    send_requests(public, 2..3, 1).await;
    until("the line is written", async || has(&directory.log(), "2")).await;
    assert!(!has(&directory.log(), "1"));
}
