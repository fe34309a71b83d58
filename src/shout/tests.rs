//! The domain over an upstream that does what it is told, on a paused clock.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, sleep, timeout_at};

use super::{Caching, Cause, Error, Forward, Shout, Shouter, Source, Upstream};
use crate::config::{self, Fallback};
use crate::shoutcloud::{self, NotAShout, Progress};

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
        let shouter = Shouter::over(Box::new(script.clone()), PATIENCE, config);
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

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_for_as_long_as_it_is_fresh() {
    let stage = Stage::usual();
    assert_eq!(stage.source(Caching::Usual).await, MADE);
    advance(TTL - MILLISECOND).await;
    assert_eq!(stage.source(Caching::Usual).await, Source::Cache);
    assert_eq!(stage.script.calls(), 1);
    advance(MILLISECOND).await;
    assert_eq!(stage.source(Caching::Usual).await, MADE, "it is renewed");
    assert_eq!(stage.source(Caching::Usual).await, Source::Cache);
    assert_eq!(stage.script.calls(), 2);
    assert_eq!(stage.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_the_empty_text() {
    for capacity in [0, 1 << 20] {
        let stage = Stage::set(&config_with(|config| config.cache.capacity = capacity));
        let deadline = Instant::now();
        let shout = stage
            .shouter
            .shout(&"ada".into(), String::new(), Caching::Usual, deadline)
            .await;
        let shout = shout.expect("a shout");
        assert_eq!(
            (&*shout.text, shout.source, shout.upstream),
            ("", PASSED_BY, None)
        );
        assert_eq!(stage.script.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_not_kept() {
    for failure in failures() {
        let stage = Stage::usual();
        stage.script.then([Call::Fails(failure.clone())]);
        assert_eq!(stage.error(Caching::Usual).await, Cause::Upstream(failure));
        assert_eq!(stage.in_flight(), 0);
        assert_eq!(stage.source(Caching::Usual).await, MADE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_replaces_any_error_of_the_upstream_within_its_bound() {
    for failure in failures() {
        let stage = Stage::usual();
        assert_eq!(stage.source(Caching::Usual).await, MADE);
        for wait in [TTL, STALE - MILLISECOND] {
            advance(wait).await;
            stage.script.then([Call::Fails(failure.clone())]);
            assert_eq!(stage.source(Caching::Usual).await, Source::Stale, "{failure}");
        }
        advance(MILLISECOND).await;
        stage.script.then([Call::Fails(failure.clone())]);
        assert_eq!(stage.error(Caching::Usual).await, Cause::Upstream(failure));
        assert_eq!(stage.script.calls(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_not_served_past_its_bound_because_the_call_took_long() {
    let stage = Stage::usual();
    assert_eq!(stage.source(Caching::Usual).await, MADE);
    advance(TTL + STALE - SECOND).await;
    stage.script.then([Call::FailsAfter(SECOND, unavailable())]);
    assert_eq!(stage.error(Caching::Usual).await, Cause::Upstream(unavailable()));
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_given_to_everybody_who_waited() {
    let stage = Stage::usual();
    assert_eq!(stage.source(Caching::Usual).await, MADE);
    advance(TTL).await;
    stage.script.then([Call::FailsAfter(SECOND, unavailable())]);
    let (first, second) = (stage.begin().await, stage.begin().await);
    assert_eq!(end(first).await, Ok(Source::Stale));
    assert_eq!(end(second).await, Ok(Source::Stale));
    assert_eq!(stage.script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_out_of_time_gets_a_stale_answer_too() {
    let stage = Stage::usual();
    assert_eq!(stage.source(Caching::Usual).await, MADE);
    advance(TTL).await;
    stage.script.then([Call::Hangs]);
    let hurried = stage.ask_as("ada", Caching::Usual, SECOND).await;
    assert_eq!(hurried.expect("a shout").source, Source::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_ours_is_not_hidden() {
    let stage = Stage::set(&config_with(|config| config.fallback = Fallback::Local));
    assert_eq!(stage.source(Caching::Usual).await, MADE);
    advance(TTL).await;
    stage.script.then([Call::PanicsAfter(SECOND)]);
    assert_eq!(stage.error(Caching::Usual).await, Cause::Panicked);
}

#[tokio::test(start_paused = true)]
async fn with_a_ttl_of_zero_every_request_asks_and_a_failure_finds_what_was_kept() {
    let stage = Stage::set(&config_with(|config| config.cache.ttl = Duration::ZERO));
    assert_eq!(stage.source(Caching::Usual).await, MADE);
    assert_eq!(stage.source(Caching::Usual).await, MADE);
    stage.script.then([Call::Fails(unavailable())]);
    assert_eq!(stage.source(Caching::Usual).await, Source::Stale);
    assert_eq!(stage.script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_is_still_shared() {
    let stage = Stage::set(&config_with(|config| {
        config.cache.ttl = Duration::ZERO;
        config.cache.stale_if_error = Duration::ZERO;
    }));
    stage.script.then([Call::AnswersAfter(SECOND)]);
    let (first, second) = (stage.begin().await, stage.begin().await);
    let not_stored = Source::Upstream {
        forward: Forward::Miss,
        stored: false,
    };
    assert_eq!(end(first).await, Ok(not_stored));
    assert_eq!(end(second).await, Ok(Source::Coalesced));
    assert_eq!(stage.source(Caching::Usual).await, not_stored);
    assert_eq!(stage.script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_capacity_nothing_is_kept_or_shared() {
    let stage = Stage::set(&config_with(|config| config.cache.capacity = 0));
    stage
        .script
        .then([Call::AnswersAfter(SECOND), Call::AnswersAfter(SECOND)]);
    let (first, second) = (stage.begin().await, stage.begin().await);
    assert_eq!(stage.script.calls(), 2);
    assert_eq!(end(first).await, Ok(PASSED_BY));
    assert_eq!(end(second).await, Ok(PASSED_BY));
    for caching in [Caching::Usual, Caching::Anew, Caching::Off] {
        assert_eq!(stage.source(caching).await, PASSED_BY);
    }
    assert_eq!(stage.script.calls(), 5);
    stage.script.then([Call::Fails(unavailable())]);
    let error = stage.ask(Caching::Usual).await.expect_err("nothing is stale");
    assert_eq!((error.forward, error.collapsed), (Forward::Bypass, false));
}

#[tokio::test(start_paused = true)]
async fn equal_requests_share_one_call() {
    let stage = Stage::usual();
    stage.script.then([Call::AnswersAfter(SECOND)]);
    let mut asking = Vec::new();
    for _ in 0..100 {
        asking.push(stage.begin().await);
    }
    assert_eq!((stage.script.calls(), stage.in_flight()), (1, 1));
    let mut sources = Vec::new();
    for one in asking {
        sources.push(end(one).await.expect("a shout"));
    }
    assert_eq!(sources[0], MADE);
    assert!(sources[1..].iter().all(|source| *source == Source::Coalesced));
    assert_eq!((stage.script.calls(), stage.in_flight()), (1, 0));
    assert_eq!(stage.source(Caching::Usual).await, Source::Cache);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_call_is_made_for_equal_requests_even_if_one_has_just_ended() {
    let stage = Stage::usual();
    const TEXTS: usize = 2_000;
    for number in 0..TEXTS {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let shouter = stage.shouter.clone();
                tokio::spawn(async move {
                    let deadline = Instant::now() + PATIENCE;
                    shouter
                        .shout(&"ada".into(), number.to_string(), Caching::Usual, deadline)
                        .await
                })
            })
            .collect();
        for one in asking {
            one.await.expect("no panic").expect("a shout");
        }
        assert_eq!(stage.script.calls(), number + 1);
    }
    assert_eq!(stage.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shared_too() {
    for failure in failures() {
        let stage = Stage::usual();
        stage.script.then([Call::FailsAfter(SECOND, failure.clone())]);
        let (first, second) = (stage.begin().await, stage.begin().await);
        let second = second.await.expect("no panic").expect_err("no shout");
        assert_eq!(second.cause, Cause::Upstream(failure.clone()));
        assert_eq!((second.forward, second.collapsed), (Forward::Miss, true));
        let first = first.await.expect("no panic").expect_err("no shout");
        assert_eq!(first.cause, Cause::Upstream(failure));
        assert_eq!((first.forward, first.collapsed), (Forward::Miss, false));
        assert_eq!(stage.script.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_outlives_its_first_caller_and_its_last() {
    let stage = Stage::usual();
    stage.script.then([Call::AnswersAfter(SECOND)]);
    let (first, second) = (stage.begin().await, stage.begin().await);
    first.abort();
    assert_eq!(end(second).await, Ok(Source::Coalesced));
    assert_eq!(stage.script.calls(), 1);

    advance(TTL).await;
    stage.script.then([Call::AnswersAfter(SECOND)]);
    let only = stage.begin().await;
    only.abort();
    settle().await;
    assert_eq!(stage.in_flight(), 1);
    sleep(SECOND + MILLISECOND).await;
    assert_eq!(stage.in_flight(), 0);
    assert_eq!(stage.source(Caching::Usual).await, Source::Cache);
    assert_eq!(stage.script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_waits_as_long_as_it_may_and_the_others_go_on() {
    let stage = Stage::usual();
    stage.script.then([Call::AnswersAfter(4 * SECOND)]);
    let began = Instant::now();
    let hurried_first = stage.begin_as("ada", Caching::Usual, SECOND).await;
    let patient = stage.begin().await;
    let hurried_last = stage.begin_as("ada", Caching::Usual, 2 * SECOND).await;
    // This upstream tells nobody that a call has left the queue.
    assert_eq!(
        end(hurried_first).await,
        Err(Cause::Upstream(shoutcloud::Error::Overloaded))
    );
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_eq!(
        end(hurried_last).await,
        Err(Cause::Upstream(shoutcloud::Error::Overloaded))
    );
    assert_eq!(began.elapsed().as_secs(), 2);
    assert_eq!(end(patient).await, Ok(Source::Coalesced));
    assert_eq!(began.elapsed().as_secs(), 4);
    assert_eq!(stage.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_a_call_may_take() {
    let stage = Stage::usual();
    stage.script.then([Call::Hangs, Call::Hangs]);
    let began = Instant::now();
    let first = stage
        .begin_as("ada", Caching::Usual, Duration::from_secs(600))
        .await;
    sleep(3 * SECOND).await;
    let second = stage
        .begin_as("ada", Caching::Usual, Duration::from_secs(600))
        .await;
    assert!(end(first).await.is_err());
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!(end(second).await.is_err());
    assert_eq!(began.elapsed().as_secs(), 8);
}

#[tokio::test(start_paused = true)]
async fn who_has_time_left_when_a_call_runs_out_of_it_starts_another() {
    for (slow, error) in [
        (Call::Hangs, shoutcloud::Error::DeadlinePassed),
        (Call::Queues, shoutcloud::Error::Overloaded),
    ] {
        let stage = Stage::usual();
        stage.script.then([slow, Call::AnswersAfter(SECOND)]);
        let began = Instant::now();
        let first = stage.begin().await;
        sleep(2 * SECOND).await;
        let later = [stage.begin().await, stage.begin().await, stage.begin().await];
        // Whether the first gives up just before its call does or after it.
        let cause = end(first).await.expect_err("no shout");
        assert!(
            [error, shoutcloud::Error::Overloaded]
                .map(Cause::Upstream)
                .contains(&cause),
            "{cause}"
        );
        assert_eq!(began.elapsed().as_secs(), 5);
        let mut sources = Vec::new();
        for one in later {
            sources.push(end(one).await.expect("a shout"));
        }
        assert_eq!(began.elapsed().as_secs(), 6);
        let of_own_calls = sources.iter().filter(|source| **source == MADE);
        assert_eq!(of_own_calls.count(), 1, "{sources:?}");
        assert_eq!((stage.script.calls(), stage.in_flight()), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_starts_a_call_with_a_moment_left() {
    let stage = Stage::usual();
    stage.script.then([Call::Hangs]);
    let first = stage.begin().await;
    sleep(10 * MILLISECOND).await;
    let second = stage.begin().await;
    assert!(end(first).await.is_err());
    assert_eq!(
        end(second).await,
        Err(Cause::Upstream(shoutcloud::Error::DeadlinePassed))
    );
    settle().await;
    assert_eq!((stage.script.calls(), stage.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_everybodys_error_and_nobodys_end() {
    let stage = Stage::usual();
    stage.script.then([Call::PanicsAfter(SECOND)]);
    let (first, second) = (stage.begin().await, stage.begin().await);
    let began = Instant::now();
    assert_eq!(end(first).await, Err(Cause::Panicked));
    assert_eq!(end(second).await, Err(Cause::Panicked));
    assert_eq!(began.elapsed().as_secs(), 1, "nobody is stranded");
    assert_eq!(stage.in_flight(), 0);
    assert_eq!(stage.source(Caching::Usual).await, MADE);
}

#[tokio::test(start_paused = true)]
async fn who_wants_a_new_answer_neither_reads_nor_joins_nor_is_joined_but_stores() {
    let stage = Stage::usual();
    stage
        .script
        .then([Call::AnswersAfter(SECOND), Call::AnswersAfter(SECOND)]);
    let usual = stage.begin().await;
    let anew = stage.begin_as("ada", Caching::Anew, 2 * PATIENCE).await;
    assert_eq!((stage.script.calls(), stage.in_flight()), (2, 1));
    assert_eq!(end(usual).await, Ok(MADE));
    assert_eq!(end(anew).await, Ok(MADE_ANEW));
    assert_eq!(stage.source(Caching::Anew).await, MADE_ANEW, "it does not read");
    assert_eq!(stage.script.calls(), 3);

    advance(TTL).await;
    stage
        .script
        .then([Call::AnswersAfter(SECOND), Call::AnswersAfter(SECOND)]);
    let anew = stage.begin_as("ada", Caching::Anew, 2 * PATIENCE).await;
    let usual = stage.begin().await;
    assert_eq!(stage.script.calls(), 5, "it is not joined");
    assert_eq!((end(anew).await, end(usual).await), (Ok(MADE_ANEW), Ok(MADE)));

    advance(TTL).await;
    assert_eq!(stage.source(Caching::Anew).await, MADE_ANEW);
    assert_eq!(stage.source(Caching::Usual).await, Source::Cache, "it stores");
    assert_eq!(stage.script.calls(), 6);

    advance(TTL).await;
    stage.script.then([Call::Fails(unavailable())]);
    let error = stage.ask(Caching::Anew).await.expect_err("nothing stale will do");
    assert_eq!((error.forward, error.collapsed), (Forward::Request, false));
    stage.script.then([Call::Fails(unavailable())]);
    assert_eq!(
        stage.source(Caching::Usual).await,
        Source::Stale,
        "it is still there"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_forgiven_if_somebody_has_got_a_new_answer_meanwhile() {
    let stage = Stage::usual();
    stage
        .script
        .then([Call::FailsAfter(SECOND, unavailable()), Call::Answers]);
    let usual = stage.begin().await;
    assert_eq!(stage.source(Caching::Anew).await, MADE_ANEW);
    assert_eq!(end(usual).await, Ok(Source::Coalesced));
}

#[tokio::test(start_paused = true)]
async fn who_wants_to_be_left_out_is() {
    let stage = Stage::usual();
    assert_eq!(stage.source(Caching::Off).await, PASSED_BY);
    assert_eq!(stage.source(Caching::Usual).await, MADE, "nothing was stored");
    assert_eq!(stage.source(Caching::Off).await, PASSED_BY, "nor is it read");
    assert_eq!(stage.script.calls(), 3);
    advance(TTL).await;
    stage
        .script
        .then([Call::AnswersAfter(SECOND), Call::AnswersAfter(SECOND)]);
    let (usual, off) = (
        stage.begin().await,
        stage.begin_as("ada", Caching::Off, 2 * PATIENCE).await,
    );
    assert_eq!(stage.script.calls(), 5);
    assert_eq!((end(usual).await, end(off).await), (Ok(MADE), Ok(PASSED_BY)));
    advance(TTL).await;
    stage.script.then([Call::Fails(unavailable())]);
    assert_eq!(stage.error(Caching::Off).await, Cause::Upstream(unavailable()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_shared_ends_with_its_caller() {
    for caching in [Caching::Anew, Caching::Off] {
        let stage = Stage::usual();
        stage.script.then([Call::AnswersAfter(SECOND)]);
        let asking = stage.begin_as("ada", caching, 2 * PATIENCE).await;
        assert_eq!(stage.script.calls(), 1);
        asking.abort();
        sleep(2 * SECOND).await;
        assert_eq!(stage.script.ended.load(Ordering::SeqCst), 0);
        assert_eq!(stage.source(Caching::Usual).await, MADE);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_share_nothing() {
    let stage = Stage::usual();
    stage
        .script
        .then([Call::AnswersAfter(SECOND), Call::AnswersAfter(SECOND)]);
    let ada = stage.begin_as("ada", Caching::Usual, PATIENCE).await;
    let bob = stage.begin_as("bob", Caching::Usual, PATIENCE).await;
    assert_eq!((stage.script.calls(), stage.in_flight()), (2, 2));
    assert_eq!((end(ada).await, end(bob).await), (Ok(MADE), Ok(MADE)));
    let eve = stage.ask_as("eve", Caching::Usual, PATIENCE).await;
    assert_eq!(eve.expect("a shout").source, MADE, "not a hit");
    advance(TTL).await;
    stage.script.then([Call::Fails(unavailable())]);
    let mallory = stage.ask_as("mallory", Caching::Usual, PATIENCE).await;
    assert!(mallory.is_err(), "nor stale");
}

#[tokio::test(start_paused = true)]
async fn capitals_of_our_own_replace_any_error_of_the_upstream() {
    let stage = Stage::set(&config_with(|config| config.fallback = Fallback::Local));
    for failure in failures() {
        for (caching, forward) in [
            (Caching::Usual, Forward::Miss),
            (Caching::Anew, Forward::Request),
            (Caching::Off, Forward::Bypass),
        ] {
            stage.script.then([Call::Fails(failure.clone())]);
            let calls = stage.script.calls();
            // They are not kept, so each of these calls.
            assert_eq!(stage.source(caching).await, Source::Fallback { forward });
            assert_eq!(stage.script.calls(), calls + 1);
        }
    }
    stage.script.then([Call::FailsAfter(SECOND, unavailable())]);
    let (first, second) = (stage.begin().await, stage.begin().await);
    let fallback = Ok(Source::Fallback {
        forward: Forward::Miss,
    });
    assert_eq!(
        (end(first).await, end(second).await),
        (fallback.clone(), fallback)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_preferred_to_capitals_of_our_own() {
    let stage = Stage::set(&config_with(|config| config.fallback = Fallback::Local));
    assert_eq!(stage.source(Caching::Usual).await, MADE);
    advance(TTL).await;
    stage
        .script
        .then([Call::Fails(unavailable()), Call::Fails(unavailable())]);
    assert_eq!(stage.source(Caching::Usual).await, Source::Stale);
    let forward = Forward::Request;
    assert_eq!(stage.source(Caching::Anew).await, Source::Fallback { forward });
}

#[tokio::test(start_paused = true)]
async fn capitals_of_our_own_are_those_of_the_simple_mapping() {
    let stage = Stage::set(&config_with(|config| config.fallback = Fallback::Local));
    stage.script.then([Call::Fails(unavailable())]);
    let deadline = Instant::now() + PATIENCE;
    let shout = stage
        .shouter
        .shout(&"ada".into(), "ﬁ e\u{301}ß".to_owned(), Caching::Usual, deadline)
        .await;
    assert_eq!(&*shout.expect("a shout").text, "ßE\u{301} ﬁ");
}
