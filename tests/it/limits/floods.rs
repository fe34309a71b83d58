//! Floods of HTTP/2 frames, beside a well-behaved client.

use crate::support::App;
use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, Http2, RST_STREAM, block,
    fields, frame, shout_fields,
};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::until;

/// Error code of GOAWAY.
const FLOW_CONTROL_ERROR: u32 = 3;

/// Floods from four connections beside a well-behaved client; returns the GOAWAY error codes once all four are closed.
async fn flood(app: &App, mut send: impl AsyncFnMut(&mut Http2)) -> Vec<u32> {
    let token = app.cognito.token();
    let mut client = Http2::open(app.public).await;
    let mut stream = 1;
    let mut codes = Vec::new();
    for _ in 0..4 {
        let mut flooder = Http2::open(app.public).await;
        send(&mut flooder).await;
        client.shout(stream, &token, "hi").await;
        assert_eq!(client.response(stream).await.expect("a response").body, "IH");
        stream += 2;
        let ended = tokio::time::timeout(std::time::Duration::from_secs(60), flooder.ended()).await;
        ended.expect("the connection is closed");
        codes.append(&mut flooder.goaways);
    }
    assert_eq!(app.status_with(&token).await, 200);
    until("nothing is in flight", async || {
        app.metric("http_server_active_requests", &[]).await == 0.0
    })
    .await;
    codes
}

#[tokio::test]
async fn rapid_resets_get_enhance_your_calm() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    let request = block(&shout_fields(&token));
    let codes = flood(&app, async |flooder| {
        let mut bytes = Vec::new();
        for stream in (1..4_000).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS, stream, &request));
            bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        }
        flooder.send(&bytes).await;
    })
    .await;
    assert_eq!(codes, [ENHANCE_YOUR_CALM; 4]);
}

#[tokio::test]
async fn repeated_stream_errors_get_enhance_your_calm() {
    let app = App::start(&[]).await;
    // HTTP/2 has no such field: each of these streams is reset by the server.
    let request = [block(&shout_fields("bad")), fields([("connection", "close")])].concat();
    let codes = flood(&app, async |flooder| {
        let mut bytes = Vec::new();
        for stream in (1..3_000).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &request));
        }
        flooder.send(&bytes).await;
    })
    .await;
    assert_eq!(codes, [ENHANCE_YOUR_CALM; 4]);
}

#[tokio::test]
async fn rejections_sent_before_the_bodies_arrive_keep_the_connection_open() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    let mut connection = Http2::open(app.public).await;
    connection.grant(0, 1 << 20).await;
    let mut without_media_type = shout_fields(&token);
    without_media_type.retain(|(name, _)| name != "content-type");
    let request = block(&without_media_type);
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
            let received = connection.next().await.expect("the connection stays open");
            open -= usize::from(received.kind == DATA && received.flags & END_STREAM != 0);
        }
        for stream in &streams {
            connection.send(&frame(DATA, END_STREAM, *stream, b"late")).await;
        }
        stream += 180;
        connection.shout(stream, &token, "hi").await;
        assert_eq!(connection.response(stream).await.expect("a response").body, "IH");
        stream += 2;
    }
}

#[tokio::test]
async fn endless_continuations_close_the_connection() {
    let app = App::start(&[("HEADER_READ_TIMEOUT", "5m"), ("IDLE_TIMEOUT", "1h")]).await;
    let long = "y".repeat(10_000);
    let part = fields([("x-long", long.as_str())]);
    let codes = flood(&app, async |flooder| {
        flooder
            .send(&frame(HEADERS, 0, 1, &block(&shout_fields("bad"))))
            .await;
        for _ in 0..2_000 {
            flooder.send(&frame(CONTINUATION, 0, 1, &part)).await;
        }
    })
    .await;
    assert_eq!(codes.len(), 4);
    assert!(codes.iter().all(|code| *code != 0), "{codes:?}");
}

#[tokio::test]
async fn a_stream_over_100_is_rejected_and_the_others_continue() {
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
    // Incomplete bodies keep a hundred streams open.
    for index in 0..100 {
        let request = frame(HEADERS, END_HEADERS, 2 * index + 1, &block(&shout_fields(&token)));
        connection.send(&request).await;
    }
    connection.shout(201, &token, "one more").await;
    assert_eq!(connection.response(201).await, None, "the stream is rejected");
    upstream.release();
    connection.send(&frame(DATA, END_STREAM, 1, b"hi")).await;
    assert_eq!(connection.response(1).await.expect("a response").body, "IH");
}

#[tokio::test]
async fn a_body_beyond_the_window_closes_its_connection_and_no_other() {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let url = keys.url();
    let app = App::start(&[("COGNITO_JWKS_ENDPOINT", url.as_str())]).await;
    let claims = app.cognito.claims();
    let (known, unknown) = (ADA.token("ada", &claims), BOB.token("bob", &claims));
    // The body is not read while its request waits for the key.
    keys.set(KeyResponse::Stall);
    let mut connection = Http2::open(app.public).await;
    let request = block(&shout_fields(&unknown));
    connection.send(&frame(HEADERS, END_HEADERS, 1, &request)).await;
    for _ in 0..5 {
        connection.send(&frame(DATA, 0, 1, &[b'a'; 16_384])).await;
    }
    connection.ended().await;
    assert_eq!(connection.goaways, [FLOW_CONTROL_ERROR]);
    assert_eq!(app.status_with(&known).await, 200);
}
