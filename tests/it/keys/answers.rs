//! Answers of the key server that are no key set, and those that never come.

use serde_json::{Value, json};

use super::{OFTEN, app_with, refreshes, token, until_a_fetch_has_failed};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY};
use crate::support::{App, POOL_ID, until};

/// A set in which the attacker has taken the pool's `kid`: whoever believes it refuses the pool's tokens.
fn usurped() -> Value {
    json!({"keys": [MALLORY.jwk("ada")]})
}

async fn assert_old_keys_stay(app: &App, case: &str) {
    assert_eq!(app.status_with(&token(app, &ADA, "ada")).await, 200, "{case}");
    assert_eq!(app.status_with(&token(app, &MALLORY, "ada")).await, 401, "{case}");
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 1.0, "{case}");
}

#[tokio::test]
async fn an_answer_that_is_no_key_set_leaves_the_old_keys() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let tempting = KeyServer::start(KeyResponse::keys([MALLORY.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    let set = usurped().to_string();
    let redirect = |status: u16| {
        KeyResponse::bytes(format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {}/{POOL_ID}/.well-known/jwks.json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}",
            tempting.url(),
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
    let cut_off = KeyResponse::bytes(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}",
        set.len() + 1
    ));
    let mut doubled = set.clone();
    doubled.insert_str(1, r#""keys":[],"#);
    let cases = [
        ("nothing", KeyResponse::of(200, "")),
        ("HTML", KeyResponse::of(200, "<html></html>")),
        ("broken JSON", KeyResponse::of(200, &set[..set.len() - 1])),
        (
            "JSON with more after it",
            KeyResponse::of(200, format!("{set}{set}")),
        ),
        (
            "a byte order mark",
            KeyResponse::of(200, format!("\u{feff}{set}")),
        ),
        (
            "bad UTF-8",
            KeyResponse::of(200, [set.as_bytes(), b"\xff"].concat()),
        ),
        ("a list", KeyResponse::of(200, usurped()["keys"].to_string())),
        (
            "a key alone",
            KeyResponse::of(200, MALLORY.jwk("ada").to_string()),
        ),
        ("no keys", KeyResponse::of(200, "{}")),
        (
            "keys that are no list",
            KeyResponse::of(200, r#"{"keys":{"0":{}}}"#),
        ),
        ("keys null", KeyResponse::of(200, r#"{"keys":null}"#)),
        ("keys twice", KeyResponse::of(200, doubled)),
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
        ("no end", KeyResponse::Endless),
        ("cut off", cut_off),
        ("a closed connection", KeyResponse::bytes("")),
        (
            "something that is not HTTP",
            KeyResponse::bytes(format!("{set}\r\n\r\n")),
        ),
        ("half a head", KeyResponse::bytes("HTTP/1.1 200 OK\r\ncontent-le")),
    ];
    for (case, answer) in cases {
        let successes = refreshes(&app, "success").await;
        keys.set(answer);
        until_a_fetch_has_failed(&app).await;
        assert_old_keys_stay(&app, case).await;
        // One may have been under way when the answer changed.
        let more = refreshes(&app, "success").await - successes;
        assert!(more <= f64::from(u8::from(case == "nothing")), "{case}: {more}");
    }
    assert_eq!(tempting.requests_for_all(), 0, "redirects are not followed");

    keys.set(of_size(256 * 1024));
    until("256 KiB are not too much", async || {
        app.status_with(&token(&app, &MALLORY, "ada")).await == 200
    })
    .await;
}

#[tokio::test]
async fn a_key_server_that_stalls_is_given_up() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    keys.set(KeyResponse::Stall);
    until("the fetch was given up", async || {
        refreshes(&app, "failure").await >= 1.0
    })
    .await;
    assert_old_keys_stay(&app, "a stall").await;
    keys.set(KeyResponse::keys([BOB.jwk("bob")]));
    until("the next fetch brings the new key", async || {
        app.status_with(&token(&app, &BOB, "bob")).await == 200
    })
    .await;
}
