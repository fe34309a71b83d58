//! How many calls are under way at once, and what happens to the others.

use std::time::Duration;

use tokio::time::Instant;

use super::app_with;
use super::script::{Part, Script};
use crate::support::clock::Paced;
use crate::support::{App, assert_problem, until};

const TWO_AND_THREE: [(&str, &str); 2] = [("SHOUTCLOUD_MAX_CONCURRENCY", "2"), ("SHOUTCLOUD_MAX_QUEUE", "3")];

type Asked = tokio::task::JoinHandle<reqwest::Result<reqwest::Response>>;

fn ask(app: &App, number: usize) -> Vec<Asked> {
    (0..number)
        .map(|_| tokio::spawn(app.shout("hi").send()))
        .collect()
}

async fn answer(asked: Asked) -> reqwest::Response {
    asked.await.expect("no panic").expect("an answer")
}

#[tokio::test]
async fn two_are_called_three_wait_and_the_rest_is_refused_at_once() {
    let script = Script::start([Part::DrippedShout {
        pause: Duration::from_millis(20),
    }])
    .await;
    let app = app_with(&script.server, &TWO_AND_THREE).await;
    let _clock = Paced::start();
    let asked = ask(&app, 7);
    let (mut shouts, mut refused) = (0, 0);
    for asked in asked {
        let response = answer(asked).await;
        if response.status() == 200 {
            shouts += 1;
            continue;
        }
        assert_eq!(response.headers()["retry-after"], "1");
        assert_problem(response, 503, "overloaded").await;
        refused += 1;
    }
    assert_eq!((shouts, refused), (5, 2));
    assert_eq!(script.most_at_once(), 2);
    assert_eq!(script.attempts().len(), 5);
    script.then([Part::Shout]);
    for asked in ask(&app, 5) {
        assert_eq!(answer(asked).await.status(), 200, "the places are free again");
    }
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_overload_and_one_that_passes_in_a_call_is_not() {
    let script = Script::start([Part::Stall]).await;
    let mut variables = TWO_AND_THREE.to_vec();
    variables.extend([
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "3s"),
        ("SHOUTCLOUD_DEADLINE", "3s"),
    ]);
    let app = app_with(&script.server, &variables).await;
    let _clock = Paced::start();
    let began = Instant::now();
    let called = ask(&app, 2);
    until("two are under way", async || script.under_way() == 2).await;
    // Later than those, so that their places do not come free before this one's deadline.
    script.then([Part::Stall]);
    let waiting = ask(&app, 3);
    let mut names = Vec::new();
    for asked in called {
        assert_problem(answer(asked).await, 504, "upstream-timeout").await;
    }
    assert!(began.elapsed() >= Duration::from_secs(3));
    for asked in waiting {
        let response = answer(asked).await;
        names.push((
            response.status().as_u16(),
            response.headers().contains_key("retry-after"),
        ));
    }
    // The places of the first two come free as the deadlines of the others pass: two may be called, the third is not.
    assert!(names.contains(&(503, true)), "{names:?}");
    assert!(
        names
            .iter()
            .all(|name| [(503, true), (504, false)].contains(name)),
        "{names:?}"
    );
}

#[tokio::test]
async fn clients_that_leave_the_queue_free_their_places() {
    let script = Script::start([Part::Stall]).await;
    let app = app_with(&script.server, &TWO_AND_THREE).await;
    let held = ask(&app, 2);
    until("two are under way", async || script.under_way() == 2).await;
    for _ in 0..3 {
        let leaving = ask(&app, 3);
        until("the queue is full", async || {
            let response = app.shout("hi").send().await.expect("an answer");
            response.status() == 503
        })
        .await;
        for asked in leaving {
            asked.abort();
        }
    }
    script.then([Part::Shout]);
    for asked in held {
        asked.abort();
    }
    until("there is room again", async || {
        app.shout("hi").send().await.expect("an answer").status() == 200
    })
    .await;
}

#[tokio::test]
async fn an_open_breaker_answers_at_once_though_the_queue_is_full() {
    let script = Script::start([Part::status("500 s3cret")]).await;
    let variables = [
        ("SHOUTCLOUD_MAX_CONCURRENCY", "1"),
        ("SHOUTCLOUD_MAX_QUEUE", "0"),
        ("BREAKER_MIN_CALLS", "2"),
    ];
    let app = app_with(&script.server, &variables).await;
    let _clock = Paced::start();
    assert_eq!(app.shout("hi").send().await.expect("an answer").status(), 503);
    // The second failure opens the breaker; its call is over by then. A place is held by hand through a stalled call.
    script.then([Part::Stall]);
    let held = ask(&app, 1);
    until("one is under way", async || script.under_way() == 1).await;
    let response = app.shout("hi").send().await.expect("an answer");
    assert_problem(response, 503, "overloaded").await;
    assert_eq!(answer(held.into_iter().next().expect("one")).await.status(), 503);
    let response = app.shout("hi").send().await.expect("an answer");
    assert_problem(response, 503, "upstream-unavailable").await;
}
