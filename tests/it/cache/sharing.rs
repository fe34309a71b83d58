//! Calls that are shared by those who ask the same at the same time.

use reqwest::{RequestBuilder, Response};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    BYPASSED, COLLAPSED, Does, HIT, RENEWED, STORED, Upstream, app_with, assert_shout, cache_status,
};
use crate::api::wire::Connection;
use crate::support::{App, until};

/// The time of a call is not what is tested here.
const LONG: [(&str, &str); 3] = [
    ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "50s"),
    ("SHOUTCLOUD_DEADLINE", "50s"),
    ("REQUEST_TIMEOUT", "60s"),
];

fn begin(request: RequestBuilder) -> JoinHandle<Response> {
    tokio::spawn(async move { request.send().await.expect("an answer") })
}

/// The shout of `hi` that was asked for, and how it was had.
async fn shouted(asking: JoinHandle<Response>) -> String {
    let response = asking.await.expect("no panic");
    assert_eq!(response.status(), 200);
    let status = cache_status(&response);
    assert_eq!(response.text().await.expect("UTF-8"), "IH");
    status
}

/// Waits until so many requests are being handled.
async fn active(app: &App, requests: usize) {
    let counted = async || {
        let active = app
            .metric("http_server_active_requests", &["http_request_method=\"POST\""])
            .await;
        active == requests as f64
    };
    until(&format!("{requests} requests"), counted).await;
}

#[tokio::test]
async fn a_hundred_equal_requests_are_one_call() {
    let upstream = Upstream::start(Does::Waits).await;
    let app = app_with(&upstream, &LONG).await;
    let token = app.cognito.token();
    let asking: Vec<_> = (0..100).map(|_| begin(app.shout_with(&token, "hi"))).collect();
    active(&app, 100).await;
    upstream.now(Does::Shouts);
    let mut statuses = Vec::new();
    for one in asking {
        statuses.push(shouted(one).await);
    }
    let count = |wanted: &str| statuses.iter().filter(|status| *status == wanted).count();
    assert_eq!(count(STORED), 1, "{statuses:?}");
    assert!(count(COLLAPSED) > 0, "{statuses:?}");
    // One that had not got as far as the others when the answer came finds it in the cache.
    assert_eq!(count(COLLAPSED) + count(HIT), 99, "{statuses:?}");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_call_goes_on_when_the_caller_that_began_it_is_gone() {
    let upstream = Upstream::start(Does::Waits).await;
    let app = app_with(&upstream, &LONG).await;
    let mut first = Connection::open(app.public).await;
    first
        .send(format!(
            "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: text/plain\r\n\
             content-length: 2\r\n\r\nhi",
            app.cognito.token()
        ))
        .await;
    upstream.called(1).await;
    let second = begin(app.shout("hi"));
    active(&app, 2).await;
    drop(first);
    active(&app, 1).await;
    upstream.now(Does::Shouts);
    let status = shouted(second).await;
    assert!([COLLAPSED, HIT].contains(&status.as_str()), "{status}");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_kept_for_the_next() {
    let upstream = Upstream::start(Does::Waits).await;
    let app = app_with(&upstream, &LONG).await;
    let only = begin(app.shout("hi"));
    upstream.called(1).await;
    only.abort();
    active(&app, 0).await;
    upstream.now(Does::Shouts);
    let next = shouted(begin(app.shout("hi"))).await;
    assert!([COLLAPSED, HIT].contains(&next.as_str()), "{next}");
    assert_shout(app.shout("hi"), HIT).await;
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn clients_do_not_share_calls() {
    let upstream = Upstream::start(Does::Waits).await;
    let mut variables = LONG.to_vec();
    variables.push(("COGNITO_CLIENT_IDS", "one,two"));
    let app = app_with(&upstream, &variables).await;
    let as_client = |client: &str| app.shout_with(&app.token_with(&[("client_id", json!(client))]), "hi");
    let both = [begin(as_client("one")), begin(as_client("two"))];
    upstream.called(2).await;
    upstream.now(Does::Shouts);
    for one in both {
        assert_eq!(shouted(one).await, STORED);
    }
}

#[tokio::test]
async fn without_a_capacity_calls_are_not_shared() {
    let upstream = Upstream::start(Does::Waits).await;
    let mut variables = LONG.to_vec();
    variables.push(("CACHE_CAPACITY", "0"));
    let app = app_with(&upstream, &variables).await;
    let both = [begin(app.shout("hi")), begin(app.shout("hi"))];
    upstream.called(2).await;
    upstream.now(Does::Shouts);
    for one in both {
        assert_eq!(shouted(one).await, BYPASSED);
    }
}

#[tokio::test]
async fn who_wants_a_call_of_its_own_neither_joins_nor_is_joined() {
    for (directive, own) in [("no-cache", RENEWED), ("no-store", BYPASSED)] {
        for own_first in [false, true] {
            let upstream = Upstream::start(Does::Waits).await;
            let app = app_with(&upstream, &LONG).await;
            let usual = || begin(app.shout("hi"));
            let alone = || begin(app.shout("hi").header("cache-control", directive));
            let first = if own_first { alone() } else { usual() };
            upstream.called(1).await;
            let second = if own_first { usual() } else { alone() };
            upstream.called(2).await;
            upstream.now(Does::Shouts);
            let (usual, alone) = if own_first {
                (second, first)
            } else {
                (first, second)
            };
            assert_eq!(shouted(usual).await, STORED, "{directive}");
            assert_eq!(shouted(alone).await, own, "{directive}");
        }
    }
}

#[tokio::test]
async fn a_call_of_its_own_ends_with_its_caller() {
    let upstream = Upstream::start(Does::Waits).await;
    let app = app_with(&upstream, &LONG).await;
    let alone = begin(app.shout("hi").header("cache-control", "no-cache"));
    upstream.called(1).await;
    alone.abort();
    active(&app, 0).await;
    upstream.now(Does::Shouts);
    assert_shout(app.shout("hi"), STORED).await;
    assert_eq!(upstream.calls(), 2);
}
