//! Keeps one pool's keys: prefetched, refreshed in the background, fetched once more for a `kid` that is not known.
//!
//! A fetch holds no lock. It runs in a task of its own, so that a caller who goes away takes nobody's answer along; the
//! whole set is parsed before it takes the old one's place.

mod endpoint;
mod flight;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use opentelemetry::Context;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::SpanKind;
use tokio::time::{Instant, sleep};

use self::endpoint::{Endpoint, FETCH_TIMEOUT};
use self::flight::{BARRED_AFTER_UNKNOWN_KID, Flight, Landing};
use super::jwks::{Key, KeySet};
use crate::telemetry::metrics::KeyMetrics;
use crate::telemetry::trace::{Span, Tracing};

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// One pool and its keys.
pub(super) struct Pool {
    pub(super) issuer: String,
    endpoint: Endpoint,
    max_stale: Duration,
    loaded: ArcSwapOption<Loaded>,
    /// Whether there ever was a usable key.
    had_keys: AtomicBool,
    flight: Mutex<Flight>,
    watched: Watched,
}

/// What can be seen of a pool.
pub(super) struct Watched {
    pub(super) metrics: KeyMetrics,
    pub(super) tracing: Tracing,
}

struct Loaded {
    keys: KeySet,
    at: Instant,
}

/// What a request with an unknown `kid` does next.
enum Step<'a> {
    Known(Arc<Key>),
    Wait(Landing, Waiting<'a>, Span),
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The pool was asked and has none.
    Unknown,
    /// The pool could not be asked, or too many wait for its answer.
    Unavailable { retry_after: Duration },
}

impl Pool {
    pub(super) fn new(
        config: &crate::config::Pool,
        http: reqwest::Client,
        max_stale: Duration,
        watched: Watched,
    ) -> Arc<Self> {
        Arc::new(Self {
            issuer: config.issuer.clone(),
            endpoint: Endpoint {
                jwks_url: config.jwks_url.clone(),
                http,
            },
            max_stale,
            loaded: ArcSwapOption::empty(),
            had_keys: AtomicBool::new(false),
            flight: Mutex::default(),
            watched,
        })
    }

    /// The key, if it is known and was confirmed within the bound on staleness.
    pub(super) fn known(&self, kid: &str) -> Option<Arc<Key>> {
        if self.is_stale() {
            return None;
        }
        self.loaded.load().as_ref()?.keys.find(kid).cloned()
    }

    fn is_stale(&self) -> bool {
        self.loaded
            .load()
            .as_ref()
            .is_none_or(|loaded| loaded.at.elapsed() > self.max_stale)
    }

    /// Whether a set with a usable key was ever loaded.
    pub(super) fn had_keys(&self) -> bool {
        self.had_keys.load(Ordering::Acquire)
    }

    /// The key, fetching the set once more if it is not known.
    pub(super) async fn key(self: &Arc<Self>, kid: &str) -> Result<Arc<Key>, NoKey> {
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        let (landing, _waiting, span) = match self.join_or_start(kid, Instant::now())? {
            Step::Known(key) => return Ok(key),
            Step::Wait(landing, waiting, span) => (landing, waiting, span),
        };
        let succeeded = landing.succeeded().await;
        ended(span, succeeded);
        match self.known(kid) {
            Some(key) => Ok(key),
            None if succeeded => Err(NoKey::Unknown),
            None => Err(NoKey::Unavailable {
                retry_after: BARRED_AFTER_UNKNOWN_KID,
            }),
        }
    }

    /// Fetches now and again until the task is dropped: at `refresh` after a success, with backoff after a failure.
    pub(super) async fn keep_fresh(self: Arc<Self>, refresh: Duration) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let (landing, span) = {
                let mut flight = self.flight();
                match flight.running() {
                    Some(landing) => (landing, None),
                    None => {
                        let span = self.span(&Context::new());
                        (self.start(&mut flight, &span), Some(span))
                    }
                }
            };
            let succeeded = landing.succeeded().await;
            if let Some(span) = span {
                ended(span, succeeded);
            }
            // Replicas that started together must not fetch together.
            if succeeded && self.had_keys() {
                backoff = FIRST_BACKOFF;
                sleep(refresh.mul_f64(rand::random_range(0.9..=1.0))).await;
            } else {
                sleep(backoff.min(refresh).mul_f64(rand::random_range(0.5..=1.0))).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }

    fn join_or_start(self: &Arc<Self>, kid: &str, now: Instant) -> Result<Step<'_>, NoKey> {
        let mut flight = self.flight();
        let (landing, span) = match flight.running() {
            Some(_) if flight.is_full() => {
                return Err(NoKey::Unavailable {
                    retry_after: FETCH_TIMEOUT,
                });
            }
            Some(landing) => {
                let span = Context::map_current(|trace| self.span(trace));
                if let Some(begun_by) = flight.begun_by() {
                    span.add_link(begun_by);
                }
                (landing, span)
            }
            None => {
                // A fetch may have ended between the caller's look and this lock.
                if let Some(key) = self.known(kid) {
                    return Ok(Step::Known(key));
                }
                match flight.barred_for(now) {
                    Some(_) if flight.last_succeeded() && !self.is_stale() => return Err(NoKey::Unknown),
                    Some(retry_after) => return Err(NoKey::Unavailable { retry_after }),
                    None => {
                        let span = Context::map_current(|trace| self.span(trace));
                        (self.start(&mut flight, &span), span)
                    }
                }
            }
        };
        flight.join();
        Ok(Step::Wait(landing, Waiting(self), span))
    }

    /// A span for as long as somebody waits for a fetch.
    fn span(&self, parent: &Context) -> Span {
        self.watched
            .tracing
            .start_span("fetch keys", SpanKind::Internal, parent)
    }

    fn start(self: &Arc<Self>, flight: &mut Flight, waiting: &Span) -> Landing {
        let (outcome, landing) = flight.begin(waiting.span_context());
        let trace = waiting.context().clone();
        let pool = Arc::clone(self);
        let fetch = async move {
            let succeeded = pool.fetch_and_swap().await;
            pool.flight().end(succeeded, Instant::now());
            outcome.send_replace(Some(succeeded));
        };
        tokio::spawn(fetch.with_context(trace));
        landing
    }

    async fn fetch_and_swap(&self) -> bool {
        match self.endpoint.fetch(&self.watched.tracing).await {
            Ok(keys) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.watched.metrics.record_refresh(keys.len(), now);
                if keys.skipped > 0 || keys.len() == 0 {
                    tracing::warn!(
                        event.action = "key-refresh",
                        event.kind = "event",
                        shoutback.keys.issuer = self.issuer,
                        shoutback.keys.usable = keys.len(),
                        shoutback.keys.skipped = keys.skipped,
                        "the pool's key set has keys that cannot be used, or none that can"
                    );
                }
                let usable = keys.len() > 0;
                self.loaded.store(Some(Arc::new(Loaded {
                    keys,
                    at: Instant::now(),
                })));
                // After the keys: whoever sees the replica ready may send a token at once.
                self.had_keys.fetch_or(usable, Ordering::Release);
                true
            }
            Err(error) => {
                self.watched.metrics.record_refresh_failure();
                tracing::warn!(
                    event.action = "key-refresh",
                    event.kind = "event",
                    event.outcome = "failure",
                    shoutback.keys.issuer = self.issuer,
                    error.message = %error,
                    "the pool's keys could not be fetched"
                );
                false
            }
        }
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended(span: Span, succeeded: bool) {
    if succeeded {
        span.end();
    } else {
        span.fail("keys_unavailable");
    }
}

/// Counts a waiting request, cancelled ones too.
struct Waiting<'a>(&'a Pool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.flight().leave();
    }
}
