//! How the middlewares tell each other what became of an attempt: reqwest-middleware knows only its own error.

use reqwest_retry::RetryError;

use super::error::{Error, NotAShout};

/// A failed attempt.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Another attempt may end better, and there is time for it.
    pub(super) may_pass: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let may_pass = matches!(error, Error::Unavailable { .. });
        Self { error, may_pass }
    }
}

impl From<Failure> for reqwest_middleware::Error {
    fn from(failure: Failure) -> Self {
        Self::middleware(failure)
    }
}

impl From<reqwest_middleware::Error> for Failure {
    fn from(error: reqwest_middleware::Error) -> Self {
        let error = match error {
            reqwest_middleware::Error::Reqwest(error) => return Error::of_transport(&error).into(),
            reqwest_middleware::Error::Middleware(error) => error,
        };
        let error = match error.downcast() {
            Ok(RetryError::WithRetries { err, .. } | RetryError::Error(err)) => return err.into(),
            Err(error) => error,
        };
        // Nobody else makes errors here; what is not understood is not tried again.
        error
            .downcast()
            .unwrap_or_else(|_| Error::NotAShout(NotAShout::Unreadable).into())
    }
}

/// The failure in an error that is still on its way outwards.
pub(super) fn peek(error: &reqwest_middleware::Error) -> Option<&Failure> {
    match error {
        reqwest_middleware::Error::Middleware(error) => error.downcast_ref(),
        reqwest_middleware::Error::Reqwest(_) => None,
    }
}
