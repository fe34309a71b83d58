//! A child process whose output is read while it runs.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{client, until};

/// The text read from one of its streams so far.
#[derive(Clone, Default)]
pub struct Printed(Arc<Mutex<String>>);

impl Printed {
    pub fn follow(&self, stream: impl Read + Send + 'static) -> std::thread::JoinHandle<()> {
        let printed = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                printed.0.lock().expect("not poisoned").push_str(&text);
                line.clear();
            }
        })
    }

    pub fn text(&self) -> String {
        self.0.lock().expect("not poisoned").clone()
    }
}

/// The binary, running with only `PATH` of this environment. Killed when it is dropped.
pub struct Process {
    child: Child,
    stdout: Printed,
    stderr: Printed,
    readers: Vec<std::thread::JoinHandle<()>>,
}

/// Exit code and output of a process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Parses the log lines.
    pub fn log(&self) -> Vec<Value> {
        let object = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        self.stdout.lines().map(object).collect()
    }

    /// Returns both streams: which one has the problems depends on the command.
    pub fn output(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

impl Process {
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoutback"));
        command.args(arguments);
        Self::spawn(command, variables)
    }

    /// Starts the binary with a line of shell in which it is `"$0"`.
    pub fn start_by(line: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", line, env!("CARGO_BIN_EXE_shoutback")]);
        Self::spawn(command, variables)
    }

    /// Starts a line of shell.
    pub fn shell(line: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        Self::spawn(command, &[])
    }

    fn spawn(mut command: Command, variables: &[(&str, &str)]) -> Self {
        let path = option_env!("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
        let mut child = command
            .env_clear()
            .env("PATH", path)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let (stdout, stderr) = (Printed::default(), Printed::default());
        let readers = vec![
            stdout.follow(child.stdout.take().expect("piped")),
            stderr.follow(child.stderr.take().expect("piped")),
        ];
        Self {
            child,
            stdout,
            stderr,
            readers,
        }
    }

    /// Parses the log lines so far.
    pub fn log(&self) -> Vec<Value> {
        let text = self.stdout.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect()
    }

    /// Returns the messages of its warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        let is_warning = |line: &Value| {
            let level = line["log.level"].as_str().expect("a level");
            level.eq_ignore_ascii_case("warn")
        };
        let warnings = self.log().into_iter().filter(is_warning);
        warnings
            .map(|line| line["message"].as_str().expect("a message").to_owned())
            .collect()
    }

    /// Returns its stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    fn logged_address(&self, name: &str) -> Option<SocketAddr> {
        let line = self
            .log()
            .into_iter()
            .find(|line| line["message"] == "listening")?;
        line[name].as_str()?.parse().ok()
    }

    /// Waits until it is ready, and returns the addresses of its public and its admin listener.
    pub async fn ready(&mut self) -> (SocketAddr, SocketAddr) {
        until("it listens", async || {
            assert_eq!(
                self.child.try_wait().expect("a child"),
                None,
                "{} {}",
                self.stdout.text(),
                self.stderr.text()
            );
            self.logged_address("shoutback.admin_addr").is_some()
        })
        .await;
        let admin = self.logged_address("shoutback.admin_addr").expect("it listens");
        until("it is ready", async || readiness(admin).await == Some(200)).await;
        (
            self.logged_address("shoutback.http_addr").expect("it listens"),
            admin,
        )
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the log lines of requests so far.
    pub fn requests(&self) -> Vec<Value> {
        let is_request = |line: &Value| line["event.action"] == "request";
        self.log().into_iter().filter(is_request).collect()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        // The shell's built-in: a minimal Debian has no `kill` program.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid])
            .status();
        assert!(status.expect("kill").success(), "{name}");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) -> Ended {
        until("it ends", async || !self.is_running()).await;
        let code = self.child.wait().expect("it ended").code();
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        Ended {
            code,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Returns the status of `/readyz`; `None` without a response.
pub async fn readiness(admin: SocketAddr) -> Option<u16> {
    let response = client().get(format!("http://{admin}/readyz")).send().await.ok()?;
    Some(response.status().as_u16())
}

/// Runs the binary until it ends.
pub async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    Process::start(arguments, variables).ended().await
}
