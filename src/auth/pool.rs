//! Keeps one pool's keys: prefetched, refreshed in the background, fetched once more for a `kid` that is not known.
//!
//! A fetch holds no lock. It runs in a task of its own, so that a caller who goes away takes nobody's answer along; the
//! whole set is parsed before it takes the old one's place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use opentelemetry::Context;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{SpanContext, SpanKind};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::jwks::{Key, KeySet};
use crate::outbound::{self, ReadError};
use crate::telemetry::metrics::KeyMetrics;
use crate::telemetry::trace::{Span, Tracing};

/// An unknown `kid` may be anybody's invention, so it buys one fetch in this time.
const BARRED_AFTER_UNKNOWN_KID: Duration = Duration::from_secs(10);
/// Requests that wait for one fetch; each holds a connection's memory.
const MAX_WAITING: usize = 256;
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Cognito's sets have two keys, under 1 KiB.
const MAX_SET_BYTES: usize = 256 * 1024;
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// One pool and its keys.
pub(super) struct Pool {
    pub(super) issuer: String,
    jwks_url: String,
    http: reqwest::Client,
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

/// Who fetches and who may.
#[derive(Default)]
struct Flight {
    /// The fetch under way; it sends its outcome when it ends.
    running: Option<watch::Receiver<Option<bool>>>,
    /// The span of whoever began it.
    begun_by: Option<SpanContext>,
    waiting: usize,
    /// Whether an unknown `kid` started or joined the fetch under way.
    bars: bool,
    barred_until: Option<Instant>,
    last_succeeded: bool,
}

impl Flight {
    /// The fetch under way. One whose task is gone without an outcome has panicked, and is no longer under way.
    fn running(&self) -> Option<watch::Receiver<Option<bool>>> {
        self.running
            .clone()
            .filter(|fetched| fetched.has_changed().is_ok())
    }
}

/// What a request with an unknown `kid` does next.
enum Step<'a> {
    Known(Arc<Key>),
    Wait(watch::Receiver<Option<bool>>, Waiting<'a>, Span),
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
            jwks_url: config.jwks_url.clone(),
            http,
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
        let (fetched, _waiting, span) = match self.join_or_start(kid, Instant::now())? {
            Step::Known(key) => return Ok(key),
            Step::Wait(fetched, waiting, span) => (fetched, waiting, span),
        };
        let succeeded = outcome(fetched).await;
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
            let (fetched, span) = {
                let mut flight = self.flight();
                match flight.running() {
                    Some(fetched) => (fetched, None),
                    None => {
                        let span = self.span(&Context::new());
                        (self.start(&mut flight, &span), Some(span))
                    }
                }
            };
            let succeeded = outcome(fetched).await;
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
        let (fetched, span) = match (flight.running(), flight.barred_until) {
            (Some(_), _) if flight.waiting >= MAX_WAITING => {
                return Err(NoKey::Unavailable {
                    retry_after: FETCH_TIMEOUT,
                });
            }
            (Some(fetched), _) => {
                let span = Context::map_current(|trace| self.span(trace));
                if let Some(begun_by) = &flight.begun_by {
                    span.waits_for(begun_by);
                }
                (fetched, span)
            }
            (None, barred_until) => {
                // A fetch may have ended between the caller's look and this lock.
                if let Some(key) = self.known(kid) {
                    return Ok(Step::Known(key));
                }
                match barred_until {
                    Some(until) if now < until && flight.last_succeeded && !self.is_stale() => {
                        return Err(NoKey::Unknown);
                    }
                    Some(until) if now < until => {
                        return Err(NoKey::Unavailable {
                            retry_after: until - now,
                        });
                    }
                    _ => {
                        let span = Context::map_current(|trace| self.span(trace));
                        (self.start(&mut flight, &span), span)
                    }
                }
            }
        };
        flight.bars = true;
        flight.waiting += 1;
        Ok(Step::Wait(fetched, Waiting(self), span))
    }

    /// A span for as long as somebody waits for a fetch.
    fn span(&self, parent: &Context) -> Span {
        self.watched
            .tracing
            .begin("fetch keys", SpanKind::Internal, parent)
    }

    fn start(self: &Arc<Self>, flight: &mut Flight, waiting: &Span) -> watch::Receiver<Option<bool>> {
        let (ended, fetched) = watch::channel(None);
        flight.running = Some(fetched.clone());
        flight.begun_by = Some(waiting.ids());
        let trace = waiting.context().clone();
        let pool = Arc::clone(self);
        let fetch = async move {
            let succeeded = pool.fetch_and_swap().await;
            let mut flight = pool.flight();
            flight.running = None;
            flight.last_succeeded = succeeded;
            if std::mem::take(&mut flight.bars) {
                flight.barred_until = Some(Instant::now() + BARRED_AFTER_UNKNOWN_KID);
            }
            drop(flight);
            ended.send_replace(Some(succeeded));
        };
        tokio::spawn(fetch.with_context(trace));
        fetched
    }

    async fn fetch_and_swap(&self) -> bool {
        let span = self.begin();
        let fetched = timeout(FETCH_TIMEOUT, self.fetch())
            .await
            .unwrap_or(Err(FetchError::Timeout));
        match &fetched {
            Ok(_) => {
                span.set(|| [("http.response.status_code", 200.into())]);
                span.end();
            }
            Err(error) => {
                if let FetchError::Status(status) = error {
                    span.set(|| [("http.response.status_code", i64::from(status.as_u16()).into())]);
                }
                span.fail(error.name());
            }
        }
        match fetched {
            Ok(keys) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.watched.metrics.refreshed(keys.len(), now);
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
                self.watched.metrics.refresh_failed();
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

    /// The span of a request for the set. Its URL holds no key: an endpoint has neither user nor query.
    fn begin(&self) -> Span {
        let tracing = &self.watched.tracing;
        let span = Context::map_current(|trace| tracing.begin("GET", SpanKind::Client, trace));
        if let Ok(url) = Url::parse(&self.jwks_url) {
            span.set(|| {
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

    async fn fetch(&self) -> Result<KeySet, FetchError> {
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

    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn outcome(mut fetched: watch::Receiver<Option<bool>>) -> bool {
    // A sender that is gone without an outcome is a fetch that panicked.
    fetched
        .wait_for(Option::is_some)
        .await
        .is_ok_and(|outcome| *outcome == Some(true))
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
        self.0.flight().waiting -= 1;
    }
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
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
