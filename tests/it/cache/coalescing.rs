//! Requests that share a call.

use super::{COLLAPSED, app_with, assert_shout};
use crate::support::http1::{self, Connection};
use crate::support::settings::LONG_TIMEOUTS;
use crate::support::until;
use crate::support::upstream::FakeUpstream;

#[tokio::test]
async fn a_call_continues_when_its_first_client_disconnects() {
    let upstream = FakeUpstream::held().await;
    let app = app_with(&upstream, &LONG_TIMEOUTS).await;
    let mut first = Connection::open(app.public).await;
    first.send(http1::shout(&app.cognito.token(), "hi")).await;
    upstream.called(1).await;
    let second = tokio::spawn(assert_shout(app.shout("hi"), COLLAPSED));
    until("the second request has joined", async || {
        app.metric("shoutback_cache_requests_total", &["miss"]).await == 2.0
    })
    .await;
    drop(first);
    until("the first request is cancelled", async || {
        app.metric("http_server_active_requests", &["POST"]).await == 1.0
    })
    .await;
    upstream.release();
    second.await.expect("a shout");
    assert_eq!(upstream.calls(), 1);
}
