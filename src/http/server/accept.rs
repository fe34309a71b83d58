//! Accepts connections from the kernel, within the limit on open connections.

use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use crate::telemetry::metrics::{ConnectionMetrics, ConnectionRejection};

/// Connections that the kernel queues while the process does not accept: a burst of reconnecting clients, or those that
/// arrive while `MAX_CONNECTIONS` are open. The kernel's own limit (`net.core.somaxconn`) is 4096 by default.
pub(super) const BACKLOG: u32 = 4096;
/// Pause after an error such as running out of file descriptors: accepting again at once would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// At the limit, accepting has to wait for each connection.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Binds a listener to `address`.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Otherwise a restart would have to wait until connections of the previous process have timed out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Limits the number of open connections, and reports when the limit is reached.
pub(super) struct ConnectionLimit {
    /// One per connection that may be open; `None`: no limit.
    pub(super) permits: Option<Arc<Semaphore>>,
    pub(super) metrics: ConnectionMetrics,
    /// When the last warning was logged.
    pub(super) warned: Option<Instant>,
}

impl ConnectionLimit {
    async fn acquire(&mut self) -> Option<OwnedSemaphorePermit> {
        let permits = self.permits.as_ref()?;
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Some(permit);
        }
        self.metrics.record_rejected(ConnectionRejection::LimitWait);
        if self
            .warned
            .is_none_or(|warned| warned.elapsed() >= WARNING_INTERVAL)
        {
            self.warned = Some(Instant::now());
            tracing::warn!(
                event.action = "accept",
                event.kind = "event",
                event.outcome = "failure",
                "MAX_CONNECTIONS are open; further ones wait to be accepted"
            );
        }
        Arc::clone(permits).acquire_owned().await.ok()
    }
}

/// Acquires a permit, then accepts a connection: without a permit a connection stays in the backlog, where it costs the
/// process nothing.
pub(super) async fn accept(
    listener: &TcpListener,
    limit: &mut ConnectionLimit,
) -> Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    let permit = limit.acquire().await;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// Logs `error` and pauses, unless the error concerns a single connection.
pub(super) async fn pause_after(error: &std::io::Error) {
    if is_connection_error(error) {
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

/// Returns whether `error` concerns a connection that ended before it was accepted. Linux reports that connection's
/// errors, network errors included, from accept(2); the next connection may be sound.
pub(super) fn is_connection_error(error: &std::io::Error) -> bool {
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
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::time::{Instant, advance, timeout};

    use super::{ConnectionLimit, WARNING_INTERVAL, is_connection_error};
    use crate::telemetry::metrics::ConnectionMetrics;

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_logged_once_a_minute() {
        let mut limit = ConnectionLimit {
            permits: Some(Arc::new(Semaphore::new(0))),
            metrics: ConnectionMetrics::noop(),
            warned: None,
        };
        let mut warned = Vec::new();
        let start = Instant::now();
        for pause in [Duration::ZERO, WARNING_INTERVAL / 2, WARNING_INTERVAL / 2] {
            advance(pause).await;
            timeout(Duration::ZERO, limit.acquire())
                .await
                .expect_err("no permit");
            warned.push(limit.warned.expect("logged") - start);
        }
        assert_eq!(warned, [Duration::ZERO, Duration::ZERO, WARNING_INTERVAL]);
    }

    #[test]
    fn errors_of_one_connection_differ_from_errors_of_the_listener() {
        for kind in [
            ErrorKind::ConnectionAborted,
            ErrorKind::ConnectionReset,
            ErrorKind::HostUnreachable,
        ] {
            assert!(is_connection_error(&kind.into()), "{kind}");
        }
        // ENFILE, EMFILE, ENOMEM.
        for code in [23, 24, 12] {
            assert!(!is_connection_error(&Error::from_raw_os_error(code)), "{code}");
        }
    }
}
