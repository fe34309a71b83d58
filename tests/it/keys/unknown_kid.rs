//! Unknown `kid`s: the fetches they cause, the requests that wait for them, and the cooldown.

use std::net::SocketAddr;
use std::sync::Arc;

use shoutback::auth::AuthError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{
    FREQUENT_REFRESH, app_with, assert_rejected, assert_unavailable, outcomes, token,
    until_a_fetch_has_failed, until_a_fetch_has_succeeded,
};
use crate::support::http1::Connection;
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY};
use crate::support::{App, until};

/// Sends many requests at once over few connections.
struct ClientPool {
    clients: Vec<reqwest::Client>,
    address: SocketAddr,
}

impl ClientPool {
    /// Uses HTTP/2 in plain text; a connection allows 100 concurrent requests.
    fn new(app: &App, connections: usize) -> Self {
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

    /// Sends the `index`th request and returns the status.
    fn status(&self, index: usize, token: &str) -> impl Future<Output = u16> + Send + 'static {
        let request = self.clients[index % self.clients.len()]
            .post(format!("http://{}/v1", self.address))
            .bearer_auth(token);
        async move { request.send().await.expect("a response").status().as_u16() }
    }
}

#[tokio::test]
async fn five_hundred_unknown_kids_cause_at_most_five_fetches() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    let pool = ClientPool::new(&app, 4);
    let before = keys.requests();
    // Fewer than may wait for a fetch, and too few for all to share five.
    let permits = Arc::new(Semaphore::new(20));
    let mut requests = JoinSet::new();
    for index in 0..500 {
        let status = pool.status(index, &token(&app, &MALLORY, &format!("unknown {index}")));
        let permits = Arc::clone(&permits);
        requests.spawn(async move {
            let _permit = permits.acquire().await;
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
    let unknown = token(&app, &BOB, "bob");
    let pool = ClientPool::new(&app, 4);
    keys.set(KeyResponse::Stall);
    let before = keys.requests();

    let mut requests = JoinSet::new();
    for index in 0..300 {
        requests.spawn(pool.status(index, &unknown));
    }
    for shed in 0..44 {
        let status = requests
            .join_next()
            .await
            .expect("300 requests")
            .expect("no panic");
        assert_eq!(status, 503, "rejection {shed} while the fetch stalls");
    }
    assert_unavailable(&app, &unknown).await;
    assert_eq!(
        app.status_with(&token(&app, &ADA, "ada")).await,
        200,
        "known keys do not wait"
    );
    keys.set(KeyResponse::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
    // Authenticated, and rejected later for their lack of a media type.
    assert_eq!(requests.join_all().await, [415; 256]);
    assert_eq!(keys.requests(), before + 1);
    assert_eq!(outcomes(&app, "keys_unavailable").await, 45.0);
}

#[tokio::test]
async fn a_client_that_disconnects_does_not_cancel_the_shared_fetch() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    let active = async || {
        app.metric("http_server_active_requests", &[r#"http_request_method="POST""#])
            .await
    };
    keys.set(KeyResponse::Stall);
    let before = keys.requests();
    let mut first = Connection::open(app.public).await;
    let bearer = token(&app, &BOB, "bob");
    first
        .send(format!(
            "POST /v1 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {bearer}\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi"
        ))
        .await;
    until("the fetch is in flight", async || keys.requests() == before + 1).await;
    let second = tokio::spawn(app.shout_with(&token(&app, &BOB, "bob"), "hi").send());
    until("both wait", async || active().await == 2.0).await;
    // A client that only closes its sending side still gets its response.
    first.reset();
    until("one has disconnected", async || active().await == 1.0).await;
    keys.set(KeyResponse::keys([BOB.jwk("bob")]));
    let response = second.await.expect("no panic").expect("a response");
    assert_eq!(response.status(), 200);
    assert_eq!(keys.requests(), before + 1);
}

#[tokio::test]
async fn an_unknown_kid_is_503_during_an_outage_and_401_after_it() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[FREQUENT_REFRESH]).await;
    keys.set(KeyResponse::of(500, "{}"));
    until_a_fetch_has_failed(&app).await;
    for _ in 0..3 {
        assert_unavailable(&app, &token(&app, &MALLORY, "unknown")).await;
    }
    assert_rejected(&app, &token(&app, &MALLORY, "ada"), &AuthError::BadSignature).await;
    assert_eq!(app.status_with(&token(&app, &ADA, "ada")).await, 200);

    keys.set(KeyResponse::keys([ADA.jwk("ada")]));
    until_a_fetch_has_succeeded(&app).await;
    assert_rejected(&app, &token(&app, &MALLORY, "unknown"), &AuthError::UnknownKey).await;
}

#[tokio::test]
async fn an_unknown_kid_starts_a_cooldown_that_ends() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&keys, &[]).await;
    assert_rejected(&app, &token(&app, &MALLORY, "unknown"), &AuthError::UnknownKey).await;
    assert_eq!(keys.requests(), 2);
    keys.set(KeyResponse::keys([ADA.jwk("ada"), BOB.jwk("bob")]));
    let (known, new) = (token(&app, &ADA, "ada"), token(&app, &BOB, "bob"));
    let mut rejected = 0;
    until("the cooldown has ended", async || {
        let status = app.status_with(&new).await;
        rejected += usize::from(status == 401);
        assert_eq!(app.status_with(&known).await, 200);
        status == 200
    })
    .await;
    assert!(rejected > 0);
    assert_eq!(keys.requests(), 3);
}
