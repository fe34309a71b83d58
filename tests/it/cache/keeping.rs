//! What is kept, for whom, and for how long.

use serde_json::json;

use super::{BYPASSED, Does, HIT, RENEWED, STORED, Upstream, app_with, assert_shout, cache_status, send};
use crate::support::{App, until};

#[tokio::test]
async fn a_text_is_asked_for_once_and_each_text_for_itself() {
    let app = App::start(&[]).await;
    assert_shout(app.shout("hi"), STORED).await;
    for _ in 0..3 {
        assert_shout(app.shout("hi"), HIT).await;
    }
    assert_eq!(app.shoutcloud.calls(), 1);
    for other in ["Hi", "hi ", "HI", "h"] {
        assert_eq!(cache_status(&send(app.shout(other)).await), STORED, "{other}");
    }
    assert_eq!(app.shoutcloud.calls(), 5);
}

#[tokio::test]
async fn both_forms_share_an_entry() {
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
    let again = send(as_json()).await;
    assert_eq!(cache_status(&again), HIT);
    assert_eq!(again.text().await.expect("UTF-8"), r#"{"data":"IH"}"#);
    assert_eq!(app.shoutcloud.calls(), 1);
}

#[tokio::test]
async fn what_one_client_asked_another_asks_anew_whoever_the_person_is() {
    let app = App::start(&[("COGNITO_CLIENT_IDS", "one,two")]).await;
    let as_client = |client: &str, sub: &str| {
        let token = app.token_with(&[("client_id", json!(client)), ("sub", json!(sub))]);
        app.shout_with(&token, "hi")
    };
    for client in ["one", "two"] {
        assert_shout(as_client(client, "ada"), STORED).await;
        assert_shout(as_client(client, "ada"), HIT).await;
        assert_shout(as_client(client, "bob"), HIT).await;
    }
    assert_eq!(app.shoutcloud.calls(), 2);
}

#[tokio::test]
async fn without_authentication_everybody_is_one_client() {
    let app = App::start(&[("AUTH_MODE", "disabled")]).await;
    assert_shout(app.shout_with("ada", "hi"), STORED).await;
    assert_shout(app.shout_with("bob", "hi"), HIT).await;
}

#[tokio::test]
async fn an_answer_is_given_while_the_upstream_is_dead() {
    let upstream = Upstream::start(Does::Shouts).await;
    let app = app_with(&upstream, &[]).await;
    assert_shout(app.shout("hi"), STORED).await;
    drop(upstream);
    assert_shout(app.shout("hi"), HIT).await;
    let other = send(app.shout("ho")).await;
    assert_eq!(other.status(), 503);
    assert_eq!(cache_status(&other), "shoutback; fwd=miss");
}

#[tokio::test]
async fn an_answer_grows_old() {
    let app = App::start(&[("CACHE_TTL", "50ms")]).await;
    assert_shout(app.shout("hi"), STORED).await;
    let renewed = async || cache_status(&send(app.shout("hi")).await) == STORED;
    until("it is asked for again", renewed).await;
    assert_eq!(app.shoutcloud.calls(), 2);
}

#[tokio::test]
async fn an_error_is_not_kept() {
    let upstream = Upstream::start(Does::Shouts).await;
    let app = app_with(&upstream, &[]).await;
    for (round, status) in [400, 503].into_iter().enumerate() {
        let text = format!("{status}");
        for again in 1..=2 {
            upstream.now(Does::Fails(status));
            let failed = send(app.shout(&text)).await;
            assert!(failed.status().is_server_error());
            assert_eq!(cache_status(&failed), "shoutback; fwd=miss");
            assert_eq!(upstream.calls(), 3 * round + again);
        }
        upstream.now(Does::Shouts);
        assert_eq!(cache_status(&send(app.shout(&text)).await), STORED);
    }
}

#[tokio::test]
async fn a_caller_may_want_a_new_answer_which_is_kept_for_others() {
    let app = App::start(&[]).await;
    let anew = |directive: &str| app.shout("hi").header("cache-control", directive);
    assert_shout(anew("no-cache"), RENEWED).await;
    assert_shout(app.shout("hi"), HIT).await;
    for (calls, directive) in (2..).zip(["no-cache", "max-age=0, No-Cache", "x=\"no-store, \", no-cache"]) {
        assert_shout(anew(directive), RENEWED).await;
        assert_eq!(app.shoutcloud.calls(), calls, "{directive}");
    }
    let two_lines = anew("max-age=0").header("cache-control", "no-cache");
    assert_shout(two_lines, RENEWED).await;
    for directive in [
        "max-age=0",
        "no-caches",
        "x=\"no-cache\"",
        "x=\"a, no-cache\"",
        "only-if-cached",
    ] {
        assert_shout(anew(directive), HIT).await;
    }
    assert_eq!(app.shoutcloud.calls(), 5);
}

#[tokio::test]
async fn a_caller_may_want_to_be_left_out() {
    let app = App::start(&[]).await;
    let off = || app.shout("hi").header("cache-control", "no-cache, no-store");
    assert_shout(off(), BYPASSED).await;
    assert_shout(app.shout("hi"), STORED).await;
    assert_shout(off(), BYPASSED).await;
    assert_eq!(app.shoutcloud.calls(), 3);
}

#[tokio::test]
async fn a_capacity_of_nothing_keeps_nothing() {
    let app = App::start(&[("CACHE_CAPACITY", "0")]).await;
    for calls in 1..=3 {
        assert_shout(app.shout("hi"), BYPASSED).await;
        assert_eq!(app.shoutcloud.calls(), calls);
    }
    let anew = app.shout("hi").header("cache-control", "no-cache");
    assert_shout(anew, BYPASSED).await;
}

#[tokio::test]
async fn what_does_not_fit_is_not_said_to_be_stored() {
    let app = App::start(&[("CACHE_CAPACITY", "10KiB")]).await;
    let long = "a".repeat(10_000);
    for request in [app.shout(&long), app.shout(&long)] {
        assert_eq!(cache_status(&send(request).await), "shoutback; fwd=miss");
    }
    let anew = app.shout(&long).header("cache-control", "no-cache");
    assert_eq!(cache_status(&send(anew).await), "shoutback; fwd=request");
    assert_shout(app.shout("hi"), STORED).await;
    assert_shout(app.shout("hi"), HIT).await;
}

#[tokio::test]
async fn old_answers_make_room_for_new_ones() {
    let app = App::start(&[("CACHE_CAPACITY", "10KiB")]).await;
    let texts: Vec<_> = (0..20).map(|number| format!("{number:0>1000}")).collect();
    for text in &texts {
        assert_eq!(cache_status(&send(app.shout(text)).await), STORED);
        assert_eq!(cache_status(&send(app.shout(text)).await), HIT);
    }
    let mut kept = 0;
    for text in &texts {
        let anew = send(app.shout(text)).await;
        kept += usize::from(cache_status(&anew) == HIT);
    }
    assert!(kept < 10, "{kept} of 20 texts of 1 KB in 10 KiB");
}

#[tokio::test]
async fn a_hit_costs_as_much_of_the_quota_as_a_call() {
    let app = App::start(&[("RATE_LIMIT_PER_CLIENT", "1/h"), ("RATE_LIMIT_BURST", "2")]).await;
    assert_shout(app.shout("hi"), STORED).await;
    assert_shout(app.shout("hi"), HIT).await;
    let third = send(app.shout("hi")).await;
    assert_eq!(third.status(), 429);
    assert_eq!(cache_status(&third), "shoutback");
    assert_eq!(app.shoutcloud.calls(), 1);
}

#[tokio::test]
async fn only_v1_speaks_of_the_cache() {
    let app = App::start(&[]).await;
    for path in ["/", "/docs", "/openapi.json", "/v2"] {
        let response = send(app.client.get(format!("http://{}{path}", app.public))).await;
        assert_eq!(response.headers().get("cache-status"), None, "{path}");
    }
}
