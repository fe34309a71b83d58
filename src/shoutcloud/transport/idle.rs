//! Idle connections, the most recently used last.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;

/// Connections beyond this number, after a burst, are closed: SHOUTCLOUD is a small server.
const MAX_IDLE: usize = 256;

/// Shorter than the idle timeouts of most servers, balancers and NAT gateways.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections that wait for the next call.
#[derive(Default)]
pub(super) struct IdleConnections {
    connections: Mutex<VecDeque<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl IdleConnections {
    /// Returns the most recently used connection that is still open.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            // Dropped outside the lock: closing a socket is a system call.
            let Idle {
                mut connection,
                since,
            } = self.lock().pop_back()?;
            if since.elapsed() < IDLE_TIMEOUT && connection.is_ready() {
                return Some(connection);
            }
        }
    }

    /// Stores a connection for the next call, unless it is closed.
    pub(super) fn put(&self, mut connection: Connection) {
        if !connection.is_ready() {
            return;
        }
        let since = Instant::now();
        let mut connections = self.lock();
        let oldest = if connections.len() >= MAX_IDLE {
            connections.pop_front()
        } else {
            None
        };
        connections.push_back(Idle { connection, since });
        drop(connections);
        drop(oldest);
    }

    /// Closes all connections.
    pub(super) fn clear(&self) {
        drop(mem::take(&mut *self.lock()));
    }

    /// Closes connections that have been idle for too long or that the server has closed.
    pub(super) fn sweep(&self) {
        let mut closed = Vec::new();
        let mut connections = self.lock();
        for mut idle in mem::take(&mut *connections) {
            if idle.since.elapsed() < IDLE_TIMEOUT && idle.connection.is_ready() {
                connections.push_back(idle);
            } else {
                closed.push(idle);
            }
        }
        drop(connections);
        drop(closed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::advance;

    use super::{Connection, IDLE_TIMEOUT, IdleConnections, MAX_IDLE};
    use crate::shoutcloud::transport::stream::Stream;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Returns a connection, and the server's end of it.
    async fn connect() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await;
        let (server, _) = listener.accept().await.expect("a connection");
        let stream = Stream::Plain(stream.expect("a connection"));
        let connection = Connection::handshake(stream).await.expect("no I/O");
        (connection, server)
    }

    /// Waits until the client has closed the connection.
    async fn closed(server: &mut TcpStream) {
        assert_eq!(server.read(&mut [0]).await.ok(), Some(0));
    }

    fn is_open(server: &TcpStream) -> bool {
        server.try_read(&mut [0]).is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_used_last_is_used_first() {
        let idle = IdleConnections::default();
        let ((first, first_server), (second, mut second_server)) = (connect().await, connect().await);
        idle.put(first);
        idle.put(second);
        drop(idle.take().expect("a connection"));
        closed(&mut second_server).await;
        assert!(is_open(&first_server));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_used_for_less_than_a_minute_of_idleness() {
        let idle = IdleConnections::default();
        let (connection, mut server) = connect().await;
        idle.put(connection);
        advance(IDLE_TIMEOUT - MILLISECOND).await;
        idle.put(idle.take().expect("a connection"));
        advance(IDLE_TIMEOUT).await;
        assert!(idle.take().is_none());
        closed(&mut server).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_too_many_connections_is_closed() {
        let idle = IdleConnections::default();
        let mut servers = Vec::new();
        for _ in 0..MAX_IDLE {
            let (connection, server) = connect().await;
            idle.put(connection);
            servers.push(server);
        }
        assert!(servers.iter().all(is_open));
        let (connection, _server) = connect().await;
        idle.put(connection);
        closed(&mut servers[0]).await;
        assert!(servers[1..].iter().all(is_open));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_closes_what_was_idle_for_a_minute_or_closed_by_the_server() {
        let idle = IdleConnections::default();
        let ((old, mut old_server), (new, mut new_server)) = (connect().await, connect().await);
        let (broken, broken_server) = connect().await;
        idle.put(old);
        advance(MILLISECOND).await;
        idle.put(new);
        idle.put(broken);
        advance(IDLE_TIMEOUT - MILLISECOND * 2).await;
        idle.sweep();
        assert_eq!(idle.lock().len(), 3);
        drop(broken_server);
        // The runtime hears of it.
        advance(MILLISECOND).await;
        tokio::time::sleep(Duration::ZERO).await;
        idle.sweep();
        closed(&mut old_server).await;
        assert!(is_open(&new_server));
        assert_eq!(idle.lock().len(), 1);
        idle.clear();
        closed(&mut new_server).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_the_server_has_closed_is_not_stored() {
        let idle = IdleConnections::default();
        let (mut connection, server) = connect().await;
        drop(server);
        while connection.is_ready() {
            advance(MILLISECOND).await;
        }
        idle.put(connection);
        assert!(idle.lock().is_empty());
    }
}
