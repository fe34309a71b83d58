//! Asks where a pool's keys are published, once, in a span.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::SpanKind;
use tokio::time::timeout;
use url::Url;

use crate::auth::jwks::KeySet;
use crate::outbound::{self, ReadError};
use crate::telemetry::trace::{Span, Tracing};

pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Cognito's sets have two keys, under 1 KiB.
const MAX_SET_BYTES: usize = 256 * 1024;

pub(super) struct Endpoint {
    pub(super) jwks_url: String,
    pub(super) http: reqwest::Client,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("status {0}")]
    Status(http::StatusCode),
    #[error("no answer within {FETCH_TIMEOUT:?}")]
    Timeout,
    #[error("the answer is not a key set")]
    NotAKeySet,
}

impl FetchError {
    /// As `error.type` has it.
    fn name(&self) -> &'static str {
        match self {
            Self::Read(ReadError::TooLong { .. }) => "too_long",
            Self::Read(ReadError::Transport(_)) => "connection",
            Self::Status(_) => "unexpected_status",
            Self::Timeout => "timeout",
            Self::NotAKeySet => "not_a_key_set",
        }
    }
}

impl Endpoint {
    pub(super) async fn fetch(&self, tracing: &Tracing) -> Result<KeySet, FetchError> {
        let span = self.span(tracing);
        let fetched = timeout(FETCH_TIMEOUT, self.ask())
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
                span.fail(error.name());
            }
        }
        fetched
    }

    async fn ask(&self) -> Result<KeySet, FetchError> {
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
        KeySet::parse(&body).map_err(|_| FetchError::NotAKeySet)
    }

    /// The span of a request for the set. Its URL holds no key: an endpoint has neither user nor query.
    fn span(&self, tracing: &Tracing) -> Span {
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
