//! The retry budget.

use tokio::task::JoinSet;

use super::app_with;
use crate::support::App;
use crate::support::clock::PacedClock;
use crate::support::upstream::{FakeUpstream, Reply};

/// Returns the statuses of `number` shouts of different texts, sent 50 at a time.
async fn shout_many(app: &App, number: usize) -> Vec<u16> {
    let mut requests = JoinSet::new();
    let mut statuses = Vec::new();
    for index in 0..number {
        if requests.len() == 50 {
            statuses.extend(requests.join_next().await);
        }
        let request = app.shout(&format!("text {index}"));
        requests.spawn(async { request.send().await.expect("a response").status().as_u16() });
    }
    while let Some(status) = requests.join_next().await {
        statuses.push(status);
    }
    statuses
        .into_iter()
        .map(|status| status.expect("no panic"))
        .collect()
}

#[tokio::test]
async fn a_thousand_failing_calls_are_retried_by_a_fifth_and_ten_at_most() {
    let upstream = FakeUpstream::start([Reply::Status(500)]).await;
    let app = app_with(&upstream, &[("SHOUTCLOUD_MAX_RETRIES", "3")]).await;
    let _clock = PacedClock::start();
    let statuses = shout_many(&app, 1_000).await;
    assert!(statuses.iter().all(|status| *status == 503));
    let attempts = upstream.calls();
    assert!(attempts <= 1_210, "{attempts}");
    // All deposits were withdrawn, except for less than one retry.
    assert!(attempts >= 1_200, "{attempts}");
}

#[tokio::test]
async fn whatever_the_failure_attempts_stay_within_the_budget() {
    let truncated = Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec());
    for failure in [
        Reply::Reset(""),
        Reply::Bytes(Vec::new()),
        truncated,
        Reply::Status(429),
    ] {
        let upstream = FakeUpstream::start([failure.clone()]).await;
        // With as many retries as the configuration accepts, and the default budget.
        let app = app_with(&upstream, &[("SHOUTCLOUD_MAX_RETRIES", "100")]).await;
        let _clock = PacedClock::start();
        let statuses = shout_many(&app, 200).await;
        assert!(statuses.iter().all(|status| *status == 503), "{failure:?}");
        let attempts = upstream.calls();
        assert!((240..=250).contains(&attempts), "{failure:?}: {attempts}");
    }
}

#[tokio::test]
async fn without_a_reserve_nothing_is_retried_and_with_a_larger_one_more_is() {
    for (reserve, budget, expected) in [("0", "20%", 100), ("5", "0%", 105), ("1000", "0", 400)] {
        let upstream = FakeUpstream::start([Reply::Status(500)]).await;
        let app = app_with(
            &upstream,
            &[
                ("SHOUTCLOUD_MAX_RETRIES", "3"),
                ("SHOUTCLOUD_RETRY_RESERVE", reserve),
                ("SHOUTCLOUD_RETRY_BUDGET", budget),
            ],
        )
        .await;
        let _clock = PacedClock::start();
        shout_many(&app, 100).await;
        assert_eq!(upstream.calls(), expected, "{reserve} {budget}");
    }
}

#[tokio::test]
async fn retries_hide_failures_of_a_tenth_of_the_attempts() {
    let shouts = || std::iter::repeat_n(Reply::Shout, 9);
    let script = (0..100).flat_map(|_| shouts().chain([Reply::Status(503)]));
    let upstream = FakeUpstream::start(script.chain([Reply::Shout])).await;
    let app = app_with(&upstream, &[("SHOUTCLOUD_MAX_RETRIES", "3")]).await;
    let _clock = PacedClock::start();
    let statuses = shout_many(&app, 900).await;
    assert!(statuses.iter().all(|status| *status == 200));
    // The thousandth attempt would have failed.
    assert_eq!(upstream.calls(), 999);
}
