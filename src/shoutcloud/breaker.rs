//! The circuit breaker: once too many attempts fail or are slow, none is made for a while, then a few find out whether it
//! may close.
//!
//! It stands under the retries, so that each attempt counts, and around the attempt, so that reading the body does. A
//! lock is held to count, never while an attempt is under way. Whatever is no shout is a failure, but for a 4xx that is not
//! retried: that is about the one request, and a client whose text cannot be taken must not cut off all the others.

mod circuit;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use tokio::time::Instant;

use self::circuit::{Circuit, Epoch, Transition, Verdict};
use super::error::{Error, NotAShout};
use super::failure::Failure;
use crate::config;
use crate::telemetry::metrics::UpstreamMetrics;

/// A breaker that all calls share.
pub(super) struct Breaker {
    circuit: Mutex<Circuit>,
    attempt_timeout: Duration,
    metrics: Arc<UpstreamMetrics>,
}

impl Breaker {
    pub(super) fn new(
        rules: config::Breaker,
        attempt_timeout: Duration,
        metrics: Arc<UpstreamMetrics>,
    ) -> Self {
        Self {
            circuit: Mutex::new(Circuit::new(rules, Instant::now())),
            attempt_timeout,
            metrics,
        }
    }

    /// Whether an attempt would be refused now; asked before a call queues for one.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.circuit().refuses(Instant::now()) {
            Some(left) => Err(Error::BreakerOpen { left }),
            None => Ok(()),
        }
    }

    /// Lets an attempt through, or says how long none will be.
    fn admit(&self) -> Result<Admission<'_>, Error> {
        let now = Instant::now();
        let mut circuit = self.circuit();
        let (admitted, transition) = circuit.admit(now);
        self.tell(transition);
        drop(circuit);
        let epoch = admitted.map_err(|left| Error::BreakerOpen { left })?;
        Ok(Admission {
            breaker: self,
            epoch: Some(epoch),
            began: now,
        })
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the circuit locked: told one after the other, the gauge shows the last.
    fn tell(&self, transition: Option<Transition>) {
        if let Some(Transition { from, to }) = transition {
            self.metrics.record_transition(from, to);
            tracing::warn!(
                event.action = "breaker",
                event.kind = "event",
                shoutback.breaker.from = from,
                shoutback.breaker.to = to,
                "the circuit breaker of SHOUTCLOUD went from {from} to {to}"
            );
        }
    }

    /// What the outcome of an attempt says of the upstream.
    fn verdict(&self, outcome: Result<(), &Error>, took: Duration) -> Verdict {
        match outcome {
            Ok(()) => Verdict::Succeeded,
            Err(Error::NotAShout(NotAShout::Status(status))) if status.is_client_error() => Verdict::Nothing,
            // Cut short by the deadline: a failure if there was all but a tenth of the time that an attempt has.
            Err(Error::DeadlinePassed) if took < self.attempt_timeout.mul_f64(0.9) => Verdict::CutShort,
            Err(_) => Verdict::Failed,
        }
    }
}

/// An attempt that was let through. Dropped without an end, it leaves the circuit as if it had not been.
struct Admission<'a> {
    breaker: &'a Breaker,
    /// `None` once the end was told.
    epoch: Option<Epoch>,
    began: Instant,
}

impl Admission<'_> {
    fn end(mut self, outcome: Result<(), &Error>) {
        let now = Instant::now();
        let took = now - self.began;
        let verdict = self.breaker.verdict(outcome, took);
        if let Some(epoch) = self.epoch.take() {
            // The tenth on either side of the open time: replicas that opened together do not probe together.
            let jitter = rand::random_range(0.9..=1.1);
            let mut circuit = self.breaker.circuit();
            self.breaker.tell(circuit.end(epoch, now, took, verdict, jitter));
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some(epoch) = self.epoch.take() {
            self.breaker.circuit().give_back(epoch);
        }
    }
}

/// The middleware.
pub(super) struct BreakCircuit(pub(super) Arc<Breaker>);

#[async_trait::async_trait]
impl Middleware for BreakCircuit {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let admission = self.0.admit().map_err(Failure::from)?;
        match next.run(request, extensions).await {
            Ok(response) => {
                admission.end(Ok(()));
                Ok(response)
            }
            Err(error) => {
                let failure = Failure::from(error);
                admission.end(Err(&failure.error));
                Err(failure.into())
            }
        }
    }
}
