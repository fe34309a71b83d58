//! The local fallback.

use tokio::time::{Instant, advance};

use super::{
    CALLED, CacheMode, Call, Fixture, Forward, SECOND, Source, TIMEOUT, TTL, config_with, failures, result,
    unavailable,
};
use crate::config::Fallback;

#[tokio::test(start_paused = true)]
async fn the_fallback_replaces_every_upstream_error() {
    let fixture = Fixture::with_config(&config_with(|config| config.fallback = Fallback::Local));
    for failure in failures() {
        for (cache_mode, forward) in [
            (CacheMode::Default, Forward::Miss),
            (CacheMode::Reload, Forward::Request),
            (CacheMode::NoStore, Forward::Bypass),
        ] {
            fixture.upstream.then([Call::Fails(failure.clone())]);
            let calls = fixture.upstream.calls();
            // Fallback results are not cached, so each request calls.
            assert_eq!(fixture.source(cache_mode).await, Source::Fallback { forward });
            assert_eq!(fixture.upstream.calls(), calls + 1);
        }
    }
    fixture.upstream.then([Call::FailsAfter(SECOND, unavailable())]);
    let (first, second) = (fixture.start().await, fixture.start().await);
    let fallback = Ok(Source::Fallback {
        forward: Forward::Miss,
    });
    assert_eq!(
        (result(first).await, result(second).await),
        (fallback.clone(), fallback)
    );
}

#[tokio::test(start_paused = true)]
async fn the_fallback_needs_no_cache() {
    let fixture = Fixture::with_config(&config_with(|config| {
        config.fallback = Fallback::Local;
        config.cache.capacity = 0;
    }));
    fixture.upstream.then([Call::Fails(unavailable())]);
    let forward = Forward::Bypass;
    assert_eq!(
        fixture.source(CacheMode::Default).await,
        Source::Fallback { forward }
    );
}

#[tokio::test(start_paused = true)]
async fn a_stale_result_is_preferred_to_the_fallback() {
    let fixture = Fixture::with_config(&config_with(|config| config.fallback = Fallback::Local));
    assert_eq!(fixture.source(CacheMode::Default).await, CALLED);
    advance(TTL).await;
    fixture
        .upstream
        .then([Call::Fails(unavailable()), Call::Fails(unavailable())]);
    assert_eq!(fixture.source(CacheMode::Default).await, Source::Stale);
    let forward = Forward::Request;
    assert_eq!(
        fixture.source(CacheMode::Reload).await,
        Source::Fallback { forward }
    );
}

#[tokio::test(start_paused = true)]
async fn the_fallback_uses_the_simple_mapping() {
    let fixture = Fixture::with_config(&config_with(|config| config.fallback = Fallback::Local));
    fixture.upstream.then([Call::Fails(unavailable())]);
    let deadline = Instant::now() + TIMEOUT;
    let shout = fixture
        .service
        .shout(
            &"ada".into(),
            "ﬁ e\u{301}ß".to_owned(),
            CacheMode::Default,
            deadline,
        )
        .await;
    assert_eq!(&*shout.expect("a shout").text, "ßE\u{301} ﬁ");
}
