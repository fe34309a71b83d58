//! A stdout that is not read, or closed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::{DROPPED, NO_UPSTREAM, metric, send_requests, settings};
use crate::process::child::{Printed, Process, readiness};
use crate::support::until;

/// The service, whose stdout is read up to the line with its addresses.
struct Unread {
    child: Child,
    stdout: BufReader<ChildStdout>,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Unread {
    #[allow(
        clippy::zombie_processes,
        reason = "`Drop` waits for it; a panic here ends the test process"
    )]
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shoutback"))
            .arg("serve")
            .env_clear()
            .envs(settings(NO_UPSTREAM, &[]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let unknown = SocketAddr::from(([0; 4], 0));
        let mut service = Self {
            stdout: BufReader::new(child.stdout.take().expect("piped")),
            child,
            public: unknown,
            admin: unknown,
        };
        while service.public == unknown {
            let mut line = String::new();
            let read = service.stdout.read_line(&mut line).expect("UTF-8");
            assert!(read > 0, "the process has ended");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            let address = |name: &str| line[name].as_str()?.parse().ok();
            service.admin = address("shoutback.admin_addr").unwrap_or(unknown);
            service.public = address("shoutback.http_addr").unwrap_or(unknown);
        }
        service
    }

    /// Causes more lines than the pipe and the queue hold.
    async fn flood(&self) {
        for part in 0..3 {
            send_requests(self.public, part * 4_000..(part + 1) * 4_000, 128).await;
        }
    }

    async fn dropped(&self) -> u64 {
        metric(self.admin, DROPPED).await
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("sh")
                .args(["-c", "kill \"$0\"", &pid])
                .status()
                .expect("kill")
                .success()
        );
    }

    async fn ended(&mut self) -> (Option<i32>, String) {
        let child = &mut self.child;
        until("the process ends", async || {
            child.try_wait().expect("a child").is_some()
        })
        .await;
        let code = child.wait().expect("an ended child").code();
        let mut stderr = String::new();
        let mut pipe = child.stderr.take().expect("piped");
        pipe.read_to_string(&mut stderr).expect("UTF-8");
        (code, stderr)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Returns a pipe without a writer.
fn closed_pipe() -> BufReader<ChildStdout> {
    let mut child = Command::new("true")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    _ = child.wait();
    BufReader::new(child.stdout.take().expect("piped"))
}

#[tokio::test]
async fn a_pipe_that_is_not_read_delays_neither_requests_nor_the_exit() {
    let mut service = Unread::start();
    service.flood().await;
    assert!(service.dropped().await > 0);
    assert_eq!(readiness(service.admin).await, Some(200));
    service.terminate();
    assert_eq!(service.ended().await, (Some(0), String::new()));
}

#[tokio::test]
async fn a_pipe_that_is_read_again_gets_complete_lines_and_the_number_of_missing_ones() {
    let mut service = Unread::start();
    service.flood().await;
    let missing = service.dropped().await;
    let printed = Printed::default();
    let reader = printed.follow(std::mem::replace(&mut service.stdout, closed_pipe()));
    until("the loss is logged", async || {
        printed.text().contains("shoutback.log.dropped")
    })
    .await;
    service.terminate();
    assert_eq!(service.ended().await.0, Some(0));
    reader.join().expect("a reader");
    let lines: Vec<Value> = printed
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    let ids: Vec<usize> = lines
        .iter()
        .filter_map(|line| line["http.request.id"].as_str()?.parse().ok())
        .collect();
    assert!(ids.is_sorted(), "out of order");
    let reported: u64 = lines
        .iter()
        .filter_map(|line| line["shoutback.log.dropped"].as_u64())
        .sum();
    let requests = ids.len() as u64;
    assert!(missing > 0, "everything was written");
    assert_eq!((reported, requests), (missing, 12_000 - missing));
}

#[tokio::test]
async fn a_closed_pipe_is_reported_on_stderr_once() {
    let mut service = Unread::start();
    drop(std::mem::replace(&mut service.stdout, closed_pipe()));
    send_requests(service.public, 0..10, 1).await;
    until("the drops are counted", async || service.dropped().await >= 10).await;
    send_requests(service.public, 10..20, 1).await;
    until("the drops are counted", async || service.dropped().await >= 20).await;
    service.terminate();
    let (code, stderr) = service.ended().await;
    assert_eq!(code, Some(0));
    assert!(
        stderr.lines().count() == 1 && stderr.contains("cannot write to stdout"),
        "{stderr}"
    );
}

#[tokio::test]
async fn the_exit_code_does_not_depend_on_the_reader() {
    let good = settings(NO_UPSTREAM, &[]);
    let listener = crate::support::loopback().await;
    let address = listener.local_addr().expect("bound").to_string();
    let occupied = settings(NO_UPSTREAM, &[("HTTP_ADDR", &address)]);
    for (line, variables, code) in [
        (r#"exec "$0" serve >/dev/full 2>/dev/full"#, &[][..], 2),
        (r#"exec "$0" serve >/dev/full 2>/dev/full"#, &occupied, 1),
        (r#"exec "$0" check-config 2>/dev/full"#, &[], 2),
        (r#"exec "$0" check-config >/dev/full"#, &good, 1),
        (r#"exec "$0" openapi >/dev/full"#, &[], 1),
    ] {
        let ended = Process::start_by(line, variables).ended().await;
        assert_eq!(ended.code, Some(code), "{line}: {ended:?}");
    }
}

#[tokio::test]
async fn the_last_lines_are_written_before_a_failed_start_exits() {
    let listener = crate::support::loopback().await;
    let address = listener.local_addr().expect("bound").to_string();
    let variables = settings(NO_UPSTREAM, &[("HTTP_ADDR", &address)]);
    let ended = Process::start(&["serve"], &variables).ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let warned = ended
        .log()
        .iter()
        .any(|line| line["event.action"] == "configuration");
    assert!(warned, "{ended:?}");
}
