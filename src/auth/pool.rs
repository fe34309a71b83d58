//! Keeps one pool's keys: prefetched, refreshed in the background, fetched once more for a `kid` that is not known.
//!
//! A fetch holds no lock. It runs in a task of its own, so that a caller who goes away takes nobody's answer along; the
//! whole set is parsed before it takes the old one's place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::jwks::{Key, KeySet};
use crate::outbound::{self, ReadError};
use crate::telemetry::metrics::KeyMetrics;

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
    metrics: KeyMetrics,
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
    Wait(watch::Receiver<Option<bool>>, Waiting<'a>),
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
        metrics: KeyMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            issuer: config.issuer.clone(),
            jwks_url: config.jwks_url.clone(),
            http,
            max_stale,
            loaded: ArcSwapOption::empty(),
            had_keys: AtomicBool::new(false),
            flight: Mutex::default(),
            metrics,
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
        let (fetched, _waiting) = match self.join_or_start(kid, Instant::now())? {
            Step::Known(key) => return Ok(key),
            Step::Wait(fetched, waiting) => (fetched, waiting),
        };
        let succeeded = outcome(fetched).await;
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
            let fetched = {
                let mut flight = self.flight();
                flight.running().unwrap_or_else(|| self.start(&mut flight))
            };
            // Replicas that started together must not fetch together.
            if outcome(fetched).await && self.had_keys() {
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
        let fetched = match (flight.running(), flight.barred_until) {
            (Some(_), _) if flight.waiting >= MAX_WAITING => {
                return Err(NoKey::Unavailable {
                    retry_after: FETCH_TIMEOUT,
                });
            }
            (Some(fetched), _) => fetched,
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
                    _ => self.start(&mut flight),
                }
            }
        };
        flight.bars = true;
        flight.waiting += 1;
        Ok(Step::Wait(fetched, Waiting(self)))
    }

    fn start(self: &Arc<Self>, flight: &mut Flight) -> watch::Receiver<Option<bool>> {
        let (ended, fetched) = watch::channel(None);
        flight.running = Some(fetched.clone());
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let succeeded = pool.fetch_and_swap().await;
            let mut flight = pool.flight();
            flight.running = None;
            flight.last_succeeded = succeeded;
            if std::mem::take(&mut flight.bars) {
                flight.barred_until = Some(Instant::now() + BARRED_AFTER_UNKNOWN_KID);
            }
            drop(flight);
            ended.send_replace(Some(succeeded));
        });
        fetched
    }

    async fn fetch_and_swap(&self) -> bool {
        let fetched = timeout(FETCH_TIMEOUT, self.fetch())
            .await
            .unwrap_or(Err(FetchError::Timeout));
        match fetched {
            Ok(keys) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.metrics.refreshed(keys.len(), now);
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
                self.metrics.refresh_failed();
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
