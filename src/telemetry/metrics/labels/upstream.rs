//! Values of labels of calls to SHOUTCLOUD.

use enum_map::Enum;

use super::{CANCELLED, LabelValue};

/// Kinds of failure of an attempt to call the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum AttemptFailure {
    /// The host could not be resolved.
    Dns,
    /// No process listens at the address.
    Refused,
    /// No address accepted the connection in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The peer reset the connection.
    Reset,
    /// The peer closed the connection before the response was complete.
    Closed,
    /// Another error of the network.
    Connection,
    /// The attempt timeout expired.
    Timeout,
    /// A status that is retried.
    TransientStatus,
    /// The deadline of the call passed.
    Deadline,
    /// Not HTTP, or not the expected JSON.
    Unreadable,
    /// The response exceeds the size limit.
    TooLong,
    /// A well-formed response that is not a shout.
    NotAShout,
    /// A status that is not retried.
    UnexpectedStatus,
    /// The attempt was dropped.
    Cancelled,
}

impl LabelValue for AttemptFailure {
    fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::TransientStatus => "transient_status",
            Self::Deadline => "deadline",
            Self::Unreadable => "unreadable",
            Self::TooLong => "too_long",
            Self::NotAShout => "not_a_shout",
            Self::UnexpectedStatus => "unexpected_status",
            Self::Cancelled => CANCELLED,
        }
    }
}

/// Failures of an attempt that are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[expect(missing_docs, reason = "each corresponds to a variant of `AttemptFailure`")]
pub enum RetryReason {
    Dns,
    Refused,
    ConnectTimeout,
    Tls,
    Reset,
    Closed,
    Connection,
    Timeout,
    TransientStatus,
}

impl From<RetryReason> for AttemptFailure {
    fn from(reason: RetryReason) -> Self {
        match reason {
            RetryReason::Dns => Self::Dns,
            RetryReason::Refused => Self::Refused,
            RetryReason::ConnectTimeout => Self::ConnectTimeout,
            RetryReason::Tls => Self::Tls,
            RetryReason::Reset => Self::Reset,
            RetryReason::Closed => Self::Closed,
            RetryReason::Connection => Self::Connection,
            RetryReason::Timeout => Self::Timeout,
            RetryReason::TransientStatus => Self::TransientStatus,
        }
    }
}

impl LabelValue for RetryReason {
    fn as_str(self) -> &'static str {
        AttemptFailure::from(self).as_str()
    }
}

/// What an attempt did with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum ConnectionEvent {
    /// It opened one.
    Opened,
    /// It used an idle one.
    Reused,
    /// The idle one was closed by the server; the request was repeated on a new one.
    Stale,
}

impl LabelValue for ConnectionEvent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reused => "reused",
            Self::Stale => "stale",
        }
    }
}

/// States of the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[expect(missing_docs, reason = "the names are the field's")]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

impl LabelValue for BreakerState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Transitions of the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum BreakerTransition {
    /// Too many attempts failed or were slow.
    Opened,
    /// The open time is over.
    HalfOpened,
    /// A probe failed.
    Reopened,
    /// The probes succeeded.
    Closed,
}

impl BreakerTransition {
    /// Returns the state before.
    pub fn from(self) -> BreakerState {
        match self {
            Self::Opened => BreakerState::Closed,
            Self::HalfOpened => BreakerState::Open,
            Self::Reopened | Self::Closed => BreakerState::HalfOpen,
        }
    }

    /// Returns the state after.
    pub fn to(self) -> BreakerState {
        match self {
            Self::Opened | Self::Reopened => BreakerState::Open,
            Self::HalfOpened => BreakerState::HalfOpen,
            Self::Closed => BreakerState::Closed,
        }
    }
}
