//! Fetches a pool's key set from its JWKS endpoint: one request, in a client span.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::SpanKind;
use tokio::time::timeout;
use url::Url;

use crate::auth::jwks::{KeySet, KeySetError};
use crate::outbound::{self, ReadError};
use crate::telemetry::trace::{Span, Tracing};

pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Cognito's key sets have two keys and less than 1 KiB.
const MAX_SET_BYTES: usize = 256 * 1024;

pub(super) struct Endpoint {
    pub(super) jwks_url: String,
    pub(super) http: reqwest::Client,
    /// Returns key sets instead of the endpoint, in tests.
    #[cfg(test)]
    pub(super) scripted: Option<Box<dyn Fn() -> KeySet + Send + Sync>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("status {0}")]
    Status(http::StatusCode),
    #[error("no response within {FETCH_TIMEOUT:?}")]
    Timeout,
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

impl FetchError {
    /// Returns the value of the span attribute `error.type`.
    fn error_type(&self) -> &'static str {
        match self {
            Self::Read(ReadError::TooLong { .. }) => "too_long",
            Self::Read(ReadError::Transport(_)) => "connection",
            Self::Status(_) => "unexpected_status",
            Self::Timeout => "timeout",
            Self::KeySet(KeySetError::Malformed) => "not_a_key_set",
            Self::KeySet(KeySetError::NoUsableKey { .. }) => "no_usable_key",
        }
    }
}

impl Endpoint {
    pub(super) async fn fetch(&self, tracing: &Tracing) -> Result<KeySet, FetchError> {
        #[cfg(test)]
        if let Some(key_set) = &self.scripted {
            return Ok(key_set());
        }
        let span = self.begin_span(tracing);
        let fetched = timeout(FETCH_TIMEOUT, self.request_key_set())
            .await
            .unwrap_or(Err(FetchError::Timeout));
        match &fetched {
            Ok(_) => {
                span.set_attributes(|| [("http.response.status_code", 200.into())]);
                span.end();
            }
            Err(error) => {
                if let FetchError::Status(status) = error {
                    span.set_attributes(|| {
                        [("http.response.status_code", i64::from(status.as_u16()).into())]
                    });
                }
                span.fail(error.error_type());
            }
        }
        fetched
    }

    async fn request_key_set(&self) -> Result<KeySet, FetchError> {
        let response = self
            .http
            .get(&self.jwks_url)
            .send()
            .await
            .map_err(ReadError::from)?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = outbound::read(response, MAX_SET_BYTES).await?;
        Ok(KeySet::parse(&body)?)
    }

    /// Begins the client span. Its URL holds no secret: the configuration accepts neither user info nor a query.
    fn begin_span(&self, tracing: &Tracing) -> Span {
        let span = Context::map_current(|trace| tracing.start_span("GET", SpanKind::Client, trace));
        if let Ok(url) = Url::parse(&self.jwks_url) {
            span.set_attributes(|| {
                [
                    ("http.request.method", "GET".into()),
                    (
                        "server.address",
                        url.host_str().unwrap_or_default().to_owned().into(),
                    ),
                    (
                        "server.port",
                        i64::from(url.port_or_known_default().unwrap_or_default()).into(),
                    ),
                    ("url.full", self.jwks_url.clone().into()),
                ]
            });
        }
        span
    }
}
