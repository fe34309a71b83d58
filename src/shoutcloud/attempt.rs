//! One attempt: sends the request, reads the response body and validates it, under one timeout and one size limit.

use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, HeaderMap, StatusCode};
use reqwest::{Request, Response, ResponseBuilderExt as _};
use reqwest_middleware::{Middleware, Next};
use tokio::time::{Instant, timeout_at};

use super::attempt_error::AttemptError;
use super::attempt_span::{self, AttemptSpans};
use super::call::Call;
use super::error::{self, Error, InvalidResponse, Transient};
use super::framing::is_close_delimited;
use super::protocol::Protocol;
use super::retry;
use super::retry_after::retry_after;
use super::transport::{Transport, Usage};
use crate::blocking;
use crate::telemetry::metrics::UpstreamMetrics;

/// Fields that the transport and the tracer add.
const HEADER_CAPACITY: usize = 12;

/// The innermost middleware: sends the request by the transport instead of the client of the stack.
pub(super) struct Attempt {
    pub(super) protocol: Box<dyn Protocol>,
    pub(super) transport: Arc<Transport>,
    pub(super) timeout: Duration,
    pub(super) metrics: Arc<UpstreamMetrics>,
    pub(super) spans: AttemptSpans,
}

/// A response for the middlewares, none of which reads it: the output is in the [`Call`].
fn placeholder(request: &Request) -> Response {
    // With the URL, since reqwest would otherwise parse one for each response.
    let response = http::Response::builder().url(request.url().clone());
    let response = response.body("").expect("no header that could be invalid");
    response.into()
}

impl Attempt {
    /// Returns when an attempt that starts now times out, and with which error. The call's deadline is enforced here,
    /// too: if only the caller enforced it, the attempt would be dropped and its outcome lost.
    fn time_limit(&self, deadline: Instant) -> (Instant, Error) {
        let timeout = Instant::now() + self.timeout;
        if deadline <= timeout {
            (deadline, Error::DeadlinePassed)
        } else {
            (timeout, Transient::Timeout.into())
        }
    }
}

#[async_trait::async_trait]
impl Middleware for Attempt {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let recorder = self.metrics.start_attempt();
        let call = Call::of(extensions);
        retry::record_sent(&self.metrics, call);
        call.progress.record_attempt();
        let mut headers = HeaderMap::with_capacity(HEADER_CAPACITY);
        let span = self.spans.start(&mut headers, call.sent);
        call.sent += 1;
        let (time_limit, timeout_error) = self.time_limit(call.deadline);
        let text = Arc::clone(&call.text);
        let needs_new = std::mem::take(&mut call.needs_new_connection);
        let mut usage = Usage::default();
        let attempt = async {
            let body = blocking::run(text.len(), || self.protocol.request_body(&text));
            let limit = self.protocol.response_limit(&text);
            let response = self
                .transport
                .send(body.into(), headers, limit, needs_new, &mut usage);
            let response = response.await?;
            if response.status != StatusCode::OK {
                return Err(Error::from_status(
                    response.status,
                    retry_after(&response.headers),
                ));
            }
            let parsed = blocking::run(response.body.len(), || {
                self.protocol.parse_response(&text, &response.body)
            });
            match parsed {
                Err(InvalidResponse::Incomplete)
                    if is_close_delimited(response.version, &response.headers) =>
                {
                    Err(Transient::truncated().into())
                }
                result => Ok(result?),
            }
        };
        let result = match timeout_at(time_limit, attempt).await {
            Ok(result) => result,
            Err(_) => {
                if usage.is_reused {
                    // The server or the network may have lost every connection of that age.
                    self.transport.close_idle();
                    call.needs_new_connection = true;
                }
                Err(timeout_error)
            }
        };
        let labels = error::labels(usage.status, result.as_ref().err());
        attempt_span::end(span, labels, result.as_ref().err());
        recorder.finish(labels);
        call.output = Some(result.map_err(AttemptError::from)?);
        Ok(placeholder(&request))
    }
}
