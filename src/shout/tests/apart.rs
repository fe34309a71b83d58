//! Requests that want to be left out, calls of one request only, and clients that must not meet.

use std::sync::atomic::Ordering;

use tokio::time::advance;
use tokio::time::sleep;

use super::{
    Caching, Call, Cause, Forward, MADE, MADE_ANEW, PASSED_BY, PATIENCE, SECOND, Source, Stage, TTL, end,
    unavailable,
};

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
