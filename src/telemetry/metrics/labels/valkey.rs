//! Label values of requests to Valkey.

use enum_map::Enum;

use super::LabelValue;

/// What Valkey is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum ValkeyOperation {
    /// Connecting, with authentication and the first heartbeat.
    Connect,
    /// Registers this replica and counts the others.
    Heartbeat,
    /// Leases a part of a client's quota.
    QuotaLease,
    /// Returns the rest of a lease.
    QuotaReturn,
    /// Reads the shared cache.
    CacheRead,
    /// Writes to the shared cache.
    CacheWrite,
}

impl LabelValue for ValkeyOperation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Heartbeat => "heartbeat",
            Self::QuotaLease => "quota_lease",
            Self::QuotaReturn => "quota_return",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum ValkeyOutcome {
    /// Valkey executed it.
    Success,
    /// Not sent: Valkey is failing, or too many commands are in flight.
    Skipped,
    /// No response within `VALKEY_TIMEOUT`.
    Timeout,
    /// The connection cannot be opened, or it broke.
    Connection,
    /// The server rejects the user or password, or the password file cannot be read.
    Authentication,
    /// The user lacks a permission.
    Permission,
    /// The server is a replica, for example after a failover.
    ReadOnly,
    /// The server has reached its `maxmemory`.
    OutOfMemory,
    /// A cluster without a node for the key.
    Cluster,
    /// The server is loading its data set.
    Loading,
    /// The key has another type.
    WrongType,
    /// Any other error of the server.
    ServerError,
    /// Not a response of the Redis protocol, or not of the expected type.
    InvalidResponse,
}

impl LabelValue for ValkeyOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Skipped => "skipped",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Authentication => "authentication",
            Self::Permission => "permission",
            Self::ReadOnly => "read_only",
            Self::OutOfMemory => "out_of_memory",
            Self::Cluster => "cluster",
            Self::Loading => "loading",
            Self::WrongType => "wrong_type",
            Self::ServerError => "server_error",
            Self::InvalidResponse => "invalid_response",
        }
    }
}
