//! Answers that are not a shout, or not what a shout comes in.

use super::{Puppet, answer, app_with};
use crate::support::raw;

#[tokio::test]
async fn a_200_that_is_not_a_shout_is_502() {
    let puppet = Puppet::start().await;
    let app = app_with(&puppet.server, &[]).await;
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
        puppet
            .assert(&app, &answer("200 OK", body), 502, "upstream-invalid")
            .await;
    }
}

#[tokio::test]
async fn chunks_that_are_none_are_no_answer() {
    let puppet = Puppet::start().await;
    let app = app_with(&puppet.server, &[]).await;
    for chunks in [
        "zz\r\n",
        "s3cret\r\n",
        "-1\r\n",
        "1\r\n{}\r\n",
        "fffffffffffffffff\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        puppet
            .assert(&app, answer.as_bytes(), 502, "upstream-invalid")
            .await;
    }
}

#[tokio::test]
async fn json_that_ends_early_in_a_complete_body_is_502() {
    let puppet = Puppet::start().await;
    let app = app_with(&puppet.server, &[]).await;
    let cut = r#"{"INPUT":"ih","OUTP"#;
    puppet
        .assert(&app, &answer("200 OK", cut.as_bytes()), 502, "upstream-invalid")
        .await;
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{cut}\r\n0\r\n\r\n",
        cut.len()
    );
    puppet
        .assert(&app, chunked.as_bytes(), 502, "upstream-invalid")
        .await;
    // Without length and chunks, but wrong before its end.
    for body in ["<html>s3cret", r#"{"INPUT":"ih",,"#, r#"["ih""#] {
        let body = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
        puppet
            .assert(&app, body.as_bytes(), 502, "upstream-invalid")
            .await;
    }
}

#[tokio::test]
async fn a_shout_may_have_every_character_escaped() {
    let puppet = Puppet::start().await;
    let app = app_with(&puppet.server, &[]).await;
    for text in ["a", "\u{c}", "é", "\u{1f600}", "<"] {
        let text = text.repeat(2_000);
        let escape =
            |text: &str| -> String { text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect() };
        let body = format!(
            r#"{{"INPUT":"{}","OUTPUT":"{}"}}"#,
            escape(&text),
            escape(&text.to_uppercase())
        );
        *puppet.answer.lock().expect("not poisoned") = answer("200 OK", body.as_bytes());
        let response = app.shout(&text).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{:?}", text.chars().next());
        assert!(response.text().await.expect("UTF-8") == text.to_uppercase());
    }
}

#[tokio::test]
async fn a_shout_may_be_padded_but_not_beyond_twelve_times_the_text_and_4_kib() {
    let puppet = Puppet::start().await;
    let app = app_with(&puppet.server, &[]).await;
    let limit = 12 * "ih".len() + 4096;
    let padded = |length: usize| format!("{:length$}", r#"{"INPUT":"ih","more":[],"OUTPUT":"Ih"}"#);
    *puppet.answer.lock().expect("not poisoned") = answer("200 OK", padded(limit).as_bytes());
    let response = app.shout("hi").send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.expect("UTF-8"), "Ih");
    let too_long = answer("200 OK", padded(limit + 1).as_bytes());
    puppet.assert(&app, &too_long, 502, "upstream-invalid").await;
}

#[tokio::test]
async fn other_statuses_are_502_for_good_and_503_if_they_may_pass() {
    let puppet = Puppet::start().await;
    let app = app_with(&puppet.server, &[]).await;
    let shout = br#"{"INPUT":"ih","OUTPUT":"IH"}"#;
    for status in [
        201, 202, 203, 206, 400, 401, 402, 403, 404, 405, 406, 409, 410, 413, 415, 418, 422, 425, 451, 501,
        505, 507, 511, 599,
    ] {
        let answer = answer(&format!("{status} s3cret"), shout);
        puppet.assert(&app, &answer, 502, "upstream-invalid").await;
    }
    puppet
        .assert(
            &app,
            b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
            502,
            "upstream-invalid",
        )
        .await;
    for status in [408, 429, 500, 502, 503, 504] {
        let answer = answer(&format!("{status} s3cret"), b"s3cret");
        puppet.assert(&app, &answer, 503, "upstream-unavailable").await;
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let shout = answer("200 OK", br#"{"INPUT":"ih","OUTPUT":"IH"}"#);
    let target = raw::Server::answering(shout).await;
    let puppet = Puppet::start().await;
    let app = app_with(&puppet.server, &[]).await;
    for status in [300, 301, 302, 303, 307, 308] {
        let redirect = format!(
            "HTTP/1.1 {status} Over there\r\nlocation: http://{}/V1/SHOUT\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n",
            target.address
        );
        puppet
            .assert(&app, redirect.as_bytes(), 502, "upstream-invalid")
            .await;
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_502() {
    let puppet = Puppet::start().await;
    let app = app_with(&puppet.server, &[]).await;
    for garbage in [
        b"s3cret s3cret s3cret\r\n\r\n".as_slice(),
        b"220 mail.example ESMTP s3cret\r\n",
        b"SSH-2.0-s3cret\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50\x15\x03\x01\x00\x02",
        b"HTTP/1.1 abc s3cret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ns3cret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: s3cret\r\n\r\n",
    ] {
        puppet.assert(&app, garbage, 502, "upstream-invalid").await;
    }
}
