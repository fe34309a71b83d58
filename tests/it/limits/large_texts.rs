//! Texts of the largest size that can be configured. In builds with debug assertions, as in tests, processing one on a worker of
//! the runtime is a panic, which the client sees as a 500.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::App;
use crate::support::settings::{LONG_TIMEOUTS, NO_BREAKER, NO_RETRIES};
use crate::support::upstream::{FakeUpstream, Reply};

const MEBIBYTE: usize = 1024 * 1024;
const WORKERS: usize = 2;

/// Sends as many requests with the largest bodies as there are workers, in each pair of formats, and requests `/livez` until all of
/// them have ended.
async fn shout_while_alive(app: &App) {
    let text = "a".repeat(MEBIBYTE - 20);
    let mut shouts = JoinSet::new();
    for number in 0..WORKERS {
        for content_type in ["text/plain", "application/json"] {
            for accept in ["text/plain", "application/json"] {
                let text = format!("{number}{text}");
                let body = match content_type {
                    "text/plain" => text.clone(),
                    _ => json!({ "data": text }).to_string(),
                };
                let shout = app.post().bearer_auth(app.cognito.token()).body(body);
                let shout = shout
                    .header("content-type", content_type)
                    .header("accept", accept);
                shouts.spawn(async move {
                    let response = shout.send().await.expect("a response");
                    let status = response.status().as_u16();
                    let length = response.bytes().await.expect("a body").len();
                    (status, length > MEBIBYTE - 20)
                });
            }
        }
    }
    while !shouts.is_empty() {
        assert_eq!(app.admin("/livez").await.status(), 200);
        while let Some(shout) = shouts.try_join_next() {
            assert_eq!(shout.expect("no panic"), (200, true));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_bodies_are_not_processed_on_the_workers() {
    let upstream = FakeUpstream::start([Reply::Shout]).await;
    for (fallback, capacity, reply) in [
        ("none", "32MiB", Reply::Shout),
        ("none", "0", Reply::Shout),
        ("local", "0", Reply::Status(500)),
    ] {
        upstream.set([reply]);
        let settings = [
            ("MAX_BODY_BYTES", "1MiB"),
            ("SHOUTCLOUD_FALLBACK", fallback),
            ("CACHE_CAPACITY", capacity),
            NO_BREAKER,
            NO_RETRIES,
        ];
        let app = upstream.app(&[&settings[..], &LONG_TIMEOUTS].concat()).await;
        shout_while_alive(&app).await;
    }
}
