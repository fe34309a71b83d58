//! Floods of HTTP/2 frames, while a good client goes on.

use std::net::SocketAddr;

use crate::support::App;
use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, Http2, RST_STREAM, block,
    fields, frame, shout_fields,
};
use crate::support::until;

/// Floods from four connections while a good client asks, and returns GOAWAY's reasons once all of them are closed.
async fn flood(app: &App, mut send: impl AsyncFnMut(&mut Http2)) -> Vec<u32> {
    let token = app.cognito.token();
    let mut good = Http2::open(app.public).await;
    let mut stream = 1;
    let mut reasons = Vec::new();
    for _ in 0..4 {
        let mut bad = Http2::open(app.public).await;
        send(&mut bad).await;
        good.shout(stream, &token, "hi").await;
        assert_eq!(good.response(stream).await.expect("an answer").body, "IH");
        stream += 2;
        let ended = tokio::time::timeout(std::time::Duration::from_secs(60), bad.ended()).await;
        ended.expect("its connection is closed");
        reasons.append(&mut bad.goaways);
    }
    assert_eq!(app.status_with(&token).await, 200);
    until("nothing is under way", async || {
        app.metric("http_server_active_requests", &[]).await == 0.0
    })
    .await;
    reasons
}

#[tokio::test]
async fn who_resets_whatever_it_sends_is_told_to_calm_down() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    let request = block(&shout_fields(&token));
    let reasons = flood(&app, async |bad| {
        let mut bytes = Vec::new();
        for stream in (1..4_000).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS, stream, &request));
            bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        }
        bad.send(&bytes).await;
    })
    .await;
    assert_eq!(reasons, [ENHANCE_YOUR_CALM; 4]);
}

#[tokio::test]
async fn who_errs_again_and_again_is_told_to_calm_down() {
    let app = App::start(&[]).await;
    // HTTP/2 has no such field: each of these streams is reset by the server.
    let request = [block(&shout_fields("bad")), fields([("connection", "close")])].concat();
    let reasons = flood(&app, async |bad| {
        let mut bytes = Vec::new();
        for stream in (1..3_000).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &request));
        }
        bad.send(&bytes).await;
    })
    .await;
    assert_eq!(reasons, [ENHANCE_YOUR_CALM; 4]);
}

#[tokio::test]
async fn refusals_that_come_before_the_bodies_do_cost_no_connection() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    let mut connection = Http2::open(app.public).await;
    connection.grant(0, 1 << 20).await;
    let mut refused = shout_fields(&token);
    refused.retain(|(name, _)| name != "content-type");
    let request = block(&refused);
    let mut stream = 1;
    for _ in 0..4 {
        let streams: Vec<_> = (0..90).map(|index| stream + 2 * index).collect();
        for stream in &streams {
            connection
                .send(&frame(HEADERS, END_HEADERS, *stream, &request))
                .await;
        }
        let mut open = streams.len();
        while open > 0 {
            let received = connection.next().await.expect("the connection goes on");
            open -= usize::from(received.kind == DATA && received.flags & END_STREAM != 0);
        }
        for stream in &streams {
            connection.send(&frame(DATA, END_STREAM, *stream, b"late")).await;
        }
        stream += 180;
        connection.shout(stream, &token, "hi").await;
        assert_eq!(connection.response(stream).await.expect("an answer").body, "IH");
        stream += 2;
    }
}

#[tokio::test]
async fn a_head_of_endless_continuations_ends_its_connection() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "5m"), ("IDLE_TIMEOUT", "1h")]).await;
    let long = "y".repeat(10_000);
    let part = fields([("x-long", long.as_str())]);
    let reasons = flood(&app, async |bad| {
        bad.send(&frame(HEADERS, 0, 1, &block(&shout_fields("bad"))))
            .await;
        for _ in 0..2_000 {
            bad.send(&frame(CONTINUATION, 0, 1, &part)).await;
        }
    })
    .await;
    assert_eq!(reasons.len(), 4);
    assert!(reasons.iter().all(|reason| *reason != 0), "{reasons:?}");
}

#[tokio::test]
async fn a_stream_more_than_100_is_refused_and_the_others_go_on() {
    let upstream = crate::support::upstream::FakeUpstream::held().await;
    let url = upstream.url();
    let variables = [
        &crate::support::settings::LONG_TIMEOUTS[..],
        &[("SHOUTCLOUD_URL", url.as_str())],
    ]
    .concat();
    let app = App::start(&variables).await;
    let token = app.cognito.token();
    let mut connection = Http2::open(app.public).await;
    // Bodies that are not whole keep a hundred streams open.
    for index in 0..100 {
        let request = frame(HEADERS, END_HEADERS, 2 * index + 1, &block(&shout_fields(&token)));
        connection.send(&request).await;
    }
    connection.shout(201, &token, "one more").await;
    assert_eq!(connection.response(201).await, None, "it is refused");
    upstream.release();
    connection.send(&frame(DATA, END_STREAM, 1, b"hi")).await;
    assert_eq!(connection.response(1).await.expect("an answer").body, "IH");
}

#[tokio::test]
async fn a_body_beyond_the_window_ends_its_stream_or_connection_and_no_other() {
    let app = App::start(&[("MAX_BODY_BYTES", "16MiB")]).await;
    let good: SocketAddr = app.public;
    let mut bad = Http2::open(good).await;
    let request = frame(
        HEADERS,
        END_HEADERS,
        1,
        &block(&shout_fields(&app.cognito.token())),
    );
    bad.send(&request).await;
    for _ in 0..64 {
        bad.send(&frame(DATA, 0, 1, &[b'a'; 16_384])).await;
    }
    bad.send(&frame(99, 0, 0, b"")).await;
    assert_eq!(app.status_with(&app.cognito.token()).await, 200);
}
