//! One attempt: send, read the answer's body, validate it; all under one timeout and one size cap.

use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, StatusCode};
use reqwest::{Request, Response, ResponseBuilderExt as _};
use reqwest_middleware::{Middleware, Next};
use tokio::time::{Instant, timeout_at};

use super::error::{Error, NotAShout, SHOUT, Transient};
use super::failure::Failure;
use super::progress::Progress;
use super::retry_after::{Deadline, retry_after};
use super::spans::{self, AttemptSpans};
use super::wire;
use crate::outbound;
use crate::telemetry::metrics::UpstreamMetrics;

/// The text that was sent; every attempt finds it in the request's extensions.
#[derive(Clone)]
pub(super) struct Sent(pub(super) Arc<str>);

/// The validated shout; an attempt leaves it in the response's extensions.
#[derive(Clone)]
pub(super) struct Capitals(pub(super) String);

/// The innermost middleware.
pub(super) struct Attempt {
    pub(super) timeout: Duration,
    pub(super) metrics: Arc<UpstreamMetrics>,
    pub(super) spans: AttemptSpans,
}

impl Attempt {
    /// When an attempt that begins now is cut short, and what that means. Were it left to whoever waits outside, nobody
    /// would learn how the attempt ended.
    fn end(&self, extensions: &Extensions) -> (Instant, Error) {
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
        let account = self.metrics.start_attempt();
        if let Some(progress) = extensions.get::<Progress>() {
            progress.attempting();
        }
        let span = self.spans.begin(&mut request, extensions);
        let (end, too_late) = self.end(extensions);
        let sent = extensions.get::<Sent>().cloned();
        let url = request.url().clone();
        let limit = wire::answer_limit(
            request
                .body()
                .and_then(reqwest::Body::as_bytes)
                .map_or(0, <[u8]>::len),
        );
        // Boxed by reqwest-middleware: the request is not in this future as well.
        let answer = next.run(request, extensions);
        let attempt = async {
            let response = answer.await.map_err(|error| Failure::from(error).error)?;
            if response.status() != StatusCode::OK {
                return Err(Error::of_status(
                    response.status(),
                    retry_after(response.headers()),
                ));
            }
            let body = outbound::read(response, limit).await?;
            let Sent(text) = sent.ok_or(NotAShout::OtherInput)?;
            Ok(wire::capitals(&text, &body)?)
        };
        let shout = timeout_at(end, attempt).await.unwrap_or(Err(too_late));
        let labels = shout.as_ref().err().map_or(SHOUT, Error::labels);
        spans::end(span, labels);
        account.finish(labels);
        let shout = shout.map_err(Failure::from)?;
        // With its URL: without one, reqwest would parse one that stands for none, each time.
        let response = http::Response::builder()
            .url(url)
            .extension(Capitals(shout))
            .body("");
        Ok(response.expect("it has no header that could be wrong").into())
    }
}
