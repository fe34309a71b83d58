//! The client of SHOUTCLOUD, which is slow, unauthenticated, plain HTTP and sometimes down.
//!
//! A call is bounded by its deadline and by the bulkhead, which limits concurrent calls. Below them is a stack on
//! reqwest-middleware, whose layers, outermost first, see each attempt as one result:
//!
//! 1. `retry`'s loop sends retries after a backoff;
//! 2. `retry`'s gate decides whether a failed attempt is retried, while the `budget` lasts, and waits as long as the
//!    response's `retry-after` asks;
//! 3. `breaker` counts attempts and rejects them while too many fail;
//! 4. `attempt` sends the request, reads the body and validates the text under the attempt's timeout and size limit, by the
//!    [`Protocol`], which is all that is specific to SHOUTCLOUD.
//!
//! The reasons for this design are in `docs/decisions/`.

mod attempt;
mod attempt_error;
mod attempt_span;
mod breaker;
mod budget;
mod bulkhead;
mod call;
mod cause;
mod error;
mod framing;
mod progress;
mod protocol;
mod retry;
mod retry_after;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, Method};
use opentelemetry::Context;
use reqwest::Request;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::telemetry::metrics::{Metrics, UpstreamMetrics};
use crate::telemetry::trace::{self, Tracing};
use crate::{config, outbound};

pub use self::error::{Error, InvalidResponse};
pub use self::progress::Progress;
pub use self::protocol::{Protocol, ShoutcloudProtocol, parse_response};

use self::attempt::Attempt;
use self::attempt_error::AttemptError;
use self::attempt_span::AttemptSpans;
use self::breaker::{Breaker, BreakerMiddleware};
use self::budget::Budget;
use self::bulkhead::Bulkhead;
use self::call::Call;
use self::retry::RetryGate;
use self::transport::Transport;

/// How often idle connections are checked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// A client of SHOUTCLOUD. Cheap to clone.
#[derive(Clone)]
pub struct Shoutcloud {
    http: ClientWithMiddleware,
    transport: Arc<Transport>,
    url: Url,
    deadline: Duration,
    max_retries: u32,
    bulkhead: Arc<Bulkhead>,
    budget: Arc<Budget>,
    breaker: Arc<Breaker>,
}

impl Shoutcloud {
    /// Creates a client that follows `config`, speaks `protocol`, and records its calls in `metrics` and `tracing`.
    pub fn new(
        config: &config::Shoutcloud,
        protocol: impl Protocol,
        metrics: &Metrics,
        tracing: Tracing,
    ) -> Result<Self, BuildError> {
        let url = config.url.to_url();
        let server_address = url.host_str().unwrap_or_default();
        let server_port = url.port_or_known_default().unwrap_or_default();
        let metrics = metrics.upstream(server_address, server_port, &error::known_outcomes());
        let metrics = Arc::new(metrics);
        let transport = Transport::new(&config.url, config.connect_timeout, Arc::clone(&metrics))?;
        let transport = Arc::new(transport);
        let attempt = Attempt {
            protocol: Box::new(protocol),
            transport: Arc::clone(&transport),
            timeout: config.attempt_timeout,
            metrics: Arc::clone(&metrics),
            spans: AttemptSpans::new(tracing, &config.url),
        };
        Self::with_attempt(config, metrics, transport, attempt)
    }

    /// Creates a client whose innermost middleware is `attempt`, which sends by `transport`.
    fn with_attempt(
        config: &config::Shoutcloud,
        metrics: Arc<UpstreamMetrics>,
        transport: Arc<Transport>,
        attempt: impl Middleware,
    ) -> Result<Self, BuildError> {
        // The middleware stack needs a client; the transport sends the requests.
        let http = outbound::client().build()?;
        let bulkhead = Bulkhead::new(
            config.max_concurrency.get(),
            config.max_queue,
            Arc::clone(&metrics),
        );
        let budget = Budget::new(config.retry_reserve, config.retry_budget, metrics.budget.clone());
        let budget = Arc::new(budget);
        let breaker = Breaker::new(config.breaker.clone(), config.attempt_timeout, metrics);
        let breaker = Arc::new(breaker);
        Ok(Self {
            http: ClientBuilder::new(http)
                .with(retry::middleware(config.max_retries))
                .with(RetryGate {
                    max_retries: config.max_retries,
                    budget: Arc::clone(&budget),
                    breaker: Arc::clone(&breaker),
                })
                .with(BreakerMiddleware(Arc::clone(&breaker)))
                .with(attempt)
                .build(),
            transport,
            url: config.url.to_url(),
            deadline: config.deadline,
            max_retries: config.max_retries,
            bulkhead: bulkhead.into(),
            budget,
            breaker,
        })
    }

    /// Has SHOUTCLOUD upper-case `text` for `client`. Fails at the configured deadline or at `deadline`, whichever is
    /// first.
    ///
    /// Records in `progress` when the call leaves the queue, and each attempt. The caller can read them from a clone.
    pub async fn uppercase(
        &self,
        client: &Arc<str>,
        text: String,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<String, Error> {
        let deadline = deadline.min(Instant::now() + self.deadline);
        // Before the queue: while the breaker is open, queued calls may still wait for attempts to time out.
        self.breaker.check()?;
        let permit = self.bulkhead.acquire(client, deadline);
        let _permit = progress.wait_in_queue(permit).await?;
        progress.record_dequeued();
        self.budget.deposit();
        let request = Request::new(Method::POST, self.url.clone());
        let mut extensions = Extensions::new();
        extensions.insert(Call::new(deadline, text.into(), progress.clone()));
        let response = self.http.execute_with_extensions(request, &mut extensions);
        let response = timeout_at(deadline, response)
            .await
            .map_err(|_| Error::DeadlinePassed)?;
        match response {
            Ok(_) => {
                let output = Call::of(&mut extensions).output.take();
                // Only an attempt makes a response.
                output.ok_or(Error::InvalidResponse(InvalidResponse::Unreadable))
            }
            Err(error) => {
                let error = AttemptError::from(error).error;
                self.mark_exhausted_budget(&error, deadline, progress);
                Err(self.with_retry_after(error))
            }
        }
    }

    /// Marks the request's span if nothing but the retry budget prevented another attempt.
    fn mark_exhausted_budget(&self, error: &Error, deadline: Instant, progress: &Progress) {
        let Error::Unavailable { retry_after, .. } = error else {
            return;
        };
        let is_late = retry_after.is_some_and(|wait| Instant::now() + wait >= deadline);
        if progress.attempts() <= self.max_retries && !is_late && self.breaker.check().is_ok() {
            Context::map_current(|span| {
                trace::set_attributes(span, || [("shoutback.retry_budget.exhausted", true.into())]);
            });
        }
    }

    /// If the breaker is open now, raises `retry_after` to its remaining time.
    fn with_retry_after(&self, error: Error) -> Error {
        match (error, self.breaker.check()) {
            (Error::Unavailable { cause, retry_after }, Err(Error::BreakerOpen { left })) => {
                let retry_after = retry_after.max(Some(left));
                Error::Unavailable { cause, retry_after }
            }
            (error, _) => error,
        }
    }

    /// Closes idle connections that are too old or that the server has closed, until dropped.
    pub async fn sweep_connections(self) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            self.transport.sweep();
        }
    }
}

/// Reasons why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The client of the middleware stack.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] transport::BuildError),
}
