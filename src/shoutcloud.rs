//! The client of SHOUTCLOUD: slow, unauthenticated, plain HTTP and sometimes down.
//!
//! A call passes, in this order: the deadline, which bounds everything; the bulkhead, which bounds how many calls there
//! are; then a stack on reqwest-middleware, in which every layer sees one attempt as one result:
//!
//! 1. `retry` asks the `budget` before it tries again;
//! 2. `retry_after` waits for as long as the last answer asked for;
//! 3. `breaker` counts attempts, and refuses them while too many fail;
//! 4. `attempt` sends, reads the body and validates the shout under the attempt's timeout and size cap.
//!
//! Why these are built as they are: `docs/decisions/`.

mod attempt;
mod breaker;
mod budget;
mod bulkhead;
mod error;
mod failure;
mod progress;
mod retry;
mod retry_after;
mod spans;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderValue, Method};
use reqwest::Request;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Tracing;
use crate::{config, outbound};

pub use self::error::{Error, NotAShout};
pub use self::progress::Progress;
pub use self::wire::capitals;

use self::attempt::{Attempt, Capitals, Sent};
use self::breaker::{BreakCircuit, Breaker};
use self::budget::Budget;
use self::bulkhead::Bulkhead;
use self::failure::Failure;
use self::retry_after::{Deadline, HonourRetryAfter};
use self::spans::AttemptSpans;

/// Connections that are kept for later calls. After a burst the others are closed: SHOUTCLOUD is a small server.
const IDLE_CONNECTIONS: usize = 256;

/// A client of SHOUTCLOUD. Cheap to clone.
#[derive(Clone)]
pub struct Shoutcloud {
    http: ClientWithMiddleware,
    url: Url,
    deadline: Duration,
    bulkhead: Arc<Bulkhead>,
    budget: Arc<Budget>,
    breaker: Arc<Breaker>,
}

impl Shoutcloud {
    /// A client that calls where, as often, and waits as long as `config` says, and records that in `metrics` and `tracing`.
    pub fn new(
        config: &config::Shoutcloud,
        metrics: &Metrics,
        tracing: Tracing,
    ) -> Result<Self, reqwest::Error> {
        let http = outbound::client()
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build()?;
        let url = config.url.to_url();
        let server_address = url.host_str().unwrap_or_default();
        let metrics = metrics.upstream(server_address, &error::expected_ends(), &error::RETRY_REASONS);
        let metrics = Arc::new(metrics);
        let bulkhead = Bulkhead::new(
            config.max_concurrency.get(),
            config.max_queue,
            Arc::clone(&metrics),
        );
        let budget = Budget::new(config.retry_reserve, config.retry_budget, metrics.budget.clone());
        let budget = Arc::new(budget);
        let breaker = Breaker::new(
            config.breaker.clone(),
            config.attempt_timeout,
            Arc::clone(&metrics),
        );
        let breaker = Arc::new(breaker);
        Ok(Self {
            http: ClientBuilder::new(http)
                .with(retry::retries(
                    config.max_retries,
                    Arc::clone(&budget),
                    Arc::clone(&breaker),
                ))
                .with(HonourRetryAfter {
                    metrics: Arc::clone(&metrics),
                })
                .with(BreakCircuit(Arc::clone(&breaker)))
                .with(Attempt {
                    timeout: config.attempt_timeout,
                    metrics,
                    spans: AttemptSpans::new(tracing, &config.url),
                })
                .build(),
            url,
            deadline: config.deadline,
            bulkhead: bulkhead.into(),
            budget,
            breaker,
        })
    }

    /// Asks for `text` in capitals. Gives up at the configured deadline or at `deadline`, whichever is first.
    ///
    /// `progress` is told when the call leaves the queue, and of each attempt; the caller keeps a clone.
    pub async fn capitalise(
        &self,
        text: String,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<String, Error> {
        let deadline = deadline.min(Instant::now() + self.deadline);
        // Before the queue: while the breaker is open, those in front may still be waiting for their timeouts.
        self.breaker.check()?;
        let _place = self.bulkhead.enter(deadline).await?;
        progress.calling();
        self.budget.earn();
        let request = self.request(&text);
        let mut extensions = Extensions::new();
        extensions.insert(Deadline(deadline));
        extensions.insert(Sent(text.into()));
        extensions.insert(progress.clone());
        let answer = self.http.execute_with_extensions(request, &mut extensions);
        let answer = timeout_at(deadline, answer)
            .await
            .map_err(|_| Error::DeadlinePassed)?;
        match answer {
            // The attempt leaves the shout it validated; a response without one did not pass through it.
            Ok(mut response) => response
                .extensions_mut()
                .remove::<Capitals>()
                .map(|Capitals(text)| text)
                .ok_or(Error::NotAShout(NotAShout::Unreadable)),
            Err(error) => Err(self.with_time_left(Failure::from(error).error)),
        }
    }
    /// Whoever failed as the breaker opened is told how long it stays so.
    fn with_time_left(&self, error: Error) -> Error {
        match (error, self.breaker.check()) {
            (Error::Unavailable { cause, retry_after }, Err(Error::BreakerOpen { left })) => {
                let retry_after = retry_after.max(Some(left));
                Error::Unavailable { cause, retry_after }
            }
            (error, _) => error,
        }
    }

    fn request(&self, text: &str) -> Request {
        let mut request = Request::new(Method::POST, self.url.clone());
        // Its server refuses `application/json; charset=utf-8`.
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        *request.body_mut() = Some(wire::request(text).into());
        request
    }
}
