//! Capitals of our own.

use tokio::time::Instant;
use tokio::time::advance;

use super::{
    Caching, Call, Forward, MADE, PATIENCE, SECOND, Source, Stage, TTL, config_with, end, failures,
    unavailable,
};
use crate::config::Fallback;

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
