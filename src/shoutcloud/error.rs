//! Why there is no shout.

use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::outbound::{ReadError, innermost};

/// Why SHOUTCLOUD gave no shout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It answered, but not with a shout. Asking again would not help.
    #[error("the answer was not a shout: {0}")]
    NotAShout(#[from] NotAShout),
    /// It could not be reached, or said that it is unwell; retries, or the budget for them, are used up.
    #[error("unavailable: {cause}")]
    Unavailable {
        /// What the last attempt ended in.
        cause: Transient,
        /// How long SHOUTCLOUD asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It was not called: too many calls have failed lately.
    #[error("the circuit breaker is open")]
    BreakerOpen {
        /// Until it may be called again.
        left: Duration,
    },
    /// It was not called: as many calls as may be are under way, and as many as may wait are waiting, or the deadline
    /// passed in the queue.
    #[error("too many calls at once")]
    Overloaded,
    /// The deadline passed while it was being called.
    #[error("the deadline passed")]
    DeadlinePassed,
}

/// What came instead of a shout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAShout {
    /// Neither 200 nor a status that may pass.
    #[error("status {0}")]
    Status(StatusCode),
    /// Not HTTP, or a body that is not the JSON object it should be.
    #[error("unreadable")]
    Unreadable,
    /// More bytes than a shout of this text can have.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// 4 × the request + 4 KiB.
        limit: usize,
    },
    /// The answer to some other text.
    #[error("INPUT is not what was sent")]
    OtherInput,
    /// Differs from the text in more than case.
    #[error("OUTPUT is not the text in capitals")]
    OtherOutput,
}

/// What may have passed by the next attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Transient {
    /// The connection could not be made, broke, or ended before the answer did.
    #[error("connection failed: {cause}")]
    Connection {
        /// For the log; never for the caller.
        cause: String,
    },
    /// No whole answer within the attempt's timeout.
    #[error("attempt timed out")]
    Timeout,
    /// 408, 429, 500, 502, 503 or 504.
    #[error("status {0}")]
    Status(StatusCode),
}

impl From<Transient> for Error {
    fn from(cause: Transient) -> Self {
        Self::Unavailable {
            cause,
            retry_after: None,
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLong { limit } => Self::NotAShout(NotAShout::TooLong { limit }),
            ReadError::Transport(error) => Self::of_transport(&error),
        }
    }
}

impl Error {
    /// What reqwest says of a call: a peer that does not speak HTTP will not learn it by the next attempt.
    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(cause) = source {
            let not_http = cause
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_parse);
            // How hyper reports chunks that are none; a body that breaks off is an unexpected end instead.
            let not_chunks = cause.downcast_ref::<io::Error>().is_some_and(|error| {
                matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
                )
            });
            if not_http || not_chunks {
                return Self::NotAShout(NotAShout::Unreadable);
            }
            source = cause.source();
        }
        Self::from(Transient::Connection {
            cause: innermost(error),
        })
    }

    /// What a status other than 200 means; `retry_after` is what came with it.
    pub(super) fn of_status(status: StatusCode, retry_after: Option<Duration>) -> Self {
        match status.as_u16() {
            408 | 429 | 500 | 502 | 503 | 504 => Self::Unavailable {
                cause: Transient::Status(status),
                retry_after,
            },
            _ => Self::NotAShout(NotAShout::Status(status)),
        }
    }
}
