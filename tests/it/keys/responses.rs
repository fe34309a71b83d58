//! Responses of the key server that are no key set, and requests without a response.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{FREQUENT_REFRESH, app_with, refreshes, token, until_a_fetch_has_failed};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY};
use crate::support::{App, POOL_ID, until};

/// Returns a key set with an attacker's key under the pool's `kid`: if accepted, the pool's tokens are rejected.
fn attacker_set() -> Value {
    json!({"keys": [MALLORY.jwk("ada")]})
}

async fn assert_old_keys_in_use(app: &App, case: &str) {
    assert_eq!(app.status_with(&token(app, &ADA, "ada")).await, 200, "{case}");
    assert_eq!(app.status_with(&token(app, &MALLORY, "ada")).await, 401, "{case}");
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 1.0, "{case}");
}

#[tokio::test]
async fn old_keys_stay_in_use_after_an_invalid_response() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let redirect_target = KeyServer::start(KeyResponse::keys([MALLORY.jwk("ada")])).await;
    let app = app_with(&keys, &[FREQUENT_REFRESH]).await;
    let set = attacker_set().to_string();
    let redirect = |status: u16| {
        KeyResponse::bytes(format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {}/{POOL_ID}/.well-known/jwks.json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{set}",
            redirect_target.url(),
            set.len()
        ))
    };
    let of_size = |size: usize| {
        let spaces = " ".repeat(size - set.len());
        KeyResponse::of(200, format!("{set}{spaces}"))
    };
    let chunked = {
        let chunk = format!("{:x}\r\n{set}\r\n", set.len());
        let spaces = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
        KeyResponse::bytes(format!("{head}{chunk}{}0\r\n\r\n", spaces.repeat(5)))
    };
    let truncated = KeyResponse::bytes(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}",
        set.len() + 1
    ));
    let mut doubled = set.clone();
    doubled.insert_str(1, r#""keys":[],"#);
    let cases = [
        ("an empty body", KeyResponse::of(200, "")),
        ("HTML", KeyResponse::of(200, "<html></html>")),
        ("broken JSON", KeyResponse::of(200, &set[..set.len() - 1])),
        ("trailing text", KeyResponse::of(200, format!("{set}{set}"))),
        (
            "a byte order mark",
            KeyResponse::of(200, format!("\u{feff}{set}")),
        ),
        (
            "invalid UTF-8",
            KeyResponse::of(200, [set.as_bytes(), b"\xff"].concat()),
        ),
        ("a list", KeyResponse::of(200, attacker_set()["keys"].to_string())),
        (
            "a single key",
            KeyResponse::of(200, MALLORY.jwk("ada").to_string()),
        ),
        ("no keys", KeyResponse::of(200, "{}")),
        ("keys as an object", KeyResponse::of(200, r#"{"keys":{"0":{}}}"#)),
        ("keys null", KeyResponse::of(200, r#"{"keys":null}"#)),
        ("duplicate keys", KeyResponse::of(200, doubled)),
        ("201", KeyResponse::of(201, &set)),
        (
            "204",
            KeyResponse::bytes("HTTP/1.1 204 Nothing\r\nconnection: close\r\n\r\n"),
        ),
        ("206", KeyResponse::of(206, &set)),
        (
            "304",
            KeyResponse::bytes("HTTP/1.1 304 Same\r\nconnection: close\r\n\r\n"),
        ),
        ("400", KeyResponse::of(400, &set)),
        ("404", KeyResponse::of(404, &set)),
        ("429", KeyResponse::of(429, &set)),
        ("500", KeyResponse::of(500, &set)),
        ("301", redirect(301)),
        ("302", redirect(302)),
        ("303", redirect(303)),
        ("307", redirect(307)),
        ("308", redirect(308)),
        ("256 KiB and a byte", of_size(256 * 1024 + 1)),
        ("300 KiB", of_size(300 * 1024)),
        ("300 KiB in chunks", chunked),
        ("an endless body", KeyResponse::Endless),
        ("a truncated body", truncated),
        ("a closed connection", KeyResponse::bytes("")),
        ("not HTTP", KeyResponse::bytes(format!("{set}\r\n\r\n"))),
        (
            "truncated headers",
            KeyResponse::bytes("HTTP/1.1 200 OK\r\ncontent-le"),
        ),
    ];
    for (case, response) in cases {
        let successes = refreshes(&app, "success").await;
        keys.set(response);
        until_a_fetch_has_failed(&app).await;
        assert_old_keys_in_use(&app, case).await;
        // One fetch may have been in flight when the response changed.
        let more = refreshes(&app, "success").await - successes;
        assert!(
            more <= f64::from(u8::from(case == "an empty body")),
            "{case}: {more}"
        );
    }
    assert_eq!(
        redirect_target.requests_for_all(),
        0,
        "redirects are not followed"
    );

    keys.set(of_size(256 * 1024));
    until("256 KiB are accepted", async || {
        app.status_with(&token(&app, &MALLORY, "ada")).await == 200
    })
    .await;
}

#[tokio::test]
async fn fetches_from_a_stalled_key_server_time_out() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[FREQUENT_REFRESH]).await;
    let start = Instant::now();
    keys.set(KeyResponse::Stall);
    until("the fetch has timed out", async || {
        refreshes(&app, "failure").await >= 1.0
    })
    .await;
    // A fetch times out after three seconds.
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    assert_old_keys_in_use(&app, "a stall").await;
    keys.set(KeyResponse::keys([BOB.jwk("bob")]));
    until("the next fetch loads the new key", async || {
        app.status_with(&token(&app, &BOB, "bob")).await == 200
    })
    .await;
}
