//! Why there is no shout.

use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::outbound::{ReadError, innermost};
use crate::telemetry::metrics::AttemptLabels;

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

    /// How an attempt that ended so is counted.
    pub(super) fn labels(&self) -> AttemptLabels {
        let (status, error_type) = match self {
            Self::NotAShout(NotAShout::Status(status)) => (Some(*status), "unexpected_status"),
            Self::NotAShout(NotAShout::Unreadable) => (None, "unreadable"),
            Self::NotAShout(NotAShout::TooLong { .. }) => (None, "too_long"),
            Self::NotAShout(NotAShout::OtherInput | NotAShout::OtherOutput) => (None, "not_a_shout"),
            Self::Unavailable { cause, .. } => match cause {
                Transient::Connection { .. } => (None, "connection"),
                Transient::Timeout => (None, "timeout"),
                Transient::Status(status) => (Some(*status), "transient_status"),
            },
            Self::DeadlinePassed => (None, "deadline"),
            // Not made, so not counted.
            Self::BreakerOpen { .. } | Self::Overloaded => (None, ""),
        };
        // There are some 60 statuses with a name; a server may invent hundreds.
        let known = status.filter(|status| status.canonical_reason().is_some());
        AttemptLabels {
            status: known.map(|status| status.as_u16()),
            error_type,
        }
    }

    /// What a status other than 200 means; `retry_after` is what came with it.
    pub(super) fn of_status(status: StatusCode, retry_after: Option<Duration>) -> Self {
        if TRANSIENT_STATUSES.contains(&status.as_u16()) {
            let cause = Transient::Status(status);
            Self::Unavailable { cause, retry_after }
        } else {
            Self::NotAShout(NotAShout::Status(status))
        }
    }
}

/// A shout, as an end of an attempt.
pub(super) const SHOUT: AttemptLabels = AttemptLabels {
    status: Some(200),
    error_type: "",
};

/// What another attempt is made for.
pub(super) const RETRY_REASONS: [&str; 3] = ["connection", "timeout", "transient_status"];

/// The ends of attempts that have a series from the start: a shout, and each way to fail of which it is known beforehand.
pub(super) fn expected_ends() -> Vec<AttemptLabels> {
    let statuses = TRANSIENT_STATUSES.map(|status| (Some(status), "transient_status"));
    let others = [
        "connection",
        "timeout",
        "deadline",
        "unreadable",
        "too_long",
        "not_a_shout",
        "cancelled",
    ];
    let others = others.map(|error_type| (None, error_type));
    let ends = statuses.into_iter().chain(others);
    let ends = ends.map(|(status, error_type)| AttemptLabels { status, error_type });
    ends.chain([SHOUT]).collect()
}

/// What may pass.
const TRANSIENT_STATUSES: [u16; 6] = [408, 429, 500, 502, 503, 504];
