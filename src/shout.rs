//! The domain: reverses a text and has it upper-cased by SHOUTCLOUD.
//!
//! Calls to SHOUTCLOUD are slow and can fail, so each client's results are cached (`cache`), and equal requests share
//! one call (`coalescing`). Before the call, a cache that replicas share is read, if there is one (`shared_cache`). When a
//! call fails, a stale result is served; without one, if the operator has configured it, the text is upper-cased
//! locally (`uppercase`).

mod cache;
mod coalescing;
mod outcome;
mod reverse;
mod shared_cache;
#[cfg(test)]
mod tests;
mod uppercase;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use tokio::time::{Instant, timeout_at};

use crate::blocking;
use crate::config::{self, Fallback};
use crate::shoutcloud::{self, Progress, Shoutcloud};
use crate::telemetry::metrics::CacheMetrics;
use crate::telemetry::trace::add_link;
use crate::valkey::Valkey;

pub use self::outcome::{CacheMode, Cause, Error, Forward, Shout, Source};
pub use self::reverse::reverse;
pub use self::uppercase::simple_uppercase;

use self::cache::{Cache, Key, Lookup};
use self::coalescing::{CallOutcome, InFlightCalls, Join};
use self::shared_cache::SharedCache;
use self::upstream::Upstream;

/// A follower with less than this left does not start a new call when the shared one times out.
const MIN_TIME_FOR_RESTART: Duration = Duration::from_millis(20);

/// Turns texts into shouts. Cheap to clone.
#[derive(Clone)]
pub struct ShoutService(Arc<Inner>);

struct Inner {
    upstream: Box<dyn Upstream>,
    /// `None` disables caching and coalescing.
    cache: Option<Cache>,
    /// `None` if no cache is shared with other replicas.
    shared_cache: Option<SharedCache>,
    metrics: CacheMetrics,
    in_flight_calls: InFlightCalls,
    /// Time limit of a call and of each request.
    timeout: Duration,
    fallback: Fallback,
}

/// A failed call, before the fallback is tried.
struct CallError {
    cause: Cause,
    forward: Forward,
    collapsed: bool,
}

type CallResult = Result<(Arc<str>, Source), CallError>;

impl ShoutService {
    /// Creates a service that waits at most `timeout` for `upstream`. A `valkey` is where it shares cached results.
    pub fn new(
        upstream: Shoutcloud,
        timeout: Duration,
        config: &config::Shout,
        valkey: Option<Valkey>,
        metrics: CacheMetrics,
    ) -> Self {
        let shared_cache = valkey.map(|valkey| SharedCache::new(valkey, &config.cache));
        Self::with_upstream(Box::new(upstream), timeout, config, shared_cache, metrics)
    }

    fn with_upstream(
        upstream: Box<dyn Upstream>,
        timeout: Duration,
        config: &config::Shout,
        shared_cache: Option<SharedCache>,
        metrics: CacheMetrics,
    ) -> Self {
        Self(Arc::new(Inner {
            upstream,
            cache: Cache::new(&config.cache, metrics.bytes.clone()),
            shared_cache,
            metrics,
            in_flight_calls: InFlightCalls::default(),
            timeout,
            fallback: config.fallback,
        }))
    }

    /// Does the same as [`Self::shout_observed`] for a caller who need not know when the upstream is called.
    pub async fn shout(
        &self,
        client: &Arc<str>,
        text: String,
        cache_mode: CacheMode,
        deadline: Instant,
    ) -> Result<Shout, Error> {
        self.shout_observed(client, text, cache_mode, deadline, &|| ())
            .await
    }

    /// Reverses and upper-cases `text` for `client`. Fails when neither the upstream nor a fallback has a result by
    /// `deadline`. Calls `on_wait` once the result depends on a call of the upstream.
    pub async fn shout_observed(
        &self,
        client: &Arc<str>,
        text: String,
        cache_mode: CacheMode,
        deadline: Instant,
        on_wait: &(dyn Fn() + Sync),
    ) -> Result<Shout, Error> {
        if text.is_empty() {
            return Ok(Shout {
                text: text.into(),
                source: Source::Empty,
                upstream: None,
                attempts: 0,
            });
        }
        let started = Instant::now();
        let deadline = deadline.min(started + self.0.timeout);
        let key = Key {
            client: Arc::clone(client),
            text: text.into(),
        };
        let mut attempts = 0;
        let result = match (&self.0.cache, cache_mode) {
            (Some(cache), CacheMode::Default) => {
                self.coalesced(cache, &key, deadline, &mut attempts, on_wait)
                    .await
            }
            (Some(_), CacheMode::Reload) => {
                self.0.metrics.bypass.increment(1);
                self.direct(&key, Forward::Request, deadline, &mut attempts, on_wait)
                    .await
            }
            (None, _) | (Some(_), CacheMode::NoStore) => {
                self.0.metrics.bypass.increment(1);
                self.direct(&key, Forward::Bypass, deadline, &mut attempts, on_wait)
                    .await
            }
        };
        let upstream = started.elapsed();
        match result.or_else(|error| self.fall_back(&key, error)) {
            Ok((text, source)) => Ok(Shout {
                text,
                source,
                upstream: (!matches!(source, Source::Cache | Source::SharedCache)).then_some(upstream),
                attempts,
            }),
            Err(error) => Err(Error {
                cause: error.cause,
                forward: error.forward,
                collapsed: error.collapsed,
                upstream,
                attempts,
            }),
        }
    }

    /// Returns the cached result, or that of a call which equal requests share.
    async fn coalesced(
        &self,
        cache: &Cache,
        key: &Key,
        deadline: Instant,
        attempts: &mut u32,
        on_wait: &(dyn Fn() + Sync),
    ) -> CallResult {
        let metrics = &self.0.metrics;
        let mut lookup_counter = match cache.lookup(key) {
            Lookup::Fresh(shout) => {
                metrics.hit.increment(1);
                return Ok((shout, Source::Cache));
            }
            Lookup::Stale(_) => Some(&metrics.stale),
            Lookup::Miss => Some(&metrics.miss),
        };
        let fresh = || match cache.lookup(key) {
            Lookup::Fresh(shout) => Some(shout),
            Lookup::Stale(_) | Lookup::Miss => None,
        };
        let (cause, collapsed) = loop {
            let start = |progress| self.clone().run_shared(key.clone(), progress);
            let (mut call, joined) = match self.0.in_flight_calls.join_or_start(key, fresh, start) {
                Join::Leader(call) => (call, false),
                Join::Follower(call) => {
                    Context::map_current(|trace| add_link(trace, &call.leader_span));
                    (call, true)
                }
                Join::Cached(shout) => {
                    if lookup_counter.is_some() {
                        metrics.hit.increment(1);
                    }
                    return Ok((shout, Source::Cache));
                }
            };
            // One lookup is counted per request, even if it takes several calls.
            if let Some(counter) = lookup_counter.take() {
                counter.increment(1);
            }
            // The attempt in progress counts for this request; earlier ones count for earlier requests only.
            let earlier = call.attempts().saturating_sub(1);
            let waited = timeout_at(deadline, call.outcome(on_wait)).await;
            *attempts += call.attempts().saturating_sub(earlier);
            let Ok(outcome) = waited else {
                break (call.deadline_passed().into(), joined);
            };
            let Some(CallOutcome {
                result,
                stored,
                shared,
                timed_out,
            }) = outcome
            else {
                break (Cause::Panicked, joined);
            };
            let forward = Forward::Miss;
            match result {
                Ok(shout) if shared => return Ok((shout, Source::SharedCache)),
                Ok(shout) if joined => return Ok((shout, Source::Coalesced)),
                Ok(shout) => return Ok((shout, Source::Upstream { forward, stored })),
                Err(_) if timed_out && Instant::now() + MIN_TIME_FOR_RESTART < deadline => {}
                Err(error) => break (error.into(), joined),
            }
        };
        match (&cause, cache.lookup(key)) {
            (Cause::Upstream(_), Lookup::Stale(shout)) => Ok((shout, Source::Stale)),
            // A `no-cache` request stored a fresh result in the meantime.
            (Cause::Upstream(_), Lookup::Fresh(shout)) => Ok((shout, Source::Coalesced)),
            (Cause::Upstream(_), Lookup::Miss) | (Cause::Panicked, _) => Err(CallError {
                cause,
                forward: Forward::Miss,
                collapsed,
            }),
        }
    }

    /// Calls the upstream for this request only. The call is cancelled with the request.
    async fn direct(
        &self,
        key: &Key,
        forward: Forward,
        deadline: Instant,
        attempts: &mut u32,
        on_wait: &(dyn Fn() + Sync),
    ) -> CallResult {
        let progress = Progress::default();
        let call = self.call(key, deadline, &progress);
        let result = progress.observe(call, on_wait).await;
        *attempts += progress.attempts();
        match result {
            Ok(shout) => {
                let stored = forward == Forward::Request && self.insert(key, &shout);
                Ok((shout, Source::Upstream { forward, stored }))
            }
            Err(error) => Err(CallError {
                cause: error.into(),
                forward,
                collapsed: false,
            }),
        }
    }

    /// Runs a call for equal requests, with a deadline of its own, and caches its result. Reads the shared cache first.
    async fn run_shared(self, key: Key, progress: Progress) -> CallOutcome {
        if let Some(shout) = self.read_shared_cache(&key).await {
            return CallOutcome {
                result: Ok(shout),
                stored: true,
                shared: true,
                timed_out: false,
            };
        }
        let deadline = Instant::now() + self.0.timeout;
        let result = self.call(&key, deadline, &progress).await;
        CallOutcome {
            stored: result.as_ref().is_ok_and(|shout| self.insert(&key, shout)),
            shared: false,
            // `Overloaded` before the deadline means a full queue: a restart would meet the same queue.
            timed_out: matches!(
                result,
                Err(shoutcloud::Error::DeadlinePassed | shoutcloud::Error::Overloaded)
            ) && deadline <= Instant::now(),
            result,
        }
    }

    async fn call(
        &self,
        key: &Key,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<Arc<str>, shoutcloud::Error> {
        let reversed = blocking::run(key.text.len(), || reverse(&key.text));
        let upstream = &self.0.upstream;
        let shout = upstream
            .uppercase(&key.client, reversed, deadline, progress)
            .await?;
        Ok(shout.into())
    }

    /// Returns the result in the shared cache if it is fresh. A stale one goes to the cache, where it is found if the
    /// call fails.
    async fn read_shared_cache(&self, key: &Key) -> Option<Arc<str>> {
        let (cache, shared) = (self.0.cache.as_ref()?, self.0.shared_cache.as_ref()?);
        let entry = shared.read(key).await?;
        cache.insert_aged(key, &entry.shout, entry.age);
        shared.is_fresh(&entry).then_some(entry.shout)
    }

    fn insert(&self, key: &Key, shout: &Arc<str>) -> bool {
        if let Some(shared) = &self.0.shared_cache {
            shared.write(key, shout);
        }
        self.0
            .cache
            .as_ref()
            .is_some_and(|cache| cache.insert(key, shout))
    }

    /// Upper-cases locally if that is configured and the upstream failed.
    fn fall_back(&self, key: &Key, error: CallError) -> CallResult {
        match (self.0.fallback, &error.cause) {
            (Fallback::Local, Cause::Upstream(_)) => {
                let source = Source::Fallback {
                    forward: error.forward,
                };
                let shout = blocking::run(key.text.len(), || simple_uppercase(&reverse(&key.text)));
                Ok((shout.into(), source))
            }
            (Fallback::None, _) | (_, Cause::Panicked) => Err(error),
        }
    }
}
