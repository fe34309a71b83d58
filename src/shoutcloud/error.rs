//! The errors of a call, and how attempts are labelled in metrics and spans.

use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::telemetry::metrics::{AttemptFailure, AttemptLabels, RetryReason};

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The response is invalid; a retry would not help.
    #[error("invalid response: {0}")]
    InvalidResponse(#[from] InvalidResponse),
    /// The last attempt failed with a transient error, and retries or their budget are exhausted.
    #[error("unavailable: {cause}")]
    Unavailable {
        /// The error of the last attempt.
        cause: Transient,
        /// SHOUTCLOUD's `retry-after`, or the remaining time of the open breaker.
        retry_after: Option<Duration>,
    },
    /// Rejected by the circuit breaker, because too many recent attempts failed or were slow.
    #[error("the circuit breaker is open")]
    BreakerOpen {
        /// Time until attempts are accepted again.
        left: Duration,
    },
    /// Rejected by the bulkhead: the queue is full, or the deadline passed in it.
    #[error("too many calls at once")]
    Overloaded,
    /// The deadline passed during the call.
    #[error("the deadline passed")]
    DeadlinePassed,
}

/// Why a response is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResponse {
    /// Neither 200 nor a transient status.
    #[error("status {0}")]
    Status(StatusCode),
    /// Not HTTP, or a body that is not the expected JSON object.
    #[error("unreadable")]
    Unreadable,
    /// JSON that ends early in a body that is complete.
    #[error("incomplete JSON")]
    Incomplete,
    /// More bytes than a valid response to this text can have.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// 12 × the text + 4 KiB.
        limit: usize,
    },
    /// A response to another text.
    #[error("INPUT is not the text that was sent")]
    InputMismatch,
    /// A text that differs from the one sent in more than case.
    #[error("OUTPUT is not the text in upper case")]
    OutputMismatch,
}

/// An error that a retry may not meet again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Transient {
    /// The connection could not be established, broke, or closed before the end of the response.
    #[error("connection failed: {cause}")]
    Connection {
        /// Which failure.
        kind: ConnectionError,
        /// For the log; never sent to clients.
        cause: String,
    },
    /// No complete response within the attempt's timeout.
    #[error("attempt timed out")]
    Timeout,
    /// 408, 429, 500, 502, 503 or 504.
    #[error("status {0}")]
    Status(StatusCode),
}

/// Ways in which a connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionError {
    /// The name could not be resolved.
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
    Other,
}

impl ConnectionError {
    /// Classifies an error of an established connection, or of a connect that did not time out.
    pub(super) fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Self::Reset
            }
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Other,
        }
    }

    fn retry_reason(self) -> RetryReason {
        match self {
            Self::Dns => RetryReason::Dns,
            Self::Refused => RetryReason::Refused,
            Self::ConnectTimeout => RetryReason::ConnectTimeout,
            Self::Tls => RetryReason::Tls,
            Self::Reset => RetryReason::Reset,
            Self::Closed => RetryReason::Closed,
            Self::Other => RetryReason::Connection,
        }
    }
}

impl Transient {
    /// Returns the error for a body that ended with the connection, in the middle of its JSON.
    pub(super) fn truncated() -> Self {
        Self::Connection {
            kind: ConnectionError::Closed,
            cause: "the connection was closed in the middle of the response".to_owned(),
        }
    }

    /// Returns the error for a connection that the server closed before it sent a response.
    pub(super) fn closed() -> Self {
        Self::Connection {
            kind: ConnectionError::Closed,
            cause: "the connection was closed before a response".to_owned(),
        }
    }

    /// Returns why a retry after this failure is made.
    pub(super) fn retry_reason(&self) -> RetryReason {
        match self {
            Self::Connection { kind, .. } => kind.retry_reason(),
            Self::Timeout => RetryReason::Timeout,
            Self::Status(_) => RetryReason::TransientStatus,
        }
    }
}

impl From<Transient> for Error {
    fn from(cause: Transient) -> Self {
        Self::Unavailable {
            cause,
            retry_after: None,
        }
    }
}

impl Error {
    /// Converts an error of the HTTP connection.
    pub(super) fn from_hyper(error: &hyper::Error) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut kind = ConnectionError::Closed;
        let mut text = error.to_string();
        while let Some(cause) = source {
            let not_http = cause
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_parse);
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                // hyper's error for malformed chunks; an incomplete body is `UnexpectedEof` instead.
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
                ) {
                    return Self::InvalidResponse(InvalidResponse::Unreadable);
                }
                kind = ConnectionError::from_io(error);
            }
            if not_http {
                return Self::InvalidResponse(InvalidResponse::Unreadable);
            }
            text = cause.to_string();
            source = cause.source();
        }
        Self::from(Transient::Connection { kind, cause: text })
    }

    /// Returns the kind of failure of an attempt that ended with this error, as a metric label.
    pub(super) fn failure(&self) -> Option<AttemptFailure> {
        match self {
            Self::InvalidResponse(invalid) => Some(match invalid {
                InvalidResponse::Status(_) => AttemptFailure::UnexpectedStatus,
                InvalidResponse::Unreadable | InvalidResponse::Incomplete => AttemptFailure::Unreadable,
                InvalidResponse::TooLong { .. } => AttemptFailure::TooLong,
                InvalidResponse::InputMismatch | InvalidResponse::OutputMismatch => AttemptFailure::NotAShout,
            }),
            Self::Unavailable { cause, .. } => Some(cause.retry_reason().into()),
            Self::DeadlinePassed => Some(AttemptFailure::Deadline),
            // Rejected before an attempt, so never recorded.
            Self::BreakerOpen { .. } | Self::Overloaded => None,
        }
    }

    /// Returns the error for a status other than 200 with its `retry_after`.
    pub(super) fn from_status(status: StatusCode, retry_after: Option<Duration>) -> Self {
        if TRANSIENT_STATUSES.contains(&status.as_u16()) {
            let cause = Transient::Status(status);
            Self::Unavailable { cause, retry_after }
        } else {
            Self::InvalidResponse(InvalidResponse::Status(status))
        }
    }
}

/// Returns the labels of an attempt that received `status`, if there was a response, and ended with `error`.
pub(super) fn labels(status: Option<StatusCode>, error: Option<&Error>) -> AttemptLabels {
    // Bounds the cardinality: some 60 statuses are registered, but a server may send any of hundreds.
    let registered = status.filter(|status| status.canonical_reason().is_some());
    AttemptLabels {
        status: registered.map(|status| status.as_u16()),
        error: error.and_then(Error::failure),
    }
}

/// Returns the labels that have a series from the start: success, and every failure that is known in advance.
pub(super) fn known_outcomes() -> Vec<AttemptLabels> {
    let success = (Some(200), None);
    let transient = TRANSIENT_STATUSES.map(|status| (Some(status), Some(AttemptFailure::TransientStatus)));
    let without_status = [
        AttemptFailure::Dns,
        AttemptFailure::Refused,
        AttemptFailure::ConnectTimeout,
        AttemptFailure::Tls,
        AttemptFailure::Reset,
        AttemptFailure::Closed,
        AttemptFailure::Connection,
        AttemptFailure::Timeout,
        AttemptFailure::Deadline,
        AttemptFailure::Unreadable,
        AttemptFailure::Cancelled,
    ];
    // Failures while the body is read, or because of what it contains.
    let after_200 = [
        AttemptFailure::Reset,
        AttemptFailure::Closed,
        AttemptFailure::Connection,
        AttemptFailure::Timeout,
        AttemptFailure::Deadline,
        AttemptFailure::Unreadable,
        AttemptFailure::TooLong,
        AttemptFailure::NotAShout,
    ];
    let outcomes = [success]
        .into_iter()
        .chain(transient)
        .chain(without_status.map(|error| (None, Some(error))))
        .chain(after_200.map(|error| (Some(200), Some(error))));
    outcomes
        .map(|(status, error)| AttemptLabels { status, error })
        .collect()
}

/// Statuses that are retried.
const TRANSIENT_STATUSES: [u16; 6] = [408, 429, 500, 502, 503, 504];
