//! Equal requests, one call.

use std::time::Duration;

use tokio::time::Instant;
use tokio::time::advance;
use tokio::time::sleep;

use super::{
    Caching, Call, Cause, Forward, MADE, MILLISECOND, PATIENCE, SECOND, Source, Stage, TTL, end, failures,
    settle,
};
use crate::shoutcloud;

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
