//! A pool's keys: rotated, revoked, swapped, out of reach; and the tokens that are remembered of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shoutback::auth::Refusal;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::jwt::compact;
use crate::support::key_server::{Answer, KeyServer, Reserved};
use crate::support::rsa::{ADA, BOB, MALLORY, PrivateKey};
use crate::support::{App, POOL_ID, assert_problem, changed, until};

const OTHER_POOL: &str = "eu-west-1_TestPool2";

const OFTEN: (&str, &str) = ("COGNITO_JWKS_REFRESH", "100ms");

/// An application whose keys come from `keys`.
async fn app_with(keys: &KeyServer, variables: &[(&str, &str)]) -> App {
    let app = unready_app_with(&keys.url(), variables).await;
    app.until_ready().await;
    app
}

async fn unready_app_with(url: &str, variables: &[(&str, &str)]) -> App {
    let mut all = vec![("COGNITO_JWKS_ENDPOINT", url)];
    all.extend(variables);
    App::start_unready(&all).await
}

/// A new token of the first pool.
fn token(app: &App, key: &PrivateKey, kid: &str) -> String {
    key.token(kid, &app.cognito.claims())
}

/// A new token of the other pool.
fn token_of_other_pool(app: &App, key: &PrivateKey, kid: &str) -> String {
    let issuer = format!("{}/{OTHER_POOL}", app.cognito.endpoint());
    key.token(kid, &changed(app.cognito.claims(), &[("iss", json!(issuer))]))
}

async fn assert_refused(app: &App, token: &str, refusal: &Refusal) {
    let response = app.shout_with(token, "hi").send().await.expect("an answer");
    let problem = assert_problem(response, 401, "unauthenticated").await;
    assert_eq!(problem["detail"], refusal.to_string());
}

async fn assert_unavailable(app: &App, token: &str) {
    let calls = app.shoutcloud.calls();
    let response = app.shout_with(token, "hi").send().await.expect("an answer");
    assert_eq!(response.status(), 503);
    assert!(!response.headers().contains_key("www-authenticate"));
    let retry_after = response.headers()["retry-after"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    assert!(
        (1..=60).contains(&retry_after.parse().unwrap_or(0)),
        "{retry_after}"
    );
    assert_problem(response, 503, "keys-unavailable").await;
    assert_eq!(app.shoutcloud.calls(), calls);
}

async fn refreshes(app: &App, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    app.metric("shoutback_jwks_refresh_total", &[&outcome]).await
}

/// Waits until a fetch that began after this call has failed: of two failures the second did.
async fn until_a_fetch_has_failed(app: &App) {
    let before = refreshes(app, "failure").await;
    until("two fetches have failed", async || {
        refreshes(app, "failure").await >= before + 2.0
    })
    .await;
}

/// Waits until a fetch that began after this call has succeeded.
async fn until_a_fetch_has_succeeded(app: &App) {
    let before = refreshes(app, "success").await;
    until("two fetches have succeeded", async || {
        refreshes(app, "success").await >= before + 2.0
    })
    .await;
}

async fn hits(app: &App) -> f64 {
    app.metric("shoutback_token_cache_total", &[r#"result="hit""#])
        .await
}

async fn outcomes(app: &App, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    app.metric("shoutback_auth_total", &[&outcome]).await
}

/// Many requests at once over few connections.
struct Crowd {
    clients: Vec<reqwest::Client>,
    address: SocketAddr,
}

impl Crowd {
    /// HTTP/2 in plain text; a connection takes 100 requests.
    fn of(app: &App, connections: usize) -> Self {
        let client = || {
            reqwest::Client::builder()
                .no_proxy()
                .http2_prior_knowledge()
                .build()
                .expect("a client")
        };
        Self {
            clients: (0..connections).map(|_| client()).collect(),
            address: app.public,
        }
    }

    /// The status of the `index`th request.
    fn status(&self, index: usize, token: &str) -> impl Future<Output = u16> + Send + 'static {
        let request = self.clients[index % self.clients.len()]
            .post(format!("http://{}/v1", self.address))
            .bearer_auth(token);
        async move { request.send().await.expect("an answer").status().as_u16() }
    }
}

#[tokio::test]
async fn rotation_is_picked_up_without_a_restart() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
    assert_eq!(keys.requests(), 1);

    keys.set(Answer::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
    assert_eq!(app.status_with(&token(&app, &BOB, "bob")).await, 200);
    assert_eq!(keys.requests(), 2);
    for (key, kid) in [(&ADA, "ada"), (&BOB, "bob")] {
        assert_eq!(app.status_with(&token(&app, key, kid)).await, 200, "{kid}");
        let swapped = if kid == "ada" { "bob" } else { "ada" };
        assert_refused(&app, &token(&app, key, swapped), &Refusal::BadSignature).await;
    }
    assert_eq!(keys.requests(), 2, "a known key costs no fetch");
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 2.0);
}

#[tokio::test]
async fn the_emulators_rotation_is_picked_up_too() {
    let app = App::start(&[]).await;
    let first = app.cognito.token();
    assert_eq!(app.status_with(&first).await, 200);
    app.cognito.rotate(false);
    assert_eq!(app.status_with(&app.cognito.token()).await, 200);
    assert_refused(&app, &first, &Refusal::UnknownKey).await;
    assert_eq!(app.cognito.jwks_fetches(), 2);
}

#[tokio::test]
async fn five_hundred_unknown_kids_cost_five_fetches_at_most() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    let crowd = Crowd::of(&app, 4);
    let before = keys.requests();
    // Fewer than may wait for a fetch, and so few that they cannot all share five.
    let places = Arc::new(Semaphore::new(20));
    let mut requests = JoinSet::new();
    for index in 0..500 {
        let status = crowd.status(index, &token(&app, &MALLORY, &format!("stranger {index}")));
        let places = Arc::clone(&places);
        requests.spawn(async move {
            let _place = places.acquire().await;
            status.await
        });
    }
    let statuses = requests.join_all().await;
    assert_eq!(statuses, [401; 500]);
    let fetches = keys.requests() - before;
    assert!((1..=5).contains(&fetches), "{fetches}");
    assert_eq!(outcomes(&app, "unknown_key").await, 500.0);
    assert_eq!(app.shoutcloud.calls(), 0);
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
}

#[tokio::test]
async fn at_most_256_requests_wait_for_one_fetch_and_share_it() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    let stranger = token(&app, &BOB, "bob");
    let crowd = Crowd::of(&app, 4);
    keys.set(Answer::Stall);
    let before = keys.requests();

    let mut requests = JoinSet::new();
    for index in 0..300 {
        requests.spawn(crowd.status(index, &stranger));
    }
    for refused in 0..44 {
        let status = requests
            .join_next()
            .await
            .expect("300 requests")
            .expect("no panic");
        assert_eq!(
            status, 503,
            "the {refused}th that is refused while the fetch stalls"
        );
    }
    assert_unavailable(&app, &stranger).await;
    assert_eq!(
        app.status_with(&token(&app, &ADA, "ada")).await,
        200,
        "known keys do not wait"
    );
    keys.set(Answer::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
    // Without a body they get as far as their media type.
    assert_eq!(requests.join_all().await, [415; 256]);
    assert_eq!(keys.requests(), before + 1);
    assert_eq!(outcomes(&app, "keys_unavailable").await, 45.0);
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_nobodys_fetch_along() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    let active = async || {
        app.metric("http_server_active_requests", &[r#"http_request_method="POST""#])
            .await
    };
    keys.set(Answer::Stall);
    let before = keys.requests();
    let first = tokio::spawn(app.shout_with(&token(&app, &BOB, "bob"), "hi").send());
    until("the fetch is under way", async || keys.requests() == before + 1).await;
    let second = tokio::spawn(app.shout_with(&token(&app, &BOB, "bob"), "hi").send());
    until("both wait", async || active().await == 2.0).await;
    first.abort();
    until("one has gone", async || active().await == 1.0).await;
    keys.set(Answer::keys([BOB.jwk("bob")]));
    let answer = second.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(keys.requests(), before + 1);
}

#[tokio::test]
async fn an_unknown_kid_is_unavailable_while_the_key_server_is_down_and_unknown_after() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    keys.set(Answer::of(500, "{}"));
    until_a_fetch_has_failed(&app).await;
    for _ in 0..3 {
        assert_unavailable(&app, &token(&app, &MALLORY, "stranger")).await;
    }
    assert_refused(&app, &token(&app, &MALLORY, "ada"), &Refusal::BadSignature).await;
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);

    keys.set(Answer::keys([ADA.jwk("ada")]));
    until_a_fetch_has_succeeded(&app).await;
    assert_refused(&app, &token(&app, &MALLORY, "stranger"), &Refusal::UnknownKey).await;
}

#[tokio::test]
async fn an_unknown_kid_bars_the_next_fetch_for_a_while_and_then_no_longer() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    assert_refused(&app, &token(&app, &MALLORY, "stranger"), &Refusal::UnknownKey).await;
    assert_eq!(keys.requests(), 2);
    keys.set(Answer::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
    let (known, new) = (token(&app, &ADA, "ada"), token(&app, &BOB, "bob"));
    let mut barred = 0;
    until("the bar is lifted", async || {
        let status = app.status_with(&new).await;
        barred += usize::from(status == 401);
        assert_eq!(app.status_with(&known).await, 200);
        status == 200
    })
    .await;
    assert!(barred > 0);
    assert_eq!(keys.requests(), 3);
}

#[tokio::test]
async fn known_keys_outlive_an_outage() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    let remembered = token(&app, &ADA, "ada");
    assert_eq!(app.status_with(&remembered).await, 200);
    drop(keys);
    until_a_fetch_has_failed(&app).await;
    assert_eq!(app.status_with(&remembered).await, 200);
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
    assert_eq!(app.admin("/readyz").await.status(), 200);
    assert_unavailable(&app, &token(&app, &MALLORY, "stranger")).await;
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 1.0);
}

#[tokio::test]
async fn known_keys_end_when_they_are_too_stale_and_come_back_with_the_key_server() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN, ("COGNITO_JWKS_MAX_STALE", "400ms")]).await;
    let remembered = token(&app, &ADA, "ada");
    let accepted = async || app.status_with(&remembered).await == 200;
    until("a fetch is recent enough", accepted).await;
    keys.set(Answer::of(503, "{}"));
    until("the keys are too stale", async || {
        app.status_with(&remembered).await == 503
    })
    .await;
    assert_unavailable(&app, &remembered).await;
    assert_unavailable(&app, &token(&app, &ADA, "ada")).await;
    assert_eq!(app.admin("/readyz").await.status(), 200);
    assert_eq!(app.admin("/livez").await.status(), 200);
    keys.set(Answer::keys([ADA.jwk("ada")]));
    until("the keys are back", accepted).await;
}

#[tokio::test]
async fn a_revoked_key_takes_its_remembered_tokens_along() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada"), BOB.jwk("bob")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    let (revoked, kept) = (token(&app, &ADA, "ada"), token(&app, &BOB, "bob"));
    for token in [&revoked, &revoked, &kept, &kept] {
        assert_eq!(app.status_with(token).await, 200);
    }
    assert_eq!(hits(&app).await, 2.0);
    keys.set(Answer::keys([BOB.jwk("bob")]));
    until("the key is revoked", async || {
        app.status_with(&revoked).await == 401
    })
    .await;
    assert_refused(&app, &revoked, &Refusal::UnknownKey).await;
    assert_eq!(app.status_with(&kept).await, 200);

    keys.set(Answer::keys([]));
    until("no key is left", async || app.status_with(&kept).await == 401).await;
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 0.0);
    assert_eq!(app.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_modulus_that_changes_under_its_kid_takes_its_remembered_tokens_along() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("key")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    let (old, new) = (token(&app, &ADA, "key"), token(&app, &BOB, "key"));
    for _ in 0..2 {
        assert_eq!(app.status_with(&old).await, 200);
    }
    assert_eq!(hits(&app).await, 1.0);
    assert_refused(&app, &new, &Refusal::BadSignature).await;
    keys.set(Answer::keys([BOB.jwk("key")]));
    until("the key has changed", async || app.status_with(&old).await == 401).await;
    assert_refused(&app, &old, &Refusal::BadSignature).await;
    assert_eq!(app.status_with(&new).await, 200);

    keys.set(Answer::keys([ADA.jwk("key")]));
    until("the old key is back", async || app.status_with(&old).await == 200).await;
    assert_refused(&app, &new, &Refusal::BadSignature).await;
}

async fn reasons(app: &App) -> (u16, Vec<String>) {
    let response = app.admin("/readyz").await;
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON");
    let reasons = body["reasons"].as_array().expect("a list");
    (
        status,
        reasons
            .iter()
            .map(|reason| reason.as_str().expect("text").to_owned())
            .collect(),
    )
}

#[tokio::test]
async fn ready_once_every_pools_keys_were_loaded_and_from_then_on() {
    let keys = KeyServer::start(Answer::of(500, "{}")).await;
    let pools = format!("{POOL_ID},{OTHER_POOL}");
    let app = unready_app_with(
        &keys.url(),
        &[
            ("COGNITO_USER_POOL_IDS", &pools),
            OFTEN,
            ("COGNITO_JWKS_MAX_STALE", "400ms"),
        ],
    )
    .await;
    until("both pools were asked for", async || {
        keys.requests() > 0 && keys.requests_for(OTHER_POOL) > 0
    })
    .await;
    let (status, both) = reasons(&app).await;
    assert_eq!((status, both.len()), (503, 2));
    for pool in [POOL_ID, OTHER_POOL] {
        assert!(both.iter().any(|reason| reason.contains(pool)), "{both:?}");
    }
    assert_unavailable(&app, &token(&app, &ADA, "ada")).await;
    assert_eq!(app.admin("/livez").await.status(), 200);

    keys.set(Answer::keys([ADA.jwk("ada")]));
    until("one pool was loaded", async || reasons(&app).await.1.len() == 1).await;
    let (status, one) = reasons(&app).await;
    assert_eq!(status, 503);
    assert!(one[0].contains(OTHER_POOL), "{one:?}");

    keys.set_for(OTHER_POOL, Answer::keys([BOB.jwk("bob")]));
    app.until_ready().await;
    assert_eq!(reasons(&app).await, (200, vec![]));
    drop(keys);
    until("the keys are too stale", async || {
        app.status_with(&token(&app, &ADA, "ada")).await == 503
            && app.status_with(&token_of_other_pool(&app, &BOB, "bob")).await == 503
    })
    .await;
    assert_eq!(reasons(&app).await, (200, vec![]));
}

#[tokio::test]
async fn a_set_without_a_usable_key_makes_nobody_ready() {
    for set in [
        Answer::keys([]),
        Answer::keys([json!({"kty": "EC", "kid": "ada"})]),
    ] {
        let keys = KeyServer::start(set).await;
        let app = unready_app_with(&keys.url(), &[OFTEN]).await;
        until_a_fetch_has_succeeded(&app).await;
        assert_eq!(reasons(&app).await.0, 503);
        // The pool was asked and has no such key.
        assert_refused(&app, &token(&app, &ADA, "ada"), &Refusal::UnknownKey).await;
        keys.set(Answer::keys([ADA.jwk("ada")]));
        app.until_ready().await;
        keys.set(Answer::keys([]));
        until("the keys are gone", async || {
            app.metric("shoutback_jwks_keys", &[]).await == 0.0
        })
        .await;
        assert_eq!(reasons(&app).await.0, 200, "once ready is ready");
    }
}

#[tokio::test]
async fn a_key_server_that_is_dead_at_the_start_is_waited_for() {
    let reserved = Reserved::port();
    let app = unready_app_with(&reserved.url(), &[]).await;
    until("two fetches have failed", async || {
        refreshes(&app, "failure").await >= 2.0
    })
    .await;
    let (status, reasons) = reasons(&app).await;
    assert_eq!((status, reasons.len()), (503, 1));
    assert_eq!(refreshes(&app, "success").await, 0.0);
    let keys = reserved.start(Answer::keys([ADA.jwk("ada")]));
    app.until_ready().await;
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
    assert_eq!(keys.requests(), 1);
    app.stop().await;
}

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
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let tempting = KeyServer::start(Answer::keys([MALLORY.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    let set = usurped().to_string();
    let redirect = |status: u16| {
        Answer::bytes(format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {}/{POOL_ID}/.well-known/jwks.json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}",
            tempting.url(),
            set.len()
        ))
    };
    let of_size = |size: usize| {
        let spaces = " ".repeat(size - set.len());
        Answer::of(200, format!("{set}{spaces}"))
    };
    let chunked = {
        let chunk = format!("{:x}\r\n{set}\r\n", set.len());
        let spaces = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
        Answer::bytes(format!("{head}{chunk}{}0\r\n\r\n", spaces.repeat(5)))
    };
    let cut_off = Answer::bytes(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}",
        set.len() + 1
    ));
    let mut doubled = set.clone();
    doubled.insert_str(1, r#""keys":[],"#);
    let cases = [
        ("nothing", Answer::of(200, "")),
        ("HTML", Answer::of(200, "<html></html>")),
        ("broken JSON", Answer::of(200, &set[..set.len() - 1])),
        ("JSON with more after it", Answer::of(200, format!("{set}{set}"))),
        ("a byte order mark", Answer::of(200, format!("\u{feff}{set}"))),
        ("bad UTF-8", Answer::of(200, [set.as_bytes(), b"\xff"].concat())),
        ("a list", Answer::of(200, usurped()["keys"].to_string())),
        ("a key alone", Answer::of(200, MALLORY.jwk("ada").to_string())),
        ("no keys", Answer::of(200, "{}")),
        ("keys that are no list", Answer::of(200, r#"{"keys":{"0":{}}}"#)),
        ("keys null", Answer::of(200, r#"{"keys":null}"#)),
        ("keys twice", Answer::of(200, doubled)),
        ("201", Answer::of(201, &set)),
        (
            "204",
            Answer::bytes("HTTP/1.1 204 Nothing\r\nconnection: close\r\n\r\n"),
        ),
        ("206", Answer::of(206, &set)),
        (
            "304",
            Answer::bytes("HTTP/1.1 304 Same\r\nconnection: close\r\n\r\n"),
        ),
        ("400", Answer::of(400, &set)),
        ("404", Answer::of(404, &set)),
        ("429", Answer::of(429, &set)),
        ("500", Answer::of(500, &set)),
        ("301", redirect(301)),
        ("302", redirect(302)),
        ("303", redirect(303)),
        ("307", redirect(307)),
        ("308", redirect(308)),
        ("256 KiB and a byte", of_size(256 * 1024 + 1)),
        ("300 KiB", of_size(300 * 1024)),
        ("300 KiB in chunks", chunked),
        ("no end", Answer::Endless),
        ("cut off", cut_off),
        ("a closed connection", Answer::bytes("")),
        (
            "something that is not HTTP",
            Answer::bytes(format!("{set}\r\n\r\n")),
        ),
        ("half a head", Answer::bytes("HTTP/1.1 200 OK\r\ncontent-le")),
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
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    keys.set(Answer::Stall);
    until("the fetch was given up", async || {
        refreshes(&app, "failure").await >= 1.0
    })
    .await;
    assert_old_keys_stay(&app, "a stall").await;
    keys.set(Answer::keys([BOB.jwk("bob")]));
    until("the next fetch brings the new key", async || {
        app.status_with(&token(&app, &BOB, "bob")).await == 200
    })
    .await;
}

#[tokio::test]
async fn pools_that_share_a_kid_share_nothing_else() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("key")])).await;
    keys.set_for(OTHER_POOL, Answer::keys([BOB.jwk("key")]));
    let pools = format!("{POOL_ID},{OTHER_POOL}");
    let app = app_with(&keys, &[("COGNITO_USER_POOL_IDS", &pools)]).await;
    for _ in 0..2 {
        assert_eq!(app.status_with(&token(&app, &ADA, "key")).await, 200);
        assert_eq!(
            app.status_with(&token_of_other_pool(&app, &BOB, "key")).await,
            200
        );
        assert_refused(&app, &token(&app, &BOB, "key"), &Refusal::BadSignature).await;
        let crossed = token_of_other_pool(&app, &ADA, "key");
        assert_refused(&app, &crossed, &Refusal::BadSignature).await;
    }

    assert_refused(&app, &token(&app, &MALLORY, "stranger"), &Refusal::UnknownKey).await;
    assert_eq!((keys.requests(), keys.requests_for(OTHER_POOL)), (2, 1));
    keys.set_for(OTHER_POOL, Answer::keys([MALLORY.jwk("new")]));
    assert_eq!(
        app.status_with(&token_of_other_pool(&app, &MALLORY, "new")).await,
        200,
        "the bar of one pool is not the other's"
    );
    assert_eq!((keys.requests(), keys.requests_for(OTHER_POOL)), (2, 2));
    for pool in [POOL_ID, OTHER_POOL] {
        let label = format!("pool=\"{pool}\"");
        assert_eq!(app.metric("shoutback_jwks_keys", &[&label]).await, 1.0);
    }
}

#[tokio::test]
async fn an_outage_of_one_pool_is_not_the_others() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    keys.set_for(OTHER_POOL, Answer::keys([BOB.jwk("bob")]));
    let pools = format!("{POOL_ID},{OTHER_POOL}");
    let app = app_with(&keys, &[("COGNITO_USER_POOL_IDS", &pools)]).await;
    keys.set(Answer::of(500, "{}"));
    assert_unavailable(&app, &token(&app, &MALLORY, "stranger")).await;
    let stranger = token_of_other_pool(&app, &MALLORY, "stranger");
    assert_refused(&app, &stranger, &Refusal::UnknownKey).await;
    let elsewhere = changed(app.cognito.claims(), &[("iss", json!(keys.url()))]);
    let fetches = keys.requests_for_all();
    assert_refused(
        &app,
        &MALLORY.token("stranger", &elsewhere),
        &Refusal::UnknownIssuer,
    )
    .await;
    assert_eq!(keys.requests_for_all(), fetches);
}

#[tokio::test]
async fn a_token_is_verified_once_and_then_remembered() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    let results = async || {
        let misses = app
            .metric("shoutback_token_cache_total", &[r#"result="miss""#])
            .await;
        (hits(&app).await, misses)
    };
    assert_eq!(results().await, (0.0, 0.0));
    let first = token(&app, &ADA, "ada");
    for expected in [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)] {
        assert_eq!(app.status_with(&first).await, 200);
        assert_eq!(results().await, expected);
    }
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);
    assert_eq!(results().await, (2.0, 2.0));
}

#[tokio::test]
async fn a_remembered_token_is_refused_once_it_has_expired() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[("AUTH_CLOCK_LEEWAY", "0ms")]).await;
    let mut short_lived = String::new();
    until("a token is remembered before it expires", async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let claims = changed(app.cognito.claims(), &[("exp", json!(now.as_secs_f64() + 1.5))]);
        short_lived = ADA.token("ada", &claims);
        let before = hits(&app).await;
        app.status_with(&short_lived).await;
        app.status_with(&short_lived).await;
        hits(&app).await > before
    })
    .await;
    until("it has expired", async || {
        app.status_with(&short_lived).await == 401
    })
    .await;
    assert_refused(&app, &short_lived, &Refusal::Expired).await;
}

#[tokio::test]
async fn every_decision_is_counted_under_its_reason() {
    let keys = KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[("AUTH_ALLOWED_GROUPS", "loud")]).await;
    for outcome in Refusal::REASONS.into_iter().chain(["accepted"]) {
        assert_eq!(outcomes(&app, outcome).await, 0.0, "{outcome}");
    }
    let metrics = app.admin("/metrics").await.text().await.expect("UTF-8");
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("shoutback_auth_total{"))
        .count();
    assert_eq!(series, Refusal::REASONS.len() + 1, "every series starts at zero");

    let good = changed(app.cognito.claims(), &[("cognito:groups", json!(["loud"]))]);
    let with = |name, value: Value| ADA.token("ada", &changed(good.clone(), &[(name, value)]));
    let rs512 = compact(
        r#"{"kid":"ada","alg":"RS512"}"#,
        json!(good).to_string(),
        |message| ADA.rs256(message),
    );
    let sent = [
        ("accepted", ADA.token("ada", &good)),
        ("malformed_header", "\ta.b.c".to_owned()),
        ("malformed_token", "a.b".to_owned()),
        ("unacceptable_header", rs512),
        ("unknown_issuer", with("iss", json!("https://evil.example"))),
        ("unknown_key", ADA.token("stranger", &good)),
        ("bad_signature", MALLORY.token("ada", &good)),
        ("not_an_access_token", with("token_use", json!("id"))),
        ("unknown_client", with("client_id", json!("other"))),
        ("expired", with("exp", json!(0))),
        ("not_yet_valid", with("nbf", json!(4_000_000_000u64))),
        ("missing_scope", with("scope", json!("openid"))),
        ("missing_group", with("cognito:groups", json!(["quiet"]))),
    ];
    for (outcome, token) in &sent {
        app.status_with(token).await;
        assert_eq!(outcomes(&app, outcome).await, 1.0, "{outcome}");
    }
    app.post().send().await.expect("an answer");
    assert_eq!(outcomes(&app, "missing").await, 1.0);
    let all = app.metric("shoutback_auth_total", &[]).await;
    assert_eq!(all, sent.len() as f64 + 1.0, "each is counted once");
}

#[tokio::test]
async fn fetches_are_counted_and_the_last_success_is_dated() {
    let keys = KeyServer::start(Answer::of(500, "{}")).await;
    let app = unready_app_with(&keys.url(), &[OFTEN]).await;
    let last_success = async || {
        app.metric("shoutback_jwks_last_success_timestamp_seconds", &[])
            .await
    };
    until_a_fetch_has_failed(&app).await;
    assert_eq!(refreshes(&app, "success").await, 0.0);
    assert_eq!(last_success().await, 0.0);
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 0.0);
    let before = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    keys.set(Answer::keys([
        ADA.jwk("ada"),
        BOB.jwk("bob"),
        json!({"kty": "EC"}),
    ]));
    app.until_ready().await;
    let first = last_success().await;
    assert!(first >= before, "{first} {before}");
    until("it was dated anew", async || last_success().await > first).await;
    assert_eq!(app.metric("shoutback_jwks_keys", &[]).await, 2.0);
    let counted = refreshes(&app, "success").await + refreshes(&app, "failure").await;
    assert!(
        counted <= keys.requests() as f64,
        "{counted} outcomes of {} requests",
        keys.requests()
    );
}
