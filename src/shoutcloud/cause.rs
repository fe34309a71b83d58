//! The cause of a failed call in one word, for the log and the span of the request.

use super::error::{Error, InvalidResponse};
use crate::telemetry::metrics::{AttemptFailure, LabelValue as _};

impl Error {
    /// Returns how the last attempt failed, or why there was none.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Overloaded => "queue",
            Self::DeadlinePassed => AttemptFailure::Deadline.as_str(),
            Self::Unavailable { cause, .. } => AttemptFailure::from(cause.retry_reason()).as_str(),
            Self::InvalidResponse(invalid) => match invalid {
                InvalidResponse::Status(_) => AttemptFailure::UnexpectedStatus,
                InvalidResponse::TooLong { .. } => AttemptFailure::TooLong,
                InvalidResponse::InputMismatch | InvalidResponse::OutputMismatch => AttemptFailure::NotAShout,
                _ => AttemptFailure::Unreadable,
            }
            .as_str(),
        }
    }
}
