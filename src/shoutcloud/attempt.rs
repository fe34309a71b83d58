//! One attempt: sends the request, reads the response body and validates it, under one timeout and one size limit.

use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, StatusCode};
use reqwest::{Request, Response, ResponseBuilderExt as _};
use reqwest_middleware::{Middleware, Next};
use tokio::time::{Instant, timeout_at};

use super::attempt_error::AttemptError;
use super::attempt_span::{self, AttemptSpans};
use super::call::{Deadline, RequestText, ValidatedText};
use super::error::{Error, InvalidResponse, SUCCESS, Transient};
use super::progress::Progress;
use super::retry_after::retry_after;
use super::wire;
use crate::outbound;
use crate::telemetry::metrics::UpstreamMetrics;

/// The innermost middleware.
pub(super) struct Attempt {
    pub(super) timeout: Duration,
    pub(super) metrics: Arc<UpstreamMetrics>,
    pub(super) spans: AttemptSpans,
}

impl Attempt {
    /// Returns when an attempt that starts now times out, and with which error. The call's deadline is enforced here,
    /// too: if only the caller enforced it, the attempt would be dropped and its outcome lost.
    fn time_limit(&self, extensions: &Extensions) -> (Instant, Error) {
        let timeout = Instant::now() + self.timeout;
        match extensions.get() {
            Some(Deadline(deadline)) if *deadline <= timeout => (*deadline, Error::DeadlinePassed),
            _ => (timeout, Transient::Timeout.into()),
        }
    }
}

#[async_trait::async_trait]
impl Middleware for Attempt {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let recorder = self.metrics.start_attempt();
        if let Some(progress) = extensions.get::<Progress>() {
            progress.record_attempt();
        }
        let span = self.spans.start(&mut request, extensions);
        let (time_limit, timeout_error) = self.time_limit(extensions);
        let request_text = extensions.get::<RequestText>().cloned();
        let url = request.url().clone();
        let size_limit = wire::response_limit(
            request
                .body()
                .and_then(reqwest::Body::as_bytes)
                .map_or(0, <[u8]>::len),
        );
        // reqwest-middleware boxes this future, so the one below does not hold the request a second time.
        let response = next.run(request, extensions);
        let attempt = async {
            let response = response.await.map_err(|error| AttemptError::from(error).error)?;
            if response.status() != StatusCode::OK {
                return Err(Error::from_status(
                    response.status(),
                    retry_after(response.headers()),
                ));
            }
            let body = outbound::read(response, size_limit).await?;
            let RequestText(text) = request_text.ok_or(InvalidResponse::InputMismatch)?;
            Ok(wire::parse_response(&text, &body)?)
        };
        let result = timeout_at(time_limit, attempt)
            .await
            .unwrap_or(Err(timeout_error));
        let labels = result.as_ref().err().map_or(SUCCESS, Error::labels);
        attempt_span::end(span, labels, result.as_ref().err());
        recorder.finish(labels);
        let text = result.map_err(AttemptError::from)?;
        // With the URL, since reqwest would otherwise parse a placeholder URL for each response.
        let response = http::Response::builder()
            .url(url)
            .extension(ValidatedText(text))
            .body("");
        Ok(response.expect("no header that could be invalid").into())
    }
}
