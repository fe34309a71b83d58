//! What failing costs SHOUTCLOUD.

use tokio::task::JoinSet;

use super::app_with;
use super::script::{Part, Script};
use crate::support::App;
use crate::support::clock::Paced;

const NO_BREAKER: (&str, &str) = ("BREAKER_MIN_CALLS", "1000000000");

/// The statuses of so many distinct texts, 50 at a time.
async fn shout_many(app: &App, number: usize) -> Vec<u16> {
    let mut requests = JoinSet::new();
    let mut statuses = Vec::new();
    for index in 0..number {
        if requests.len() == 50 {
            statuses.extend(requests.join_next().await);
        }
        let request = app.shout(&format!("text {index}"));
        requests.spawn(async { request.send().await.expect("an answer").status().as_u16() });
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
async fn a_thousand_calls_that_all_fail_cost_at_most_a_fifth_and_ten_attempts_more() {
    let script = Script::start([Part::status("500 s3cret")]).await;
    let app = app_with(&script.server, &[("SHOUTCLOUD_MAX_RETRIES", "3"), NO_BREAKER]).await;
    let _clock = Paced::start();
    let statuses = shout_many(&app, 1_000).await;
    assert!(statuses.iter().all(|status| *status == 503));
    let attempts = script.attempts().len();
    assert!(attempts <= 1_210, "{attempts}");
    // What was earned was spent, but for less than one retry.
    assert!(attempts >= 1_200, "{attempts}");
}

#[tokio::test]
async fn without_reserve_nothing_is_tried_again_and_with_a_greater_one_more_is() {
    for (reserve, budget, expected) in [("0", "20%", 100), ("5", "0%", 105), ("1000", "0", 400)] {
        let script = Script::start([Part::status("500 s3cret")]).await;
        let app = app_with(
            &script.server,
            &[
                ("SHOUTCLOUD_MAX_RETRIES", "3"),
                ("SHOUTCLOUD_RETRY_RESERVE", reserve),
                ("SHOUTCLOUD_RETRY_BUDGET", budget),
                NO_BREAKER,
            ],
        )
        .await;
        let _clock = Paced::start();
        shout_many(&app, 100).await;
        assert_eq!(script.attempts().len(), expected, "{reserve} {budget}");
    }
}

#[tokio::test]
async fn a_tenth_of_failing_attempts_is_hidden() {
    let good = || std::iter::repeat_n(Part::Shout, 9);
    let parts = (0..100).flat_map(|_| good().chain([Part::status("503 s3cret")]));
    let script = Script::start(parts.chain([Part::Shout])).await;
    let app = app_with(&script.server, &[("SHOUTCLOUD_MAX_RETRIES", "3"), NO_BREAKER]).await;
    let _clock = Paced::start();
    let statuses = shout_many(&app, 900).await;
    assert!(statuses.iter().all(|status| *status == 200));
    // The last of a thousand would have been a failure.
    assert_eq!(script.attempts().len(), 999);
}
