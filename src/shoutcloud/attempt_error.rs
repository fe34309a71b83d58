//! The error type that the middlewares pass to each other inside reqwest-middleware's own.

use reqwest_retry::RetryError;

use super::error::{Error, InvalidResponse};

/// A failed attempt.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct AttemptError {
    pub(super) error: Error,
    /// Whether the error is transient and there is time for another attempt.
    pub(super) is_retryable: bool,
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        let is_retryable = matches!(error, Error::Unavailable { .. });
        Self { error, is_retryable }
    }
}

impl From<AttemptError> for reqwest_middleware::Error {
    fn from(error: AttemptError) -> Self {
        Self::middleware(error)
    }
}

impl From<reqwest_middleware::Error> for AttemptError {
    fn from(error: reqwest_middleware::Error) -> Self {
        let error = match error {
            // The transport sends the requests, so the client of the stack never fails.
            reqwest_middleware::Error::Reqwest(_) => return Error::from(InvalidResponse::Unreadable).into(),
            reqwest_middleware::Error::Middleware(error) => error,
        };
        let error = match error.downcast() {
            Ok(RetryError::WithRetries { err, .. } | RetryError::Error(err)) => return err.into(),
            Err(error) => error,
        };
        // All middlewares of this client fail with `AttemptError`; anything else is not retried.
        error
            .downcast()
            .unwrap_or_else(|_| Error::InvalidResponse(InvalidResponse::Unreadable).into())
    }
}

/// Returns the attempt's error without taking it out of `error`.
pub(super) fn peek(error: &reqwest_middleware::Error) -> Option<&AttemptError> {
    match error {
        reqwest_middleware::Error::Middleware(error) => error.downcast_ref(),
        reqwest_middleware::Error::Reqwest(_) => None,
    }
}
