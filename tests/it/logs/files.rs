//! `LOG_FILE`: rotated within its limit, and whatever happens to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{DROPPED, NO_UPSTREAM, ask, metric, open_to_all, serve};
use crate::process::child::{Process, run};
use crate::support::until;

const LIMIT: usize = 64 << 10;

struct Place(TempDir);

impl Place {
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

    /// Everything that is kept, the oldest first.
    fn kept(&self) -> String {
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
async fn the_files_hold_the_last_lines_of_all_runs_within_the_limit() {
    let place = Place::new();
    let variables = place.variables();
    let mut said = String::new();
    for number in 0..3 {
        let mut service = serve(NO_UPSTREAM, &with(&variables));
        let (public, _) = service.ready().await;
        for part in 0..4 {
            ask(public, part * 20..(part + 1) * 20, 4 + number).await;
            let kept = place.kept().len();
            assert!(kept <= LIMIT, "{kept}");
        }
        service.signal("TERM");
        let ended = service.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        said += &ended.stdout;
        let kept = place.kept();
        assert!(kept.len() <= LIMIT && said.ends_with(&kept), "{}", kept.len());
        assert!(
            said.len() == kept.len() || kept.len() > LIMIT / 2,
            "{}",
            kept.len()
        );
    }
    assert!(said.len() > LIMIT, "nothing had to go: {}", said.len());
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_told_before_anything_is_served() {
    let place = Place::new();
    let path = place.0.path().join("missing/log");
    let path = path.to_str().expect("UTF-8");
    let ended = run(&["serve"], &open_to_all(NO_UPSTREAM, &[("LOG_FILE", path)])).await;
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
async fn a_file_that_is_removed_is_made_anew() {
    let place = Place::new();
    let variables = place.variables();
    let mut service = serve(NO_UPSTREAM, &with(&variables));
    let (public, _) = service.ready().await;
    ask(public, 1..2, 1).await;
    until("it is written", async || has(&place.log(), "1")).await;
    fs::remove_file(place.log()).expect("it is there");
    ask(public, 2..3, 1).await;
    until("it is written", async || has(&place.log(), "2")).await;
}

#[tokio::test]
async fn a_full_disk_costs_lines_of_the_file_and_nothing_else() {
    let place = Place::new();
    let variables = place.variables();
    // A limit on the size of its files, in blocks of 512 bytes, which a write meets as it meets the end of a disk.
    let line = r#"trap "" XFSZ; ulimit -S -f 15; exec "$0" serve"#;
    let mut service = Process::start_by(line, &open_to_all(NO_UPSTREAM, &with(&variables)));
    let (public, admin) = service.ready().await;
    ask(public, 0..60, 100).await;
    until("lines are dropped", async || metric(admin, DROPPED).await > 0).await;
    ask(public, 60..80, 100).await;
    let pid = service.pid().to_string();
    let lifted = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status();
    assert!(lifted.expect("prlimit").success());
    let told = || -> Vec<Value> {
        let lines = service.log().into_iter();
        lines.filter(|line| line["event.action"] == "log").collect()
    };
    let dropped = |lines: &[Value]| -> u64 {
        let counts = lines.iter().map(|line| line["shoutback.log.dropped"].as_u64());
        counts.flatten().sum()
    };
    let mut number = 80;
    until("it says that it can write again", async || {
        ask(public, number..number + 1, 100).await;
        number += 1;
        dropped(&told()) == metric(admin, DROPPED).await
    })
    .await;
    let missing = metric(admin, DROPPED).await;
    let told = told();
    assert_eq!(told[0]["log.level"], "error");
    assert!(
        told[0]["error.message"]
            .as_str()
            .is_some_and(|text| text.contains("too large")),
        "{told:#?}"
    );
    assert!(
        told.iter().all(|line| line["shoutback.log.sink"] == "file"),
        "{told:#?}"
    );
    service.signal("TERM");
    let ended = service.ended().await;
    let kept = place.kept();
    assert!(
        kept.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "a part of a line: {kept}"
    );
    assert_eq!(
        kept.lines().count() as u64 + missing,
        ended.stdout.lines().count() as u64
    );
}

#[tokio::test]
async fn a_directory_that_is_away_for_a_while_costs_the_lines_of_that_while() {
    let place = Place::new();
    let variables = place.variables();
    let mut service = serve(NO_UPSTREAM, &with(&variables));
    let (public, admin) = service.ready().await;
    let away = place.0.path().with_extension("away");
    fs::rename(place.0.path(), &away).expect("it is there");
    ask(public, 1..2, 1).await;
    until("it is counted", async || metric(admin, DROPPED).await > 0).await;
    fs::rename(&away, place.0.path()).expect("it is there");
    ask(public, 2..3, 1).await;
    until("it is written", async || has(&place.log(), "2")).await;
    assert!(!has(&place.log(), "1"));
}
