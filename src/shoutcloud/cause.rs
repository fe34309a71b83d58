//! The cause of a failed call in one word, for the log and the span of the request.

use super::error::Error;
use crate::telemetry::metrics::LabelValue as _;

impl Error {
    /// Returns how the last attempt failed, or why there was none.
    pub fn cause(&self) -> &'static str {
        match (self, self.failure()) {
            (Self::BreakerOpen { .. }, _) => "breaker_open",
            // Only what was rejected before an attempt has no failure.
            (_, None) => "queue",
            (_, Some(failure)) => failure.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use http::StatusCode;

    use crate::shoutcloud::error::{ConnectionError, Error, InvalidResponse, Transient};

    #[test]
    fn each_error_has_its_cause() {
        let left = Duration::ZERO;
        let connection = |kind: io::ErrorKind| Transient::Connection {
            kind: ConnectionError::from_io(&kind.into()),
            cause: String::new(),
        };
        for (error, cause) in [
            (Error::BreakerOpen { left }, "breaker_open"),
            (Error::Overloaded, "queue"),
            (Error::DeadlinePassed, "deadline"),
            (Transient::Timeout.into(), "timeout"),
            (
                Transient::Status(StatusCode::BAD_GATEWAY).into(),
                "transient_status",
            ),
            (Transient::truncated().into(), "closed"),
            (connection(io::ErrorKind::ConnectionRefused).into(), "refused"),
            (connection(io::ErrorKind::ConnectionReset).into(), "reset"),
            (connection(io::ErrorKind::ConnectionAborted).into(), "reset"),
            (connection(io::ErrorKind::BrokenPipe).into(), "reset"),
            (connection(io::ErrorKind::UnexpectedEof).into(), "closed"),
            (connection(io::ErrorKind::HostUnreachable).into(), "connection"),
            (
                InvalidResponse::Status(StatusCode::FOUND).into(),
                "unexpected_status",
            ),
            (InvalidResponse::TooLong { limit: 1 }.into(), "too_long"),
            (InvalidResponse::InputMismatch.into(), "not_a_shout"),
            (InvalidResponse::OutputMismatch.into(), "not_a_shout"),
            (InvalidResponse::Unreadable.into(), "unreadable"),
            (InvalidResponse::Incomplete.into(), "unreadable"),
        ] {
            assert_eq!(error.cause(), cause, "{error:?}");
        }
    }
}
