//! Rate limits per client and user.

use reqwest::Response;
use serde_json::json;

use crate::support::{App, assert_problem};

const BURST_OF_TWO: [(&str, &str); 2] = [("RATE_LIMIT_PER_CLIENT", "1/h"), ("RATE_LIMIT_BURST", "2")];

async fn shout(app: &App, token: &str) -> Response {
    app.shout_with(token, "hi").send().await.expect("a response")
}

/// Returns `r` and `t` of `ratelimit`; asserts that it has the draft's format.
fn remaining(response: &Response) -> (u64, u64) {
    assert_eq!(response.headers()["ratelimit-policy"], "\"client\";q=2;w=7200");
    let limit = response.headers()["ratelimit"].to_str().expect("ASCII");
    let (r, t) = limit
        .strip_prefix("\"client\";r=")
        .and_then(|rest| rest.split_once(";t="))
        .unwrap_or_else(|| panic!("{limit}"));
    (r.parse().expect("a number"), t.parse().expect("a number"))
}

#[tokio::test]
async fn requests_over_the_burst_are_429_with_retry_after() {
    let app = App::start(&[BURST_OF_TWO[0], BURST_OF_TWO[1], ("CACHE_CAPACITY", "0")]).await;
    let token = app.cognito.token();
    let first = shout(&app, &token).await;
    assert_eq!((first.status().as_u16(), remaining(&first)), (200, (1, 3600)));
    let second = shout(&app, &token).await;
    assert_eq!(second.status(), 200);
    let (requests, full_in) = remaining(&second);
    assert_eq!(requests, 0);
    assert!((3601..=7200).contains(&full_in), "{full_in}");
    for _ in 0..2 {
        let third = shout(&app, &token).await;
        assert_eq!(remaining(&third).0, 0);
        let wait: u64 = third.headers()["retry-after"]
            .to_str()
            .expect("ASCII")
            .parse()
            .expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
        assert_problem(third, 429, "rate-limited").await;
    }
    assert_eq!(app.shoutcloud.calls(), 2);
    let client = format!("client_id=\"{}\"", app.cognito.client().id);
    assert_eq!(
        app.metric("shoutback_quota_requests_total", &[&client]).await,
        4.0
    );
    assert_eq!(app.metric("shoutback_rate_limited_total", &[&client]).await, 2.0);
}

#[tokio::test]
async fn a_new_token_has_the_quota_of_its_client() {
    let app = App::start(&BURST_OF_TWO).await;
    for status in [200, 200, 429] {
        assert_eq!(shout(&app, &app.cognito.token()).await.status(), status);
    }
}

#[tokio::test]
async fn every_client_and_every_user_has_a_separate_quota() {
    let app = App::start(&[
        BURST_OF_TWO[0],
        BURST_OF_TWO[1],
        ("COGNITO_CLIENT_IDS", "one,two,lonely"),
    ])
    .await;
    let token =
        |client: &str, sub: &str| app.token_with(&[("client_id", json!(client)), ("sub", json!(sub))]);
    for (client, sub) in [
        ("one", "one"),
        ("two", "two"),
        ("one", "ada"),
        ("one", "bob"),
        ("two", "ada"),
    ] {
        let token = token(client, sub);
        for status in [200, 200, 429] {
            assert_eq!(shout(&app, &token).await.status(), status, "{client} {sub}");
        }
    }
    assert_eq!(shout(&app, &token("lonely", "lonely")).await.status(), 200);
}

#[tokio::test]
async fn ratelimit_headers_are_sent_once_the_quota_was_checked() {
    let app = App::start(&BURST_OF_TWO).await;
    let user = |sub: &str| app.token_with(&[("sub", json!(sub))]);
    let forbidden = app.token_with(&[("scope", json!("openid"))]);
    let post = |token: String| app.post().bearer_auth(token);
    for (request, status, has_headers) in [
        (post(user("a")).header("content-type", "text/html"), 415, true),
        (
            app.shout_with(&user("b"), "hi").header("accept", "image/png"),
            406,
            true,
        ),
        (app.shout_with(&user("c"), "hi").body(&b"\xff"[..]), 400, true),
        (app.shout_with(&user("d"), ""), 200, true),
        (app.shout_with("bad", "hi"), 401, false),
        (app.shout_with(&forbidden, "hi"), 403, false),
        (app.shout(&"a".repeat(70_000)), 413, false),
        (app.client.get(format!("http://{}/v1", app.public)), 405, false),
        (app.client.get(format!("http://{}/docs", app.public)), 200, false),
    ] {
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), status);
        for header in ["ratelimit", "ratelimit-policy"] {
            assert_eq!(
                response.headers().contains_key(header),
                has_headers,
                "{status} {header}"
            );
        }
        if has_headers {
            assert_eq!(remaining(&response).0, 1, "{status}");
        }
    }
    // The requests without the headers have not used the client's quota.
    assert_eq!(remaining(&shout(&app, &app.cognito.token()).await), (1, 3600));
}

#[tokio::test]
async fn without_a_rate_limit_no_headers_are_sent() {
    let app = App::start(&[("RATE_LIMIT_PER_CLIENT", "off"), ("RATE_LIMIT_BURST", "1")]).await;
    for _ in 0..5 {
        let response = shout(&app, &app.cognito.token()).await;
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("ratelimit"));
        assert!(!response.headers().contains_key("ratelimit-policy"));
    }
}

#[tokio::test]
async fn the_default_burst_is_200_requests() {
    let app = App::start(&[("RATE_LIMIT_PER_CLIENT", "100/s")]).await;
    let response = shout(&app, &app.cognito.token()).await;
    assert_eq!(response.headers()["ratelimit-policy"], "\"client\";q=200;w=2");
}

#[tokio::test]
async fn without_authentication_all_requests_share_one_quota() {
    let app = App::start(&[BURST_OF_TWO[0], BURST_OF_TWO[1], ("AUTH_MODE", "disabled")]).await;
    let text = ("content-type", "text/plain");
    let without = app.post().header(text.0, text.1).body("hi");
    assert_eq!(without.send().await.expect("a response").status(), 200);
    assert_eq!(app.status_with("whatever").await, 200);
    assert_eq!(
        app.status_with(&app.token_with(&[("sub", json!("ada"))])).await,
        429
    );
    let anonymous = ["client_id=\"anonymous\""];
    assert_eq!(app.metric("shoutback_rate_limited_total", &anonymous).await, 1.0);
}
