//! What is kept: fresh, then better than an error, then gone.

use std::time::Duration;

use tokio::time::Instant;
use tokio::time::advance;

use super::{
    Caching, Call, Cause, Forward, MADE, MILLISECOND, PASSED_BY, SECOND, STALE, Source, Stage, TTL,
    config_with, end, failures, unavailable,
};
use crate::config::Fallback;

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
            ("", Source::Unneeded, None)
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
