//! Responses that are not a shout.

use super::{app_with, assert_failure};
use crate::support::send;
use crate::support::upstream::{FakeUpstream, Reply};

#[tokio::test]
async fn a_200_that_is_not_a_shout_is_502() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    for body in [
        b"".as_slice(),
        b"null",
        b"<html>s3cret</html>",
        br#""IH s3cret""#,
        br#"["ih","IH"]"#,
        br#"[{"INPUT":"ih","OUTPUT":"IH"}]"#,
        br#"{"INPUT":"ih"}"#,
        br#"{"OUTPUT":"IH"}"#,
        br#"{"input":"ih","output":"IH"}"#,
        br#"{"INPUT":"hi","OUTPUT":"HI"}"#,
        br#"{"INPUT":"s3cret","OUTPUT":"S3CRET"}"#,
        br#"{"INPUT":"s3cret","OUTPUT":"IH"}"#,
        br#"{"INPUT":"IH","OUTPUT":"IH"}"#,
        br#"{"INPUT":"ih","OUTPUT":"s3cret"}"#,
        br#"{"INPUT":"ih","OUTPUT":""}"#,
        br#"{"INPUT":"ih","OUTPUT":"HI"}"#,
        br#"{"INPUT":"ih","OUTPUT":"IH "}"#,
        br#"{"INPUT":"ih","OUTPUT":null}"#,
        br#"{"INPUT":"ih","OUTPUT":1}"#,
        br#"{"INPUT":["ih"],"OUTPUT":"IH"}"#,
        br#"{"INPUT":"ih","OUTPUT":["IH"]}"#,
        br#"{"INPUT":"ih","OUTPUT":"IH","OUTPUT":"IH"}"#,
        br#"{"INPUT":"ih","INPUT":"ih","OUTPUT":"IH"}"#,
        br#"{"INPUT":"ih","OUTPUT":"IH","OUTPU\u0054":"s3cret"}"#,
        br#"{"INPUT":"ih","OUTPUT":"IH"}s3cret"#,
        br#"{"INPUT":"ih","OUTPUT":"IH""#,
        br#"{"INPUT":"ih","OUTPUT":"IH\ud800"}"#,
        b"\xef\xbb\xbf{\"INPUT\":\"ih\",\"OUTPUT\":\"IH\"}",
        b"{\"INPUT\":\"ih\",\"OUTPUT\":\"I\xff\"}",
        b"{\"INPUT\":\"ih\",\"OUTPUT\":\"IH\",\"x\":\"\xff\"}",
    ] {
        assert_failure(&upstream, &app, Reply::body(body), 502, "upstream-invalid").await;
    }
}

#[tokio::test]
async fn invalid_chunks_are_502() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    for chunks in [
        "zz\r\n",
        "s3cret\r\n",
        "-1\r\n",
        "1\r\n{}\r\n",
        "fffffffffffffffff\r\n",
    ] {
        let response = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        assert_failure(
            &upstream,
            &app,
            Reply::Bytes(response.into()),
            502,
            "upstream-invalid",
        )
        .await;
    }
}

#[tokio::test]
async fn json_that_ends_early_in_a_complete_body_is_502() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    let cut = r#"{"INPUT":"ih","OUTP"#;
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{cut}\r\n0\r\n\r\n",
        cut.len()
    );
    let mut replies = vec![Reply::body(cut), Reply::Bytes(chunked.into())];
    // Without length and chunks, but invalid before its end.
    for body in ["<html>s3cret", r#"{"INPUT":"ih",,"#, r#"["ih""#] {
        replies.push(Reply::Bytes(format!("HTTP/1.1 200 OK\r\n\r\n{body}").into()));
    }
    for reply in replies {
        assert_failure(&upstream, &app, reply, 502, "upstream-invalid").await;
    }
}

#[tokio::test]
async fn a_response_may_have_every_character_escaped() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    let escape =
        |text: &str| -> String { text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect() };
    for character in ["a", "\u{c}", "é", "\u{1f600}", "<"] {
        let text = character.repeat(2_000);
        let shout = text.to_uppercase();
        let body = format!(r#"{{"INPUT":"{}","OUTPUT":"{}"}}"#, escape(&text), escape(&shout));
        upstream.set([Reply::body(body)]);
        let response = send(app.shout(&text)).await;
        assert_eq!(response.status(), 200, "{character:?}");
        assert!(response.text().await.expect("UTF-8") == shout, "{character:?}");
    }
}

#[tokio::test]
async fn a_response_may_have_twelve_times_the_size_of_the_text_and_4_kib() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    let limit = 12 * "ih".len() + 4096;
    let padded = |length: usize| format!("{:length$}", r#"{"INPUT":"ih","more":[],"OUTPUT":"Ih"}"#);
    upstream.set([Reply::body(padded(limit))]);
    let response = send(app.shout("hi")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.expect("UTF-8"), "Ih");
    let too_long = Reply::body(padded(limit + 1));
    assert_failure(&upstream, &app, too_long, 502, "upstream-invalid").await;
}

#[tokio::test]
async fn other_statuses_are_503_if_they_are_transient_and_502_otherwise() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    let shout = br#"{"INPUT":"ih","OUTPUT":"IH"}"#;
    for status in [
        201, 202, 203, 206, 400, 401, 402, 403, 404, 405, 406, 409, 410, 413, 415, 418, 422, 425, 451, 501,
        505, 507, 511, 599,
    ] {
        let reply = Reply::response(&format!("{status} s3cret"), shout);
        assert_failure(&upstream, &app, reply, 502, "upstream-invalid").await;
    }
    let no_content = Reply::Bytes(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec());
    assert_failure(&upstream, &app, no_content, 502, "upstream-invalid").await;
    for status in [408, 429, 500, 502, 503, 504] {
        assert_failure(
            &upstream,
            &app,
            Reply::Status(status),
            503,
            "upstream-unavailable",
        )
        .await;
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = FakeUpstream::shouting().await;
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    for status in [300, 301, 302, 303, 307, 308] {
        let redirect = format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {}\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n",
            target.url()
        );
        assert_failure(
            &upstream,
            &app,
            Reply::Bytes(redirect.into()),
            502,
            "upstream-invalid",
        )
        .await;
    }
    assert_eq!(target.calls(), 0);
}

#[tokio::test]
async fn a_response_that_is_not_http_is_502() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &[]).await;
    for garbage in [
        b"s3cret s3cret s3cret\r\n\r\n".as_slice(),
        b"220 mail.example ESMTP s3cret\r\n",
        b"SSH-2.0-s3cret\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50\x15\x03\x01\x00\x02",
        b"HTTP/1.1 abc s3cret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ns3cret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: s3cret\r\n\r\n",
    ] {
        assert_failure(
            &upstream,
            &app,
            Reply::Bytes(garbage.to_vec()),
            502,
            "upstream-invalid",
        )
        .await;
    }
}
