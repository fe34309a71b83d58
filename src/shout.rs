//! The domain: a text, reversed, in capitals.
//!
//! SHOUTCLOUD is asked as rarely as may be. A client that asked for the same text lately gets the answer of that time
//! (`cache`), and one that asks while it is being asked waits for the same answer (`flight`). If it cannot be had, an
//! answer that has grown stale will do; without one, if that is configured, capitals of our own (`uppercase`).

mod answer;
mod cache;
mod flight;
mod reverse;
#[cfg(test)]
mod tests;
mod uppercase;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use tokio::time::{Instant, timeout_at};

use crate::config::{self, Fallback};
use crate::shoutcloud::{self, Progress, Shoutcloud};
use crate::telemetry::metrics::CacheMetrics;
use crate::telemetry::trace::add_link;

pub use self::answer::{Caching, Cause, Error, Forward, Shout, Source};
pub use self::reverse::reverse;
pub use self::uppercase::simple_uppercase;

use self::cache::{Cache, Found, Key};
use self::flight::{Boarding, Flights, Landing};

/// Who came a moment after the one that began a call has a moment left when the call's time is over: not enough for a
/// second call, which nobody would be left to wait for.
const WORTH_ANOTHER_CALL: Duration = Duration::from_millis(20);

/// Turns texts into shouts. Cheap to clone.
#[derive(Clone)]
pub struct Shouter(Arc<Inner>);

struct Inner {
    upstream: Box<dyn Upstream>,
    /// `None`: nothing is kept or shared.
    cache: Option<Cache>,
    metrics: CacheMetrics,
    flights: Flights,
    /// For a call, and for everybody who waits for one.
    patience: Duration,
    fallback: Fallback,
}

/// Who capitalises.
#[async_trait::async_trait]
trait Upstream: Send + Sync {
    /// See [`Shoutcloud::capitalise`].
    async fn capitalise(
        &self,
        text: String,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<String, shoutcloud::Error>;
}

#[async_trait::async_trait]
impl Upstream for Shoutcloud {
    async fn capitalise(
        &self,
        text: String,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<String, shoutcloud::Error> {
        self.capitalise(text, deadline, progress).await
    }
}

/// A call without a shout.
struct Failure {
    cause: Cause,
    forward: Forward,
    collapsed: bool,
}

type Answer = Result<(Arc<str>, Source), Failure>;

impl Shouter {
    /// A shouter whose capitals come from `upstream`, and which waits `patience` for them.
    pub fn new(
        upstream: Shoutcloud,
        patience: Duration,
        config: &config::Shout,
        metrics: CacheMetrics,
    ) -> Self {
        Self::over(Box::new(upstream), patience, config, metrics)
    }

    fn over(
        upstream: Box<dyn Upstream>,
        patience: Duration,
        config: &config::Shout,
        metrics: CacheMetrics,
    ) -> Self {
        Self(Arc::new(Inner {
            upstream,
            cache: Cache::new(&config.cache, metrics.bytes.clone()),
            metrics,
            flights: Flights::default(),
            patience,
            fallback: config.fallback,
        }))
    }

    /// Reverses `text` and has it capitalised for `client`, if that can be done by `deadline`.
    pub async fn shout(
        &self,
        client: &Arc<str>,
        text: String,
        caching: Caching,
        deadline: Instant,
    ) -> Result<Shout, Error> {
        if text.is_empty() {
            return Ok(Shout {
                text: text.into(),
                source: Source::Unneeded,
                upstream: None,
                attempts: 0,
            });
        }
        let asked = Instant::now();
        let deadline = deadline.min(asked + self.0.patience);
        let key = Key {
            client: Arc::clone(client),
            text: text.into(),
        };
        let mut attempts = 0;
        let answer = match (&self.0.cache, caching) {
            (Some(cache), Caching::Usual) => self.shared(cache, &key, deadline, &mut attempts).await,
            (Some(_), Caching::Anew) => {
                self.0.metrics.bypass.increment(1);
                self.alone(&key, Forward::Request, deadline, &mut attempts).await
            }
            (None, _) | (Some(_), Caching::Off) => {
                self.0.metrics.bypass.increment(1);
                self.alone(&key, Forward::Bypass, deadline, &mut attempts).await
            }
        };
        let upstream = asked.elapsed();
        match answer.or_else(|failure| self.without_upstream(&key, failure)) {
            Ok((text, source)) => Ok(Shout {
                text,
                source,
                upstream: (source != Source::Cache).then_some(upstream),
                attempts,
            }),
            Err(failure) => Err(Error {
                cause: failure.cause,
                forward: failure.forward,
                collapsed: failure.collapsed,
                upstream,
                attempts,
            }),
        }
    }

    /// From the cache, or from a call that is shared with whoever asks the same meanwhile.
    async fn shared(&self, cache: &Cache, key: &Key, deadline: Instant, attempts: &mut u32) -> Answer {
        let metrics = &self.0.metrics;
        let mut looked_up = match cache.find(key) {
            Found::Fresh(shout) => {
                metrics.hit.increment(1);
                return Ok((shout, Source::Cache));
            }
            Found::Stale(_) => Some(&metrics.stale),
            Found::Nothing => Some(&metrics.miss),
        };
        let fresh = || match cache.find(key) {
            Found::Fresh(shout) => Some(shout),
            Found::Stale(_) | Found::Nothing => None,
        };
        let (cause, collapsed) = loop {
            let call = |progress| self.clone().fly(key.clone(), progress);
            let (mut flight, joined) = match self.0.flights.board(key, fresh, call) {
                Boarding::Started(flight) => (flight, false),
                Boarding::Joined(flight) => {
                    Context::map_current(|trace| add_link(trace, &flight.begun_by));
                    (flight, true)
                }
                Boarding::Unneeded(shout) => {
                    if looked_up.is_some() {
                        metrics.hit.increment(1);
                    }
                    return Ok((shout, Source::Cache));
                }
            };
            // Once, however many calls it takes.
            if let Some(counter) = looked_up.take() {
                counter.increment(1);
            }
            // The one that is under way counts; those before it were for others.
            let earlier = flight.attempts().saturating_sub(1);
            let landed = timeout_at(deadline, flight.landing()).await;
            *attempts += flight.attempts().saturating_sub(earlier);
            let Ok(landing) = landed else {
                break (flight.deadline_passed().into(), joined);
            };
            let Some(Landing {
                answer,
                stored,
                cut_short,
            }) = landing
            else {
                break (Cause::Panicked, joined);
            };
            let forward = Forward::Miss;
            match answer {
                Ok(shout) if joined => return Ok((shout, Source::Coalesced)),
                Ok(shout) => return Ok((shout, Source::Upstream { forward, stored })),
                Err(_) if cut_short && Instant::now() + WORTH_ANOTHER_CALL < deadline => {}
                Err(error) => break (error.into(), joined),
            }
        };
        match (&cause, cache.find(key)) {
            (Cause::Upstream(_), Found::Stale(shout)) => Ok((shout, Source::Stale)),
            // Somebody who wanted a new answer has got one meanwhile.
            (Cause::Upstream(_), Found::Fresh(shout)) => Ok((shout, Source::Coalesced)),
            (Cause::Upstream(_), Found::Nothing) | (Cause::Panicked, _) => Err(Failure {
                cause,
                forward: Forward::Miss,
                collapsed,
            }),
        }
    }

    /// From a call for this request only, which ends if the request does.
    async fn alone(&self, key: &Key, forward: Forward, deadline: Instant, attempts: &mut u32) -> Answer {
        let progress = Progress::default();
        let answer = self.call(key, deadline, &progress).await;
        *attempts += progress.attempts();
        match answer {
            Ok(shout) => {
                let stored = forward == Forward::Request && self.store(key, &shout);
                Ok((shout, Source::Upstream { forward, stored }))
            }
            Err(error) => Err(Failure {
                cause: error.into(),
                forward,
                collapsed: false,
            }),
        }
    }

    /// The call that is shared: with a deadline of its own, and kept if it ends well.
    async fn fly(self, key: Key, progress: Progress) -> Landing {
        let deadline = Instant::now() + self.0.patience;
        let answer = self.call(&key, deadline, &progress).await;
        Landing {
            stored: answer.as_ref().is_ok_and(|shout| self.store(&key, shout)),
            // A queue that is full is full for everybody; one that took too long need not have for those who came later.
            cut_short: matches!(
                answer,
                Err(shoutcloud::Error::DeadlinePassed | shoutcloud::Error::Overloaded)
            ) && deadline <= Instant::now(),
            answer,
        }
    }

    async fn call(
        &self,
        key: &Key,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<Arc<str>, shoutcloud::Error> {
        let shout = self
            .0
            .upstream
            .capitalise(reverse(&key.text), deadline, progress)
            .await?;
        Ok(shout.into())
    }

    fn store(&self, key: &Key, shout: &Arc<str>) -> bool {
        self.0.cache.as_ref().is_some_and(|cache| cache.store(key, shout))
    }

    /// Capitals of our own, if they are wanted and the upstream is to blame.
    fn without_upstream(&self, key: &Key, failure: Failure) -> Answer {
        match (self.0.fallback, &failure.cause) {
            (Fallback::Local, Cause::Upstream(_)) => {
                let source = Source::Fallback {
                    forward: failure.forward,
                };
                Ok((simple_uppercase(&reverse(&key.text)).into(), source))
            }
            (Fallback::None, _) | (_, Cause::Panicked) => Err(failure),
        }
    }
}
