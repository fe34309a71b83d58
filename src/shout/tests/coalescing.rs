//! Equal requests share one call.

use std::time::Duration;

use tokio::time::{Instant, advance, sleep};

use super::{
    CALLED, CacheMode, Call, Cause, Fixture, Forward, MILLISECOND, SECOND, Source, TIMEOUT, TTL, failures,
    result, settle,
};
use crate::shout::MIN_TIME_FOR_RESTART;
use crate::shoutcloud;

#[tokio::test(start_paused = true)]
async fn equal_requests_share_one_call() {
    let fixture = Fixture::new();
    fixture.upstream.then([Call::SucceedsAfter(SECOND)]);
    let mut requests = Vec::new();
    for _ in 0..100 {
        requests.push(fixture.start().await);
    }
    assert_eq!((fixture.upstream.calls(), fixture.in_flight()), (1, 1));
    let mut sources = Vec::new();
    for request in requests {
        sources.push(result(request).await.expect("a shout"));
    }
    assert_eq!(sources[0], CALLED);
    assert!(sources[1..].iter().all(|source| *source == Source::Coalesced));
    assert_eq!((fixture.upstream.calls(), fixture.in_flight()), (1, 0));
    assert_eq!(fixture.source(CacheMode::Default).await, Source::Cache);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_race_with_the_end_of_a_call_start_no_second_one() {
    let fixture = Fixture::new();
    const TEXTS: usize = 2_000;
    for number in 0..TEXTS {
        let requests: Vec<_> = (0..4)
            .map(|_| {
                let service = fixture.service.clone();
                tokio::spawn(async move {
                    let deadline = Instant::now() + TIMEOUT;
                    service
                        .shout(&"ada".into(), number.to_string(), CacheMode::Default, deadline)
                        .await
                })
            })
            .collect();
        for request in requests {
            request.await.expect("no panic").expect("a shout");
        }
        assert_eq!(fixture.upstream.calls(), number + 1);
    }
    assert_eq!(fixture.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shared() {
    for failure in failures() {
        let fixture = Fixture::new();
        fixture.upstream.then([Call::FailsAfter(SECOND, failure.clone())]);
        let (first, second) = (fixture.start().await, fixture.start().await);
        let second = second.await.expect("no panic").expect_err("no shout");
        assert_eq!(second.cause, Cause::Upstream(failure.clone()));
        assert_eq!((second.forward, second.collapsed), (Forward::Miss, true));
        let first = first.await.expect("no panic").expect_err("no shout");
        assert_eq!(first.cause, Cause::Upstream(failure));
        assert_eq!((first.forward, first.collapsed), (Forward::Miss, false));
        assert_eq!(fixture.upstream.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_outlives_its_leader_and_all_followers() {
    let fixture = Fixture::new();
    fixture.upstream.then([Call::SucceedsAfter(SECOND)]);
    let (first, second) = (fixture.start().await, fixture.start().await);
    first.abort();
    assert_eq!(result(second).await, Ok(Source::Coalesced));
    assert_eq!(fixture.upstream.calls(), 1);

    advance(TTL).await;
    fixture.upstream.then([Call::SucceedsAfter(SECOND)]);
    let only = fixture.start().await;
    only.abort();
    settle().await;
    assert_eq!(fixture.in_flight(), 1);
    sleep(SECOND + MILLISECOND).await;
    assert_eq!(fixture.in_flight(), 0);
    assert_eq!(fixture.source(CacheMode::Default).await, Source::Cache);
    assert_eq!(fixture.upstream.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_request_waits_until_its_own_deadline() {
    let fixture = Fixture::new();
    fixture.upstream.then([Call::SucceedsAfter(4 * SECOND)]);
    let started = Instant::now();
    let early_leader = fixture.start_as("ada", CacheMode::Default, SECOND).await;
    let late_follower = fixture.start().await;
    let early_follower = fixture.start_as("ada", CacheMode::Default, 2 * SECOND).await;
    // `Overloaded`, because the scripted upstream does not report that the call has left the queue.
    assert_eq!(
        result(early_leader).await,
        Err(Cause::Upstream(shoutcloud::Error::Overloaded))
    );
    assert_eq!(started.elapsed().as_secs(), 1);
    assert_eq!(
        result(early_follower).await,
        Err(Cause::Upstream(shoutcloud::Error::Overloaded))
    );
    assert_eq!(started.elapsed().as_secs(), 2);
    assert_eq!(result(late_follower).await, Ok(Source::Coalesced));
    assert_eq!(started.elapsed().as_secs(), 4);
    assert_eq!(fixture.upstream.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_longer_than_the_timeout() {
    let fixture = Fixture::new();
    fixture.upstream.then([Call::Hangs, Call::Hangs]);
    let started = Instant::now();
    let first = fixture
        .start_as("ada", CacheMode::Default, Duration::from_secs(600))
        .await;
    sleep(3 * SECOND).await;
    let second = fixture
        .start_as("ada", CacheMode::Default, Duration::from_secs(600))
        .await;
    assert!(result(first).await.is_err());
    assert_eq!(started.elapsed().as_secs(), 5);
    assert!(result(second).await.is_err());
    assert_eq!(started.elapsed().as_secs(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_follower_with_time_left_restarts_a_call_that_timed_out() {
    for (slow, error) in [
        (Call::Hangs, shoutcloud::Error::DeadlinePassed),
        (Call::Queues, shoutcloud::Error::Overloaded),
    ] {
        let fixture = Fixture::new();
        fixture.upstream.then([slow, Call::SucceedsAfter(SECOND)]);
        let started = Instant::now();
        let first = fixture.start().await;
        sleep(2 * SECOND).await;
        let followers = [
            fixture.start().await,
            fixture.start().await,
            fixture.start().await,
        ];
        // Either the leader or its call times out first.
        let cause = result(first).await.expect_err("no shout");
        assert!(
            [error, shoutcloud::Error::Overloaded]
                .map(Cause::Upstream)
                .contains(&cause),
            "{cause}"
        );
        assert_eq!(started.elapsed().as_secs(), 5);
        let mut sources = Vec::new();
        for request in followers {
            sources.push(result(request).await.expect("a shout"));
        }
        assert_eq!(started.elapsed().as_secs(), 6);
        let leaders = sources.iter().filter(|source| **source == CALLED);
        assert_eq!(leaders.count(), 1, "{sources:?}");
        assert_eq!((fixture.upstream.calls(), fixture.in_flight()), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_with_little_time_left_does_not_restart() {
    let fixture = Fixture::new();
    fixture.upstream.then([Call::Hangs]);
    let first = fixture.start().await;
    sleep(MIN_TIME_FOR_RESTART).await;
    let second = fixture.start().await;
    assert!(result(first).await.is_err());
    assert_eq!(
        result(second).await,
        Err(Cause::Upstream(shoutcloud::Error::DeadlinePassed))
    );
    settle().await;
    assert_eq!((fixture.upstream.calls(), fixture.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_leader_and_follower_at_once() {
    let fixture = Fixture::new();
    fixture.upstream.then([Call::PanicsAfter(SECOND)]);
    let (first, second) = (fixture.start().await, fixture.start().await);
    let started = Instant::now();
    assert_eq!(result(first).await, Err(Cause::Panicked));
    assert_eq!(result(second).await, Err(Cause::Panicked));
    assert_eq!(
        started.elapsed().as_secs(),
        1,
        "no request waits for its deadline"
    );
    assert_eq!(fixture.in_flight(), 0);
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
}
