//! Connections: to one server, or to the nodes of a cluster.

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisResult,
    TlsMode, Value,
};

use super::error::Error;
use crate::config::{self, ValkeyUrl};
use crate::version;

/// Time limit of a connection with all that it needs: name look-up, TLS, authentication, the nodes of a cluster and the
/// first command.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit of one connection among these.
const NODE_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens connections.
pub(super) struct Connector {
    url: ValkeyUrl,
    password_file: Option<PathBuf>,
    timeout: Duration,
}

/// A connection. One per node, shared by all commands.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends `command` and waits for its response.
    pub(super) async fn query(&self, command: &Cmd) -> RedisResult<Value> {
        // Both are handles to a task that owns the socket; a clone is a reference.
        match self {
            Self::Single(connection) => command.query_async(&mut connection.clone()).await,
            Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }
}

impl Connector {
    pub(super) fn new(config: &config::Valkey) -> Self {
        Self {
            url: config.url.clone(),
            password_file: config.password_file.clone(),
            timeout: config.timeout,
        }
    }

    /// Connects to the server, or to its cluster if it belongs to one. Reads the password file.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        let password = match &self.password_file {
            None => self.url.password.clone(),
            Some(path) => {
                // A file of one line in memory, as Kubernetes mounts secrets.
                let text = std::fs::read_to_string(path).map_err(|error| Error::password_file(&error))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        let info = self.connection_info(password)?;
        // Setting up a connection takes several round trips.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(NODE_CONNECT_TIMEOUT))
            .set_response_timeout(Some(self.timeout));
        let connection = Client::open(info.clone())?
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let connection = Connection::Single(connection);
        if is_cluster(&connection).await {
            return Ok(Connection::Cluster(self.connect_cluster(info).await?));
        }
        Ok(connection)
    }

    async fn connect_cluster(&self, info: ConnectionInfo) -> Result<ClusterConnection, Error> {
        let mut builder = ClusterClientBuilder::new([info])
            // To follow a redirection. With one more, the client would repeat commands whose connection breaks, which the
            // server may have executed.
            .retries(1)
            .min_retry_wait(1)
            .max_retry_wait(10)
            .connection_timeout(NODE_CONNECT_TIMEOUT)
            // Later than the caller's limit: the client repeats a command that times out while its caller waits.
            .response_timeout(2 * self.timeout)
            .tcp_settings(tcp_settings());
        if self.url.tls {
            builder = builder.tls(TlsMode::Secure);
        }
        Ok(builder.build()?.get_async_connection().await?)
    }

    fn connection_info(&self, password: Option<String>) -> Result<ConnectionInfo, Error> {
        let (host, port) = (self.url.host.clone(), self.url.port);
        let address = if self.url.tls {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = address.into_connection_info()?;
        let mut settings = info
            .redis_settings()
            .clone()
            .set_db(self.url.database)
            .set_lib_name("shoutback", version::VERSION);
        if let Some(user) = &self.url.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        Ok(info.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
    }
}

fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// Returns whether the server belongs to a cluster. One that does not tell is taken for a single server.
async fn is_cluster(connection: &Connection) -> bool {
    let mut command = redis::cmd("INFO");
    command.arg("cluster");
    let text = match connection.query(&command).await {
        Ok(Value::BulkString(text)) => String::from_utf8_lossy(&text).into_owned(),
        Ok(Value::VerbatimString { text, .. }) => text,
        Ok(_) | Err(_) => return false,
    };
    text.lines().any(|line| line.trim() == "cluster_enabled:1")
}
