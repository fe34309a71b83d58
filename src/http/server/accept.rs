//! Takes connections from the kernel, as many as there are places for.

use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Connections that the kernel keeps for us while we do not accept: a burst of reconnecting clients, or what comes while
/// `MAX_CONNECTIONS` are open. The kernel's own bound (`net.core.somaxconn`) is 4096 by default.
pub(super) const BACKLOG: u32 = 4096;
/// Out of descriptors, say: to accept again at once would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens at `address`.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Or a restart would have to wait for connections of the last life to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A place comes before a connection: one that there is no place for stays in the backlog, where it costs us nothing.
pub(super) async fn accept(
    listener: &TcpListener,
    places: Option<&Arc<Semaphore>>,
) -> Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    let place = match places {
        Some(places) => Arc::clone(places).acquire_owned().await.ok(),
        None => None,
    };
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// What to do before the next one, after this error.
pub(super) async fn pause_after(error: &std::io::Error) {
    if is_of_one_connection(error) {
        return;
    }
    tracing::warn!(
        event.action = "accept",
        event.kind = "event",
        event.outcome = "failure",
        error.message = %error,
        "a connection could not be accepted"
    );
    sleep(ACCEPT_PAUSE).await;
}

/// Whether accept told of a connection that ended before we came to it. Linux hands over that connection's errors, the
/// network's among them (accept(2)); the next one may be good.
pub(super) fn is_of_one_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::is_of_one_connection;

    #[test]
    fn an_error_of_one_connection_stops_no_accepting() {
        for kind in [
            ErrorKind::ConnectionAborted,
            ErrorKind::ConnectionReset,
            ErrorKind::HostUnreachable,
        ] {
            assert!(is_of_one_connection(&kind.into()), "{kind}");
        }
        // ENFILE, EMFILE, ENOMEM.
        for code in [23, 24, 12] {
            assert!(!is_of_one_connection(&Error::from_raw_os_error(code)), "{code}");
        }
    }
}
