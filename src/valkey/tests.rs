//! A connection to a server whose responses the test decides.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Error, Script, Valkey, replicas};
use crate::config::{self, ValkeyUrl};
use crate::telemetry::metrics::{Metrics, ValkeyOperation, ValkeyOutcome};
use crate::telemetry::trace::Tracing;

/// What the server does with a script that is called by its digest.
#[derive(Clone, Copy)]
enum Reply {
    Text(&'static str),
    Nothing,
    Close,
    /// Redirects the first call to the same node.
    Moved,
}

struct Server {
    port: u16,
    is_cluster: bool,
    reply: Reply,
    /// The scripts that were called by their digests, with their arguments.
    calls: Mutex<Vec<Vec<String>>>,
    /// Notified of a GET.
    last: Notify,
}

impl Server {
    async fn start(is_cluster: bool, reply: Reply) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Arc::new(Self {
            port: listener.local_addr().expect("an address").port(),
            is_cluster,
            reply,
            calls: Mutex::default(),
            last: Notify::new(),
        });
        let accepting = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&accepting);
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        server
    }

    async fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(command) = command(&mut stream).await {
            let response = match self.reply(command) {
                Reply::Text(text) => text.to_owned(),
                Reply::Nothing => continue,
                Reply::Close => return,
                Reply::Moved if self.calls().len() == 1 => "-MOVED 12539 127.0.0.1:PORT\r\n".to_owned(),
                Reply::Moved => ":1\r\n".to_owned(),
            };
            // A cluster of one node, whose port is not known before.
            let response = response.replace("PORT", &self.port.to_string());
            if stream.write_all(response.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn reply(&self, command: Vec<String>) -> Reply {
        match command[0].as_str() {
            "INFO" if self.is_cluster => Reply::Text("$17\r\ncluster_enabled:1\r\n"),
            "INFO" => Reply::Text("$17\r\ncluster_enabled:0\r\n"),
            "CLUSTER" => Reply::Text("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:PORT\r\n"),
            "GET" => {
                self.last.notify_one();
                Reply::Nothing
            }
            "EVAL" => Reply::Text(":1\r\n"),
            "EVALSHA" => {
                self.calls().push(command);
                self.reply
            }
            _ => Reply::Text("+OK\r\n"),
        }
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Vec<String>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to the server.
    async fn connect(&self, timeout: Duration) -> (Valkey, Metrics) {
        let config = config::Valkey {
            url: ValkeyUrl {
                host: "127.0.0.1".to_owned(),
                port: self.port,
                tls: false,
                database: 0,
                user: None,
                password: None,
            },
            password_file: None,
            timeout,
            shares_cache: false,
        };
        let metrics = Metrics::new(&[]);
        let valkey = Valkey::new(&config, metrics.valkey(), Tracing::disabled());
        let live = valkey.connect().await.expect("it connects");
        valkey.mark_up(live);
        (valkey, metrics)
    }
}

/// Reads a command: an array of strings.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    for _ in 0..length(stream).await? {
        let mut part = vec![0; length(stream).await? + 2];
        stream.read_exact(&mut part).await.ok()?;
        part.truncate(part.len() - 2);
        parts.push(String::from_utf8(part).ok()?);
    }
    Some(parts)
}

async fn length(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}

async fn count(valkey: &Valkey) -> Result<u32, Error> {
    count_of(valkey, "key").await
}

async fn count_of(valkey: &Valkey, key: &str) -> Result<u32, Error> {
    let script = Script::new("return 1");
    valkey
        .evaluate(ValkeyOperation::QuotaLease, &script, key, &[], |response| {
            replicas::count(&response)
        })
        .await
}

#[tokio::test]
async fn a_response_of_another_type_is_a_failure_of_the_server() {
    for response in ["+OK\r\n", "$-1\r\n", "*0\r\n", ":-1\r\n"] {
        let server = Server::start(false, Reply::Text(response)).await;
        let (valkey, metrics) = server.connect(Duration::from_secs(10)).await;
        let outcome = count(&valkey).await.map_err(|error| error.outcome());
        assert_eq!(outcome, Err(ValkeyOutcome::InvalidResponse), "{response:?}");
        assert!(!valkey.is_up(), "{response:?}");
        let series = r#"{operation="quota_lease",outcome="invalid_response"} 1"#;
        let text = metrics.render();
        assert!(text.contains(series), "{response:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_that_hangs_gets_each_command_once() {
    const COMMANDS: usize = 200;
    for _ in 0..5 {
        let server = Server::start(true, Reply::Nothing).await;
        let (valkey, _) = server.connect(Duration::from_millis(200)).await;
        let live = valkey.0.live.load_full().expect("up");
        let mut commands = JoinSet::new();
        for number in 0..COMMANDS {
            let valkey = valkey.clone();
            commands.spawn(async move { count_of(&valkey, &number.to_string()).await.is_err() });
        }
        assert!(commands.join_all().await.into_iter().all(|failed| failed));
        // A command that follows everything else over the same connection.
        let mut last = redis::cmd("GET");
        last.arg("key");
        _ = tokio::join!(live.connection.query(&last), server.last.notified());
        // On a busy machine the first fail before the last are sent, which are not sent to a server that is down then.
        let keys: Vec<String> = server.calls().iter().map(|call| call[3].clone()).collect();
        let distinct: HashSet<&String> = keys.iter().collect();
        assert!(!keys.is_empty() && distinct.len() == keys.len(), "{keys:?}");
    }
}

#[tokio::test]
async fn a_command_whose_connection_to_a_cluster_breaks_is_not_repeated() {
    let server = Server::start(true, Reply::Close).await;
    let (valkey, _) = server.connect(Duration::from_secs(10)).await;
    assert!(count(&valkey).await.is_err());
    assert!(!valkey.is_up());
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn a_command_for_a_slot_that_has_moved_follows_it() {
    let server = Server::start(true, Reply::Moved).await;
    let (valkey, _) = server.connect(Duration::from_secs(10)).await;
    assert_eq!(count(&valkey).await.ok(), Some(1));
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_replica_that_has_left_does_not_register_again() {
    let server = Server::start(false, Reply::Text(":1\r\n")).await;
    let (valkey, _) = server.connect(Duration::from_secs(10)).await;
    let joins = || {
        server
            .calls()
            .last()
            .map(|call| call.last() == Some(&"1".to_owned()))
    };
    assert!(valkey.beat().await.is_ok());
    assert_eq!(joins(), Some(true));
    valkey.leave().await;
    assert_eq!(joins(), Some(false));
    assert!(valkey.beat().await.is_ok());
    assert_eq!(joins(), Some(false));
}
