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
