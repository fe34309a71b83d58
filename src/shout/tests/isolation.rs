//! Requests that bypass the cache, and isolation of clients from each other.

use std::sync::atomic::Ordering;

use tokio::time::{advance, sleep};

use super::{
    BYPASSED, CALLED, CacheMode, Call, Cause, Fixture, Forward, RELOADED, SECOND, Source, TIMEOUT, TTL,
    result, unavailable,
};

#[tokio::test(start_paused = true)]
async fn reload_neither_reads_nor_shares_but_stores() {
    let fixture = Fixture::new();
    fixture
        .upstream
        .then([Call::SucceedsAfter(SECOND), Call::SucceedsAfter(SECOND)]);
    let default = fixture.start().await;
    let reload = fixture.start_as("ada", CacheMode::Reload, 2 * TIMEOUT).await;
    assert_eq!((fixture.upstream.calls(), fixture.in_flight()), (2, 1));
    assert_eq!(result(default).await, Ok(CALLED));
    assert_eq!(result(reload).await, Ok(RELOADED));
    assert_eq!(
        fixture.source(CacheMode::Reload).await,
        RELOADED,
        "not read from the cache"
    );
    assert_eq!(fixture.upstream.calls(), 3);

    advance(TTL).await;
    fixture
        .upstream
        .then([Call::SucceedsAfter(SECOND), Call::SucceedsAfter(SECOND)]);
    let reload = fixture.start_as("ada", CacheMode::Reload, 2 * TIMEOUT).await;
    let default = fixture.start().await;
    assert_eq!(fixture.upstream.calls(), 5, "not shared");
    assert_eq!(
        (result(reload).await, result(default).await),
        (Ok(RELOADED), Ok(CALLED))
    );

    advance(TTL).await;
    assert_eq!(fixture.source(CacheMode::Reload).await, RELOADED);
    assert_eq!(
        fixture.source(CacheMode::Default).await,
        Source::Cache,
        "stored by the reload"
    );
    assert_eq!(fixture.upstream.calls(), 6);

    advance(TTL).await;
    fixture.upstream.then([Call::Fails(unavailable())]);
    let error = fixture
        .request(CacheMode::Reload)
        .await
        .expect_err("a stale result is not served to a reload");
    assert_eq!((error.forward, error.collapsed), (Forward::Request, false));
    fixture.upstream.then([Call::Fails(unavailable())]);
    assert_eq!(
        fixture.source(CacheMode::Default).await,
        Source::Stale,
        "the stale entry is still stored"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_replaced_by_a_result_that_was_stored_in_the_meantime() {
    let fixture = Fixture::new();
    fixture
        .upstream
        .then([Call::FailsAfter(SECOND, unavailable()), Call::Succeeds]);
    let default = fixture.start().await;
    assert_eq!(fixture.source(CacheMode::Reload).await, RELOADED);
    assert_eq!(result(default).await, Ok(Source::Coalesced));
}

#[tokio::test(start_paused = true)]
async fn no_store_neither_reads_shares_nor_stores() {
    let fixture = Fixture::new();
    assert_eq!(fixture.source(CacheMode::NoStore).await, BYPASSED);
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED, "not stored");
    assert_eq!(fixture.source(CacheMode::NoStore).await, BYPASSED, "not read");
    assert_eq!(fixture.upstream.calls(), 3);
    advance(TTL).await;
    fixture
        .upstream
        .then([Call::SucceedsAfter(SECOND), Call::SucceedsAfter(SECOND)]);
    let (default, no_store) = (
        fixture.start().await,
        fixture.start_as("ada", CacheMode::NoStore, 2 * TIMEOUT).await,
    );
    assert_eq!(fixture.upstream.calls(), 5);
    assert_eq!(
        (result(default).await, result(no_store).await),
        (Ok(CALLED), Ok(BYPASSED))
    );
    advance(TTL).await;
    fixture.upstream.then([Call::Fails(unavailable())]);
    assert_eq!(
        fixture.error(CacheMode::NoStore).await,
        Cause::Upstream(unavailable())
    );
}

#[tokio::test(start_paused = true)]
async fn a_direct_call_is_cancelled_with_its_request() {
    for cache_mode in [CacheMode::Reload, CacheMode::NoStore] {
        let fixture = Fixture::new();
        fixture.upstream.then([Call::SucceedsAfter(SECOND)]);
        let request = fixture.start_as("ada", cache_mode, 2 * TIMEOUT).await;
        assert_eq!(fixture.upstream.calls(), 1);
        request.abort();
        sleep(2 * SECOND).await;
        assert_eq!(fixture.upstream.ended.load(Ordering::SeqCst), 0);
        assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_share_neither_calls_nor_entries() {
    let fixture = Fixture::new();
    fixture
        .upstream
        .then([Call::SucceedsAfter(SECOND), Call::SucceedsAfter(SECOND)]);
    let ada = fixture.start_as("ada", CacheMode::Default, TIMEOUT).await;
    let bob = fixture.start_as("bob", CacheMode::Default, TIMEOUT).await;
    assert_eq!((fixture.upstream.calls(), fixture.in_flight()), (2, 2));
    assert_eq!((result(ada).await, result(bob).await), (Ok(CALLED), Ok(CALLED)));
    let eve = fixture.request_as("eve", CacheMode::Default, TIMEOUT).await;
    assert_eq!(
        eve.expect("a shout").source,
        CALLED,
        "no hit on the entry of another client"
    );
    advance(TTL).await;
    fixture.upstream.then([Call::Fails(unavailable())]);
    let mallory = fixture.request_as("mallory", CacheMode::Default, TIMEOUT).await;
    assert!(mallory.is_err(), "no stale entry of another client");
}
