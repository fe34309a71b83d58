//! Fresh entries and requests that bypass them.

use serde_json::json;

use super::{BYPASSED, HIT, NOT_STORED, RELOADED, STALE_AT_ONCE, STORED, assert_shout, cache_status};
use crate::support::{App, send};

#[tokio::test]
async fn json_and_text_requests_share_an_entry() {
    let app = App::start(&[]).await;
    let as_json = || {
        app.post()
            .bearer_auth(app.cognito.token())
            .header("content-type", "application/json")
            .body(r#"{"data":"h\u0069"}"#)
    };
    let first = send(as_json()).await;
    assert_eq!(cache_status(&first), STORED);
    assert_eq!(first.text().await.expect("UTF-8"), r#"{"data":"IH"}"#);
    assert_shout(app.shout("hi"), HIT).await;
    let second = send(as_json()).await;
    assert_eq!(cache_status(&second), HIT);
    assert_eq!(second.text().await.expect("UTF-8"), r#"{"data":"IH"}"#);
    assert_eq!(app.shoutcloud.calls(), 1);
}

#[tokio::test]
async fn clients_do_not_share_entries_but_users_of_a_client_do() {
    let app = App::start(&[("COGNITO_CLIENT_IDS", "one,two")]).await;
    let request = |client: &str, sub: &str| {
        let token = app.token_with(&[("client_id", json!(client)), ("sub", json!(sub))]);
        app.shout_with(&token, "hi")
    };
    for client in ["one", "two"] {
        assert_shout(request(client, "ada"), STORED).await;
        assert_shout(request(client, "bob"), HIT).await;
    }
    assert_eq!(app.shoutcloud.calls(), 2);

    let app = App::start(&[("AUTH_MODE", "disabled")]).await;
    assert_shout(app.shout_with("ada", "hi"), STORED).await;
    assert_shout(app.shout_with("bob", "hi"), HIT).await;
}

#[tokio::test]
async fn no_cache_reloads_and_no_store_bypasses() {
    let app = App::start(&[]).await;
    let with = |directive: &str| app.shout("hi").header("cache-control", directive);
    assert_shout(with("no-store"), BYPASSED).await;
    assert_shout(with("no-cache"), RELOADED).await;
    assert_shout(with("max-age=0"), HIT).await;
    assert_shout(with("max-age=0").header("cache-control", "no-cache"), RELOADED).await;
    assert_shout(with("no-cache, no-store"), BYPASSED).await;
    assert_eq!(app.shoutcloud.calls(), 4);
}

#[tokio::test]
async fn a_result_that_is_not_stored_is_not_reported_as_stored() {
    let app = App::start(&[STALE_AT_ONCE, ("CACHE_STALE_IF_ERROR", "0ms")]).await;
    for _ in 0..2 {
        assert_shout(app.shout("hi"), NOT_STORED).await;
    }
    let reload = app.shout("hi").header("cache-control", "no-cache");
    assert_shout(reload, "shoutback; fwd=request").await;
}

#[tokio::test]
async fn a_hit_counts_against_the_quota() {
    let app = App::start(&[("RATE_LIMIT_PER_CLIENT", "1/h"), ("RATE_LIMIT_BURST", "2")]).await;
    assert_shout(app.shout("hi"), STORED).await;
    assert_shout(app.shout("hi"), HIT).await;
    let third = send(app.shout("hi")).await;
    assert_eq!(third.status(), 429);
    assert_eq!(cache_status(&third), "shoutback");
    assert_eq!(app.shoutcloud.calls(), 1);
}

#[tokio::test]
async fn other_paths_have_no_cache_status() {
    let app = App::start(&[]).await;
    for path in ["/", "/docs", "/openapi.json", "/v2"] {
        let response = send(app.client.get(format!("http://{}{path}", app.public))).await;
        assert_eq!(response.headers().get("cache-status"), None, "{path}");
    }
}
