//! Lets a handler on HTTP/1.1 tell its connection that it waits for the upstream: from then on, a client that closes its
//! side of the connection cancels the request.

use super::connection_state::ConnectionState;

tokio::task_local! {
    /// The connection that the current task polls. A task local, because an extension would cost an allocation per request.
    static CONNECTION: ConnectionState;
}

/// Polls a connection: its handlers can call [`upstream_call_began`].
pub(super) fn scope<T>(connection: &ConnectionState, poll: impl FnOnce() -> T) -> T {
    CONNECTION.sync_scope(connection.clone(), poll)
}

/// Records that the current request waits for the upstream. Does nothing on HTTP/2, whose streams have tasks of their own.
pub(in super::super) fn upstream_call_began() {
    _ = CONNECTION.try_with(ConnectionState::set_in_upstream_call);
}
