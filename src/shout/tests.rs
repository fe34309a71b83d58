//! Tests of the service with a scripted upstream, on a paused clock.

mod caching;
mod coalescing;
mod fallback;
mod isolation;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep, timeout_at};

use super::{CacheMode, Cause, Error, Forward, Shout, ShoutService, Source, Upstream};
use crate::config::{self, Fallback};
use crate::shoutcloud::{self, InvalidResponse, Progress};
use crate::telemetry::metrics::CacheMetrics;

const TIMEOUT: Duration = Duration::from_secs(5);
const TTL: Duration = Duration::from_secs(3600);
const STALE: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// What the upstream does with a call.
enum Call {
    Succeeds,
    SucceedsAfter(Duration),
    Fails(shoutcloud::Error),
    FailsAfter(Duration, shoutcloud::Error),
    /// Ends with `DeadlinePassed` at the deadline.
    Hangs,
    /// Ends with `Overloaded` at the deadline.
    Queues,
    PanicsAfter(Duration),
}

/// An upstream that treats each call as the next entry says, and succeeds when there is none left.
#[derive(Clone, Default)]
struct ScriptedUpstream {
    next: Arc<Mutex<VecDeque<Call>>>,
    calls: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl ScriptedUpstream {
    fn then(&self, calls: impl IntoIterator<Item = Call>) {
        self.next.lock().expect("not poisoned").extend(calls);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Upstream for ScriptedUpstream {
    async fn uppercase(
        &self,
        _: &Arc<str>,
        text: String,
        deadline: Instant,
        _: &Progress,
    ) -> Result<String, shoutcloud::Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let call = self.next.lock().expect("not poisoned").pop_front();
        let (delay, result, timeout_error) = match call.unwrap_or(Call::Succeeds) {
            Call::Succeeds => (Duration::ZERO, Ok(()), shoutcloud::Error::DeadlinePassed),
            Call::SucceedsAfter(time) => (time, Ok(()), shoutcloud::Error::DeadlinePassed),
            Call::Fails(error) => (Duration::ZERO, Err(error), shoutcloud::Error::DeadlinePassed),
            Call::FailsAfter(time, error) => (time, Err(error), shoutcloud::Error::DeadlinePassed),
            Call::Hangs => (Duration::MAX, Ok(()), shoutcloud::Error::DeadlinePassed),
            Call::Queues => (Duration::MAX, Ok(()), shoutcloud::Error::Overloaded),
            Call::PanicsAfter(time) => {
                sleep(time).await;
                panic!("scripted");
            }
        };
        let wait = async {
            match delay {
                Duration::ZERO => {}
                Duration::MAX => pending().await,
                time => sleep(time).await,
            }
        };
        let within_deadline = timeout_at(deadline, wait).await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        match within_deadline {
            Ok(()) => result.map(|()| text.to_uppercase()),
            Err(_) => Err(timeout_error),
        }
    }
}

/// A service with a scripted upstream.
#[derive(Clone)]
struct Fixture {
    upstream: ScriptedUpstream,
    service: ShoutService,
}

impl Fixture {
    fn with_config(config: &config::Shout) -> Self {
        let upstream = ScriptedUpstream::default();
        let service = ShoutService::with_upstream(
            Box::new(upstream.clone()),
            TIMEOUT,
            config,
            None,
            CacheMetrics::noop(),
        );
        Self { upstream, service }
    }

    fn new() -> Self {
        Self::with_config(&config_with(|_| {}))
    }

    async fn request_as(
        &self,
        client: &str,
        cache_mode: CacheMode,
        timeout: Duration,
    ) -> Result<Shout, Error> {
        let deadline = Instant::now() + timeout;
        self.service
            .shout(&client.into(), "hi".to_owned(), cache_mode, deadline)
            .await
    }

    async fn request(&self, cache_mode: CacheMode) -> Result<Shout, Error> {
        self.request_as("ada", cache_mode, 2 * TIMEOUT).await
    }

    async fn source(&self, cache_mode: CacheMode) -> Source {
        let shout = self.request(cache_mode).await.expect("a shout");
        assert_eq!(&*shout.text, "IH");
        assert_eq!(shout.upstream.is_some(), shout.source != Source::Cache);
        shout.source
    }

    async fn error(&self, cache_mode: CacheMode) -> Cause {
        self.request(cache_mode).await.expect_err("no shout").cause
    }

    /// Spawns a request and returns once it waits for the upstream.
    async fn start_as(
        &self,
        client: &'static str,
        cache_mode: CacheMode,
        timeout: Duration,
    ) -> JoinHandle<Result<Shout, Error>> {
        let fixture = self.clone();
        let request = tokio::spawn(async move { fixture.request_as(client, cache_mode, timeout).await });
        settle().await;
        request
    }

    async fn start(&self) -> JoinHandle<Result<Shout, Error>> {
        self.start_as("ada", CacheMode::Default, 2 * TIMEOUT).await
    }

    fn in_flight(&self) -> usize {
        self.service.0.in_flight_calls.count()
    }
}

/// Runs every task until it is blocked, without advancing the clock.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

async fn result(request: JoinHandle<Result<Shout, Error>>) -> Result<Source, Cause> {
    let result = request.await.expect("no panic");
    result.map(|shout| shout.source).map_err(|error| error.cause)
}

fn config_with(change: impl FnOnce(&mut config::Shout)) -> config::Shout {
    let mut config = config::Shout {
        fallback: Fallback::None,
        cache: config::Cache {
            capacity: 1 << 20,
            ttl: TTL,
            stale_if_error: STALE,
        },
    };
    change(&mut config);
    config
}

const CALLED: Source = Source::Upstream {
    forward: Forward::Miss,
    stored: true,
};
const RELOADED: Source = Source::Upstream {
    forward: Forward::Request,
    stored: true,
};
const BYPASSED: Source = Source::Upstream {
    forward: Forward::Bypass,
    stored: false,
};

fn failures() -> [shoutcloud::Error; 4] {
    [
        shoutcloud::Error::InvalidResponse(InvalidResponse::Status(StatusCode::FORBIDDEN)),
        unavailable(),
        shoutcloud::Error::Overloaded,
        shoutcloud::Error::DeadlinePassed,
    ]
}

fn unavailable() -> shoutcloud::Error {
    shoutcloud::Error::BreakerOpen { left: SECOND }
}
