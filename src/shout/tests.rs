//! The domain over an upstream that does what it is told, on a paused clock.

mod apart;
mod fallback;
mod keeping;
mod sharing;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Caching, Cause, Error, Forward, Shout, Shouter, Source, Upstream};
use crate::config::{self, Fallback};
use crate::shoutcloud::{self, NotAShout, Progress};
use crate::telemetry::metrics::CacheMetrics;

const PATIENCE: Duration = Duration::from_secs(5);
const TTL: Duration = Duration::from_secs(3600);
const STALE: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// What becomes of a call.
enum Call {
    Answers,
    AnswersAfter(Duration),
    Fails(shoutcloud::Error),
    FailsAfter(Duration, shoutcloud::Error),
    /// Until the deadline.
    Hangs,
    /// Until the deadline.
    Queues,
    PanicsAfter(Duration),
}

/// An upstream that does as the next of these says, and answers when none is left.
#[derive(Clone, Default)]
struct Script {
    next: Arc<Mutex<VecDeque<Call>>>,
    calls: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Script {
    fn then(&self, calls: impl IntoIterator<Item = Call>) {
        self.next.lock().expect("not poisoned").extend(calls);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Upstream for Script {
    async fn capitalise(
        &self,
        text: String,
        deadline: Instant,
        _: &Progress,
    ) -> Result<String, shoutcloud::Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let call = self.next.lock().expect("not poisoned").pop_front();
        let (after, end, too_late) = match call.unwrap_or(Call::Answers) {
            Call::Answers => (Duration::ZERO, Ok(()), shoutcloud::Error::DeadlinePassed),
            Call::AnswersAfter(time) => (time, Ok(()), shoutcloud::Error::DeadlinePassed),
            Call::Fails(error) => (Duration::ZERO, Err(error), shoutcloud::Error::DeadlinePassed),
            Call::FailsAfter(time, error) => (time, Err(error), shoutcloud::Error::DeadlinePassed),
            Call::Hangs => (Duration::MAX, Ok(()), shoutcloud::Error::DeadlinePassed),
            Call::Queues => (Duration::MAX, Ok(()), shoutcloud::Error::Overloaded),
            Call::PanicsAfter(time) => {
                sleep(time).await;
                panic!("as the script says");
            }
        };
        let wait = async {
            match after {
                Duration::ZERO => {}
                Duration::MAX => pending().await,
                time => sleep(time).await,
            }
        };
        let waited = timeout_at(deadline, wait).await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        match waited {
            Ok(()) => end.map(|()| text.to_uppercase()),
            Err(_) => Err(too_late),
        }
    }
}

/// A shouter over a script.
#[derive(Clone)]
struct Stage {
    script: Script,
    shouter: Shouter,
}

impl Stage {
    fn set(config: &config::Shout) -> Self {
        let script = Script::default();
        let shouter = Shouter::over(Box::new(script.clone()), PATIENCE, config, CacheMetrics::noop());
        Self { script, shouter }
    }

    fn usual() -> Self {
        Self::set(&config_with(|_| {}))
    }

    async fn ask_as(&self, client: &str, caching: Caching, patience: Duration) -> Result<Shout, Error> {
        let deadline = Instant::now() + patience;
        self.shouter
            .shout(&client.into(), "hi".to_owned(), caching, deadline)
            .await
    }

    async fn ask(&self, caching: Caching) -> Result<Shout, Error> {
        self.ask_as("ada", caching, 2 * PATIENCE).await
    }

    async fn source(&self, caching: Caching) -> Source {
        let shout = self.ask(caching).await.expect("a shout");
        assert_eq!(&*shout.text, "IH");
        assert_eq!(shout.upstream.is_some(), shout.source != Source::Cache);
        shout.source
    }

    async fn error(&self, caching: Caching) -> Cause {
        self.ask(caching).await.expect_err("no shout").cause
    }

    /// Asks in a task, and returns once it waits.
    async fn begin_as(
        &self,
        client: &'static str,
        caching: Caching,
        patience: Duration,
    ) -> JoinHandle<Result<Shout, Error>> {
        let stage = self.clone();
        let asking = tokio::spawn(async move { stage.ask_as(client, caching, patience).await });
        settle().await;
        asking
    }

    async fn begin(&self) -> JoinHandle<Result<Shout, Error>> {
        self.begin_as("ada", Caching::Usual, 2 * PATIENCE).await
    }

    fn in_flight(&self) -> usize {
        self.shouter.0.flights.count()
    }
}

/// Lets every task go as far as it can without time passing.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

async fn end(asking: JoinHandle<Result<Shout, Error>>) -> Result<Source, Cause> {
    let answer = asking.await.expect("no panic gets this far");
    answer.map(|shout| shout.source).map_err(|error| error.cause)
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

const MADE: Source = Source::Upstream {
    forward: Forward::Miss,
    stored: true,
};
const MADE_ANEW: Source = Source::Upstream {
    forward: Forward::Request,
    stored: true,
};
const PASSED_BY: Source = Source::Upstream {
    forward: Forward::Bypass,
    stored: false,
};

fn failures() -> [shoutcloud::Error; 4] {
    [
        shoutcloud::Error::NotAShout(NotAShout::Status(StatusCode::FORBIDDEN)),
        unavailable(),
        shoutcloud::Error::Overloaded,
        shoutcloud::Error::DeadlinePassed,
    ]
}

fn unavailable() -> shoutcloud::Error {
    shoutcloud::Error::BreakerOpen { left: SECOND }
}
