//! The keys of one user pool: prefetched, refreshed in the background, and fetched again for an unknown `kid`.
//!
//! All requests with an unknown `kid` share one fetch. It holds no lock and runs in its own task, so that a cancelled
//! request does not cancel the fetch for the others. A new key set replaces the old one only after all of it is parsed.

mod endpoint;
mod fetch_state;
#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use opentelemetry::Context;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::SpanKind;
use tokio::time::{Instant, sleep};

use self::endpoint::{Endpoint, FETCH_TIMEOUT};
use self::fetch_state::{FetchResultReceiver, FetchState, UNKNOWN_KID_COOLDOWN};
use super::jwks::{Key, KeySet};
use crate::sync::{Mutex, MutexGuard, spawn};
use crate::telemetry::metrics::KeyMetrics;
use crate::telemetry::trace::{Span, Tracing};

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// One user pool and its keys.
pub(super) struct KeySource {
    /// The first issuer, which names the pool in logs and readiness reasons.
    pub(super) issuer: String,
    other_issuers: Vec<String>,
    endpoint: Endpoint,
    max_stale: Duration,
    /// The last key set that was fetched; it has at least one key.
    snapshot: ArcSwapOption<KeySnapshot>,
    fetch_state: Mutex<FetchState>,
    telemetry: Telemetry,
}

/// Metrics and spans of a key source.
pub(super) struct Telemetry {
    pub(super) metrics: KeyMetrics,
    pub(super) tracing: Tracing,
}

struct KeySnapshot {
    keys: KeySet,
    fetched_at: Instant,
}

/// Result of looking up a `kid` that was unknown a moment ago.
enum KeyLookup<'a> {
    Found(Arc<Key>),
    /// A fetch is in flight; the span covers the wait for it.
    Pending(FetchResultReceiver, WaiterGuard<'a>, Span),
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyError {
    /// The pool's key set does not have it.
    Unknown,
    /// The key set could not be fetched, or too many requests wait for it.
    Unavailable { retry_after: Duration },
}

impl KeySource {
    pub(super) fn new(
        config: &crate::config::Pool,
        http: reqwest::Client,
        max_stale: Duration,
        telemetry: Telemetry,
    ) -> Arc<Self> {
        Arc::new(Self {
            issuer: config.issuer.clone(),
            other_issuers: config.other_issuers.clone(),
            endpoint: Endpoint {
                jwks_url: config.jwks_url.clone(),
                http,
                #[cfg(test)]
                scripted: None,
            },
            max_stale,
            snapshot: ArcSwapOption::empty(),
            fetch_state: Mutex::default(),
            telemetry,
        })
    }

    /// Returns whether `issuer` issues tokens of this pool.
    pub(super) fn is_of(&self, issuer: &str) -> bool {
        self.issuer == issuer || self.other_issuers.iter().any(|other| other == issuer)
    }

    /// Returns the key if the last key set has it and is not stale.
    pub(super) fn key_unless_stale(&self, kid: &str) -> Option<Arc<Key>> {
        if self.is_stale() {
            return None;
        }
        self.snapshot.load().as_ref()?.keys.find(kid).cloned()
    }

    fn is_stale(&self) -> bool {
        self.snapshot
            .load()
            .as_ref()
            .is_none_or(|snapshot| snapshot.fetched_at.elapsed() > self.max_stale)
    }

    /// Returns whether a key set was ever loaded.
    pub(super) fn had_keys(&self) -> bool {
        self.snapshot.load().is_some()
    }

    /// Returns the key; fetches the key set again if it is stale or does not have the key.
    pub(super) async fn key_or_fetch(self: &Arc<Self>, kid: &str) -> Result<Arc<Key>, KeyError> {
        if let Some(key) = self.key_unless_stale(kid) {
            return Ok(key);
        }
        let (receiver, _waiter, span) = match self.join_or_start(kid, Instant::now())? {
            KeyLookup::Found(key) => return Ok(key),
            KeyLookup::Pending(receiver, waiter, span) => (receiver, waiter, span),
        };
        let succeeded = receiver.succeeded().await;
        end_span(span, succeeded);
        match self.key_unless_stale(kid) {
            Some(key) => Ok(key),
            None if succeeded => Err(KeyError::Unknown),
            None => Err(KeyError::Unavailable {
                retry_after: UNKNOWN_KID_COOLDOWN,
            }),
        }
    }

    /// Fetches the key set at once and then repeatedly: after up to `refresh`, or with backoff after a failure.
    pub(super) async fn keep_fresh(self: Arc<Self>, refresh: Duration) {
        let mut schedule = Schedule::new(refresh);
        loop {
            let (receiver, span) = {
                let mut state = self.fetch_state();
                match state.in_flight() {
                    Some(receiver) => (receiver, None),
                    None => {
                        let span = self.begin_span(&Context::new());
                        (self.start_fetch(&mut state, &span), Some(span))
                    }
                }
            };
            let succeeded = receiver.succeeded().await;
            if let Some(span) = span {
                end_span(span, succeeded);
            }
            sleep(schedule.delay(succeeded)).await;
        }
    }

    fn join_or_start(self: &Arc<Self>, kid: &str, now: Instant) -> Result<KeyLookup<'_>, KeyError> {
        let mut state = self.fetch_state();
        let (receiver, span) = match state.in_flight() {
            Some(_) if state.is_full() => {
                return Err(KeyError::Unavailable {
                    retry_after: FETCH_TIMEOUT,
                });
            }
            Some(receiver) => {
                let span = Context::map_current(|trace| self.begin_span(trace));
                if let Some(leader_span) = state.leader_span() {
                    span.add_link(leader_span);
                }
                (receiver, span)
            }
            None => {
                // A fetch may have finished between the caller's look-up and this lock.
                if let Some(key) = self.key_unless_stale(kid) {
                    return Ok(KeyLookup::Found(key));
                }
                match state.cooldown_left(now) {
                    Some(_) if state.last_succeeded() && !self.is_stale() => return Err(KeyError::Unknown),
                    Some(retry_after) => return Err(KeyError::Unavailable { retry_after }),
                    None => {
                        let span = Context::map_current(|trace| self.begin_span(trace));
                        (self.start_fetch(&mut state, &span), span)
                    }
                }
            }
        };
        state.add_waiter();
        Ok(KeyLookup::Pending(receiver, WaiterGuard(self), span))
    }

    /// Begins the span of one caller's wait for a fetch.
    fn begin_span(&self, parent: &Context) -> Span {
        self.telemetry
            .tracing
            .start_span("fetch keys", SpanKind::Internal, parent)
    }

    fn start_fetch(self: &Arc<Self>, state: &mut FetchState, leader_span: &Span) -> FetchResultReceiver {
        let (sender, receiver) = state.start(leader_span.span_context());
        let trace = leader_span.context().clone();
        let source = Arc::clone(self);
        let fetch = async move {
            let succeeded = source.fetch_and_swap().await;
            source.fetch_state().finish(succeeded, Instant::now());
            sender.send_replace(Some(succeeded));
        };
        spawn(fetch.with_context(trace));
        receiver
    }

    async fn fetch_and_swap(&self) -> bool {
        match self.endpoint.fetch(&self.telemetry.tracing).await {
            Ok(keys) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.telemetry.metrics.record_refresh(keys.len(), now);
                if keys.skipped > 0 {
                    tracing::warn!(
                        event.action = "key-refresh",
                        event.kind = "event",
                        shoutback.keys.issuer = self.issuer,
                        shoutback.keys.usable = keys.len(),
                        shoutback.keys.skipped = keys.skipped,
                        "the pool's key set has unusable keys"
                    );
                }
                self.snapshot.store(Some(Arc::new(KeySnapshot {
                    keys,
                    fetched_at: Instant::now(),
                })));
                true
            }
            Err(error) => {
                self.telemetry.metrics.record_refresh_failure();
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

    fn fetch_state(&self) -> MutexGuard<'_, FetchState> {
        self.fetch_state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the next fetch is due. With jitter, so that replicas that started together do not fetch together.
struct Schedule {
    refresh: Duration,
    backoff: Duration,
}

impl Schedule {
    fn new(refresh: Duration) -> Self {
        Self {
            refresh,
            backoff: FIRST_BACKOFF,
        }
    }

    /// Returns the time until the next fetch.
    fn delay(&mut self, succeeded: bool) -> Duration {
        if succeeded {
            self.backoff = FIRST_BACKOFF;
            return self.refresh.mul_f64(rand::random_range(0.9..=1.0));
        }
        let delay = self.backoff.min(self.refresh);
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
        delay.mul_f64(rand::random_range(0.5..=1.0))
    }
}

fn end_span(span: Span, succeeded: bool) {
    if succeeded {
        span.end();
    } else {
        span.fail("keys_unavailable");
    }
}

/// Removes the waiter when the request ends or is cancelled.
struct WaiterGuard<'a>(&'a KeySource);

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_state().remove_waiter();
    }
}
