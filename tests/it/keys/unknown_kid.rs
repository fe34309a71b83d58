//! A `kid` that nobody knows: the fetches that it costs, who waits for them, and for how long it bars the next.

use std::net::SocketAddr;
use std::sync::Arc;

use shoutback::auth::AuthError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{
    OFTEN, app_with, assert_refused, assert_unavailable, outcomes, token, until_a_fetch_has_failed,
    until_a_fetch_has_succeeded,
};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY};
use crate::support::{App, until};

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
async fn five_hundred_unknown_kids_cost_five_fetches_at_most() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
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
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    let stranger = token(&app, &BOB, "bob");
    let crowd = Crowd::of(&app, 4);
    keys.set(KeyResponse::Stall);
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
    keys.set(KeyResponse::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
    // Without a body they get as far as their media type.
    assert_eq!(requests.join_all().await, [415; 256]);
    assert_eq!(keys.requests(), before + 1);
    assert_eq!(outcomes(&app, "keys_unavailable").await, 45.0);
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_nobodys_fetch_along() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    let active = async || {
        app.metric("http_server_active_requests", &[r#"http_request_method="POST""#])
            .await
    };
    keys.set(KeyResponse::Stall);
    let before = keys.requests();
    let first = tokio::spawn(app.shout_with(&token(&app, &BOB, "bob"), "hi").send());
    until("the fetch is under way", async || keys.requests() == before + 1).await;
    let second = tokio::spawn(app.shout_with(&token(&app, &BOB, "bob"), "hi").send());
    until("both wait", async || active().await == 2.0).await;
    first.abort();
    until("one has gone", async || active().await == 1.0).await;
    keys.set(KeyResponse::keys([BOB.jwk("bob")]));
    let answer = second.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(keys.requests(), before + 1);
}

#[tokio::test]
async fn an_unknown_kid_is_unavailable_while_the_key_server_is_down_and_unknown_after() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[OFTEN]).await;
    keys.set(KeyResponse::of(500, "{}"));
    until_a_fetch_has_failed(&app).await;
    for _ in 0..3 {
        assert_unavailable(&app, &token(&app, &MALLORY, "stranger")).await;
    }
    assert_refused(&app, &token(&app, &MALLORY, "ada"), &AuthError::BadSignature).await;
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);

    keys.set(KeyResponse::keys([ADA.jwk("ada")]));
    until_a_fetch_has_succeeded(&app).await;
    assert_refused(&app, &token(&app, &MALLORY, "stranger"), &AuthError::UnknownKey).await;
}

#[tokio::test]
async fn an_unknown_kid_bars_the_next_fetch_for_a_while_and_then_no_longer() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    assert_refused(&app, &token(&app, &MALLORY, "stranger"), &AuthError::UnknownKey).await;
    assert_eq!(keys.requests(), 2);
    keys.set(KeyResponse::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
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
