//! Fresh, stale and expired results.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::{
    BYPASSED, CALLED, CacheMode, Call, Cause, Fixture, Forward, MILLISECOND, SECOND, STALE, Source, TTL,
    config_with, failures, result, unavailable,
};
use crate::config::Fallback;

#[tokio::test(start_paused = true)]
async fn a_fresh_result_is_served_from_the_cache() {
    let fixture = Fixture::new();
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    advance(TTL - MILLISECOND).await;
    assert_eq!(fixture.source(CacheMode::Default).await, Source::Cache);
    assert_eq!(fixture.upstream.calls(), 1);
    advance(MILLISECOND).await;
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED, "renewed");
    assert_eq!(fixture.source(CacheMode::Default).await, Source::Cache);
    assert_eq!(fixture.upstream.calls(), 2);
    assert_eq!(fixture.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_empty_text_needs_no_call() {
    for capacity in [0, 1 << 20] {
        let fixture = Fixture::with_config(&config_with(|config| config.cache.capacity = capacity));
        let deadline = Instant::now();
        let shout = fixture
            .service
            .shout(&"ada".into(), String::new(), CacheMode::Default, deadline)
            .await;
        let shout = shout.expect("a shout");
        assert_eq!(
            (&*shout.text, shout.source, shout.upstream),
            ("", Source::Empty, None)
        );
        assert_eq!(fixture.upstream.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_not_cached() {
    for failure in failures() {
        let fixture = Fixture::new();
        fixture.upstream.then([Call::Fails(failure.clone())]);
        assert_eq!(fixture.error(CacheMode::Default).await, Cause::Upstream(failure));
        assert_eq!(fixture.in_flight(), 0);
        assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_result_replaces_every_upstream_error_until_it_expires() {
    for failure in failures() {
        let fixture = Fixture::new();
        assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
        for wait in [TTL, STALE - MILLISECOND] {
            advance(wait).await;
            fixture.upstream.then([Call::Fails(failure.clone())]);
            assert_eq!(
                fixture.source(CacheMode::Default).await,
                Source::Stale,
                "{failure}"
            );
        }
        advance(MILLISECOND).await;
        fixture.upstream.then([Call::Fails(failure.clone())]);
        assert_eq!(fixture.error(CacheMode::Default).await, Cause::Upstream(failure));
        assert_eq!(fixture.upstream.calls(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_result_that_expires_during_the_call_is_not_served() {
    let fixture = Fixture::new();
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    advance(TTL + STALE - SECOND).await;
    fixture.upstream.then([Call::FailsAfter(SECOND, unavailable())]);
    assert_eq!(
        fixture.error(CacheMode::Default).await,
        Cause::Upstream(unavailable())
    );
}

#[tokio::test(start_paused = true)]
async fn leader_and_follower_get_the_stale_result() {
    let fixture = Fixture::new();
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    advance(TTL).await;
    fixture.upstream.then([Call::FailsAfter(SECOND, unavailable())]);
    let (first, second) = (fixture.start().await, fixture.start().await);
    assert_eq!(result(first).await, Ok(Source::Stale));
    assert_eq!(result(second).await, Ok(Source::Stale));
    assert_eq!(fixture.upstream.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_past_its_deadline_gets_the_stale_result() {
    let fixture = Fixture::new();
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    advance(TTL).await;
    fixture.upstream.then([Call::Hangs]);
    let early = fixture.request_as("ada", CacheMode::Default, SECOND).await;
    assert_eq!(early.expect("a shout").source, Source::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_not_replaced_by_a_stale_result_or_the_fallback() {
    let fixture = Fixture::with_config(&config_with(|config| config.fallback = Fallback::Local));
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    advance(TTL).await;
    fixture.upstream.then([Call::PanicsAfter(SECOND)]);
    assert_eq!(fixture.error(CacheMode::Default).await, Cause::Panicked);
}

#[tokio::test(start_paused = true)]
async fn with_a_ttl_of_zero_every_request_calls_and_an_error_gets_the_stale_result() {
    let fixture = Fixture::with_config(&config_with(|config| config.cache.ttl = Duration::ZERO));
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    fixture.upstream.then([Call::Fails(unavailable())]);
    assert_eq!(fixture.source(CacheMode::Default).await, Source::Stale);
    assert_eq!(fixture.upstream.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn calls_are_shared_without_caching() {
    let fixture = Fixture::with_config(&config_with(|config| {
        config.cache.ttl = Duration::ZERO;
        config.cache.stale_if_error = Duration::ZERO;
    }));
    fixture.upstream.then([Call::SucceedsAfter(SECOND)]);
    let (first, second) = (fixture.start().await, fixture.start().await);
    let not_stored = Source::Upstream {
        forward: Forward::Miss,
        stored: false,
    };
    assert_eq!(result(first).await, Ok(not_stored));
    assert_eq!(result(second).await, Ok(Source::Coalesced));
    assert_eq!(fixture.source(CacheMode::Default).await, not_stored);
    assert_eq!(fixture.upstream.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn with_a_capacity_of_zero_nothing_is_cached_or_shared() {
    let fixture = Fixture::with_config(&config_with(|config| config.cache.capacity = 0));
    fixture
        .upstream
        .then([Call::SucceedsAfter(SECOND), Call::SucceedsAfter(SECOND)]);
    let (first, second) = (fixture.start().await, fixture.start().await);
    assert_eq!(fixture.upstream.calls(), 2);
    assert_eq!(result(first).await, Ok(BYPASSED));
    assert_eq!(result(second).await, Ok(BYPASSED));
    for cache_mode in [CacheMode::Default, CacheMode::Reload, CacheMode::NoStore] {
        assert_eq!(fixture.source(cache_mode).await, BYPASSED);
    }
    assert_eq!(fixture.upstream.calls(), 5);
    fixture.upstream.then([Call::Fails(unavailable())]);
    let error = fixture
        .request(CacheMode::Default)
        .await
        .expect_err("no stale entry");
    assert_eq!((error.forward, error.collapsed), (Forward::Bypass, false));
}
