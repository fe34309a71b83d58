//! A real Valkey, as a process of its own.

use std::process::{Child, Command, Stdio};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};

use super::{loopback, until};

/// A server without persistence. Dropping it ends the process.
pub struct Valkey {
    pub url: String,
    connection: MultiplexedConnection,
    child: Child,
}

impl Valkey {
    /// Starts `valkey-server`, which has to be on PATH, on a free port.
    pub async fn start() -> Self {
        let port = loopback().await.local_addr().expect("an address").port();
        let child = Command::new("valkey-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("valkey-server on PATH: `scripts/tools path valkey` prints one with it");
        let url = format!("redis://127.0.0.1:{port}");
        let client = redis::Client::open(&*url).expect("a URL");
        let mut connection = None;
        until("Valkey accepts connections", async || {
            connection = client.get_multiplexed_async_connection().await.ok();
            connection.is_some()
        })
        .await;
        Self {
            url,
            connection: connection.expect("connected"),
            child,
        }
    }

    /// Executes a command, given as words.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        let mut connection = self.connection.clone();
        command
            .query_async(&mut connection)
            .await
            .expect("a valid response")
    }

    /// Waits until there is one key that matches `pattern`, and returns it: no request waits for a write.
    pub async fn key(&self, pattern: &str) -> String {
        let mut keys = Vec::<String>::new();
        until("a key is written", async || {
            keys = self.command(&["KEYS", pattern]).await;
            keys.len() == 1
        })
        .await;
        keys.remove(0)
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
