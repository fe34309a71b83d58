//! Opens connections: resolves the name, connects to one of its addresses, runs the TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls_platform_verifier::ConfigVerifierExt as _;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::Service;

use super::super::error::{ConnectionError, Error, Transient};
use super::connection::Connection;
use super::stream::Stream;

/// The part of the time limit in which all addresses are tried; the rest is for the name and the TLS handshake.
const SHARE_OF_ADDRESSES: f64 = 0.8;

/// As reqwest has it: a peer that acknowledges nothing is noticed after this time.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens connections to one server.
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    server: Uri,
    time_limit: Duration,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct BuildError(#[from] tokio_rustls::rustls::Error);

impl Connector {
    pub(super) fn new(server: Uri, time_limit: Duration) -> Result<Self, BuildError> {
        Self::with_resolver(server, time_limit, Resolver::default())
    }

    fn with_resolver(server: Uri, time_limit: Duration, resolver: Resolver) -> Result<Self, BuildError> {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        // hyper-util divides it by the number of addresses. Without it, the first address may use up the attempt.
        tcp.set_connect_timeout(Some(time_limit.mul_f64(SHARE_OF_ADDRESSES)));
        let tls = match server.scheme_str() {
            Some("https") => {
                let config = ClientConfig::with_platform_verifier()?;
                let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
                let name =
                    ServerName::try_from(host.to_owned()).expect("a URL's host is a name or an address");
                Some((TlsConnector::from(Arc::new(config)), name))
            }
            _ => None,
        };
        Ok(Self {
            tcp,
            tls,
            server,
            time_limit,
        })
    }

    /// Opens a connection, within the time limit.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        let connected = timeout(self.time_limit, self.open()).await;
        connected.unwrap_or_else(|_| {
            Err(failed(
                ConnectionError::ConnectTimeout,
                "the connect timeout expired",
            ))
        })
    }

    async fn open(&self) -> Result<Connection, Error> {
        let mut tcp = self.tcp.clone();
        let stream = tcp
            .call(self.server.clone())
            .await
            .map_err(|error| tcp_failed(&error))?;
        let tcp = stream.into_inner();
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), tcp).await;
                let stream = stream.map_err(|error| failed(ConnectionError::Tls, &error.to_string()))?;
                Stream::Tls(Box::new(stream))
            }
        };
        Connection::handshake(stream)
            .await
            .map_err(|error| Error::from_hyper(&error))
    }
}

fn tcp_failed(error: &(dyn std::error::Error + 'static)) -> Error {
    let mut cause = error;
    loop {
        if cause.is::<ResolveError>() {
            return failed(ConnectionError::Dns, &cause.to_string());
        }
        if let Some(error) = cause.downcast_ref::<io::Error>()
            && cause.source().is_none()
        {
            let kind = match error.kind() {
                io::ErrorKind::TimedOut => ConnectionError::ConnectTimeout,
                _ => ConnectionError::from_io(error),
            };
            return failed(kind, &error.to_string());
        }
        match cause.source() {
            Some(source) => cause = source,
            None => return failed(ConnectionError::Other, &cause.to_string()),
        }
    }
}

fn failed(kind: ConnectionError, cause: &str) -> Error {
    Error::from(Transient::Connection {
        kind,
        cause: cause.to_owned(),
    })
}

/// Resolves names with the system's resolver, and marks its errors.
#[derive(Clone, Default)]
struct Resolver {
    /// Addresses of every name, in tests.
    #[cfg(test)]
    fixed: Option<Vec<SocketAddr>>,
}

/// The name could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve the host: {0}")]
struct ResolveError(io::Error);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        #[cfg(test)]
        if let Some(addresses) = self.fixed.clone() {
            return Box::pin(async move { Ok(addresses.into_iter()) });
        }
        Box::pin(async move {
            // The connector sets the port.
            let addresses = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(ResolveError)?;
            Ok(addresses.collect::<Vec<_>>().into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;

    use super::super::super::error::{ConnectionError, Error, Transient};
    use super::{Connector, Resolver};

    /// A listener whose backlog is full: the kernel drops further SYN packets, so that connecting neither succeeds nor fails.
    struct SilentListener {
        address: SocketAddr,
        _listener: TcpListener,
        _connected: Vec<TcpStream>,
    }

    impl SilentListener {
        async fn start(address: &str) -> Self {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket
                .bind(address.parse().expect("an address"))
                .expect("a free port");
            let listener = socket.listen(0).expect("listens");
            let address = listener.local_addr().expect("bound");
            let mut connected = Vec::new();
            while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
                connected.push(stream.expect("connects"));
            }
            Self {
                address,
                _listener: listener,
                _connected: connected,
            }
        }
    }

    /// The error of a connection to a name with these addresses, all at `port`; `None` if it is established.
    async fn connect(
        scheme: &str,
        addresses: &[&str],
        port: u16,
        time_limit: Duration,
    ) -> Option<ConnectionError> {
        let server = format!("{scheme}://shoutcloud.test:{port}/")
            .parse()
            .expect("a URI");
        let addresses = addresses
            .iter()
            .map(|address| format!("{address}:0").parse().expect("an address"));
        let resolver = Resolver {
            fixed: Some(addresses.collect()),
        };
        let connector = Connector::with_resolver(server, time_limit, resolver).expect("a connector");
        error(connector.connect().await.err()?)
    }

    fn error(error: Error) -> Option<ConnectionError> {
        match error {
            Error::Unavailable {
                cause: Transient::Connection { kind, .. },
                ..
            } => Some(kind),
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn a_silent_first_address_leaves_time_for_the_next() {
        let silent = SilentListener::start("127.0.0.1:0").await;
        let port = silent.address.port();
        let _listener = TcpListener::bind(("127.0.0.2", port)).await.expect("a free port");
        let addresses = ["127.0.0.1", "127.0.0.2"];
        assert_eq!(
            connect("http", &addresses, port, Duration::from_secs(2)).await,
            None
        );
    }

    #[tokio::test]
    async fn a_first_address_without_a_listener_costs_no_time() {
        let listener = TcpListener::bind("127.0.0.2:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let addresses = ["127.0.0.1", "127.0.0.2"];
        assert_eq!(
            connect("http", &addresses, port, Duration::from_secs(60)).await,
            None
        );
    }

    #[tokio::test]
    async fn errors_tell_the_stage_that_failed() {
        let second = Duration::from_secs(1);
        let silent = SilentListener::start("127.0.0.1:0").await;
        let kind = connect("http", &["127.0.0.1"], silent.address.port(), second / 4).await;
        assert_eq!(kind, Some(ConnectionError::ConnectTimeout));

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let kind = connect("http", &["127.0.0.1"], port, 60 * second).await;
        assert_eq!(kind, Some(ConnectionError::Refused));

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let accepting = tokio::spawn(async move { listener.accept().await.map(drop) });
        let kind = connect("https", &["127.0.0.1"], port, 60 * second).await;
        assert_eq!(kind, Some(ConnectionError::Tls));
        accepting.await.expect("no panic").expect("a connection");

        let server = "http://shoutcloud.invalid/".parse().expect("a URI");
        let connector = Connector::new(server, 60 * second).expect("a connector");
        let kind = connector.connect().await.err().and_then(error);
        assert_eq!(kind, Some(ConnectionError::Dns));
    }
}
