//! Several replicas in one process, behind a round robin, with a Valkey in which they share their state.

use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use shoutback::app::{Application, StartError};
use shoutback::config::{Config, Environment};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Servers, by preference.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// Valkey cannot be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot start valkey-server or redis-server: {0}; install one, set VALKEY_URL to a server that runs, or use `make dev ARGS=--replicas=3`, which installs it"
)]
pub(crate) struct ValkeyError(io::Error);

/// A Valkey without persistence, which runs until dropped.
pub(crate) struct ValkeyServer(Child);

impl Drop for ValkeyServer {
    fn drop(&mut self) {
        // It may have ended.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Starts a Valkey that listens on `address`, unless `environment` names one. Sets the variables for it.
pub(crate) fn start_valkey(
    environment: &mut Environment,
    address: SocketAddr,
) -> Result<Option<ValkeyServer>, ValkeyError> {
    if environment.is_set("VALKEY_URL") {
        return Ok(None);
    }
    environment.set("VALKEY_URL", format!("redis://{address}"));
    environment.set_default("CACHE_SHARED", "on");
    // A busy machine may stop a process for longer than the default of 20 ms.
    environment.set_default("VALKEY_TIMEOUT", "1s");
    let start = |program| {
        Command::new(program)
            .args(["--save", "", "--appendonly", "no"])
            .args(["--bind", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
    };
    let [first, second] = PROGRAMS;
    let child = start(first).or_else(|_| start(second));
    Ok(Some(ValkeyServer(child.map_err(ValkeyError)?)))
}

/// Builds `count` replicas, and forwards connections to the address of `config` to each in turn. Returns the first
/// replica, which is not running yet, and that address. The admin ports follow that of the first.
pub(crate) async fn bind(config: &Config, count: u16) -> Result<(Application, SocketAddr), StartError> {
    let address = config.http.http_addr;
    let balancer = TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Bind {
            variable: "HTTP_ADDR",
            address,
            source,
        })?;
    let balanced = balancer.local_addr().unwrap_or(address);
    let mut config = config.clone();
    config.http.http_addr.set_port(0);
    let first = Application::bind(&config).await?;
    let mut addresses = vec![first.public_addr()];
    for _ in 1..count {
        let admin = &mut config.http.admin_addr;
        if admin.port() != 0 {
            admin.set_port(admin.port().saturating_add(1));
        }
        let replica = Application::bind(&config).await?;
        addresses.push(replica.public_addr());
        tokio::spawn(replica.run(CancellationToken::new()));
    }
    tokio::spawn(balance(balancer, addresses));
    Ok((first, balanced))
}

/// Forwards each connection to the next replica.
async fn balance(listener: TcpListener, replicas: Vec<SocketAddr>) {
    for replica in replicas.iter().copied().cycle() {
        let Ok((mut client, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(async move {
            let mut server = TcpStream::connect(replica).await?;
            copy_bidirectional(&mut client, &mut server).await
        });
    }
}
