//! Reads a request body into memory, within a size limit and a deadline.
//!
//! Unlike axum's `Bytes` extractor it has a deadline, and it distinguishes an incomplete body from a malformed one.

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::CONNECTION;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep_until};

use super::problem::{Kind, Problem};
use super::server::ShutdownInterrupted;

/// Reasons why a request body could not be read.
pub(super) enum BodyError {
    /// It did not arrive before the deadline, or before a shutdown interrupted it.
    TimedOut,
    /// It is longer than this limit, in bytes.
    TooLong(usize),
    /// The client closed the connection, or the framing is invalid.
    Broken,
}

impl BodyError {
    /// Converts the error to a problem that closes the connection: HTTP/1.1 has no other way to make a client stop
    /// sending.
    pub(super) fn closing(self) -> Problem {
        let problem = Problem::from(self);
        problem.with_header(CONNECTION, HeaderValue::from_static("close"))
    }
}

impl From<axum::Error> for BodyError {
    fn from(error: axum::Error) -> Self {
        if error.into_inner().is::<ShutdownInterrupted>() {
            Self::TimedOut
        } else {
            Self::Broken
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TimedOut => Self::new(Kind::RequestTimeout, "the body did not arrive in time"),
            BodyError::TooLong(limit) => Self::content_too_large(limit),
            BodyError::Broken => Self::new(
                Kind::MalformedRequest,
                "the body is incomplete or its framing is invalid",
            ),
        }
    }
}

/// Reads `body` to its end, at most `limit` bytes of it, until `deadline`.
pub(super) async fn read_body(mut body: Body, limit: usize, deadline: Instant) -> Result<Bytes, BodyError> {
    let mut read = BytesMut::new();
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = sleep_until(deadline) => return Err(BodyError::TimedOut),
        };
        let Some(frame) = frame else {
            return Ok(read.freeze());
        };
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if read.len() + data.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        read.extend_from_slice(&data);
    }
}
