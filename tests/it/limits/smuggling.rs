//! Framing that two parsers may read in two ways: never is a second request read out of what the first one sent.

use crate::support::App;
use crate::support::http1::{self, shout};

#[tokio::test]
async fn no_framing_hides_a_second_request() {
    // After an answer the idle connection is closed, and what came on it is all there is.
    let app = App::start(&[("IDLE_TIMEOUT", "1s"), ("HEADER_READ_TIMEOUT", "1s")]).await;
    let token = app.cognito.token();
    let hidden = shout(&token, "hidden");
    let chunked = format!("2\r\nhi\r\n0\r\n\r\n{hidden}");
    let length = chunked.len();
    let short = format!("hi{hidden}");
    // Fields, body, and the answers that are right: one at most, where the framing can be read in two ways.
    let cases = [
        (
            format!("content-length: {length}\r\ntransfer-encoding: chunked"),
            chunked.clone(),
        ),
        (
            format!("transfer-encoding: chunked\r\ncontent-length: {length}"),
            chunked.clone(),
        ),
        (
            "content-length: 2\r\ntransfer-encoding: chunked".to_owned(),
            short.clone(),
        ),
        ("content-length: 2\r\ncontent-length: 3".to_owned(), short.clone()),
        (
            format!("content-length: 2\r\ncontent-length: {}", short.len()),
            short.clone(),
        ),
        (format!("content-length: 2, {}", short.len()), short.clone()),
        ("content-length: +2".to_owned(), short.clone()),
        ("content-length: 0x2".to_owned(), short.clone()),
        ("content-length: 2 2".to_owned(), short.clone()),
        ("content-length:".to_owned(), short.clone()),
        ("content-length : 2".to_owned(), short.clone()),
        ("content-length\t: 2".to_owned(), short.clone()),
        (" content-length: 2".to_owned(), short.clone()),
        ("x: y\r\n content-length: 2".to_owned(), short.clone()),
        ("content-length:\r\n 2".to_owned(), short.clone()),
        ("transfer-encoding:\r\n chunked".to_owned(), chunked.clone()),
        ("transfer-encoding: chunked, identity".to_owned(), chunked.clone()),
        (
            "transfer-encoding: identity, chunked".to_owned(),
            format!("{chunked}0\r\n\r\n"),
        ),
        ("transfer-encoding: identity".to_owned(), chunked.clone()),
        ("transfer-encoding: xchunked".to_owned(), chunked.clone()),
        ("transfer-encoding: \x0bchunked".to_owned(), chunked.clone()),
        ("transfer-encoding: \"chunked\"".to_owned(), chunked.clone()),
        ("transfer-encoding: chunked;x=y".to_owned(), chunked.clone()),
        ("transfer-encoding : chunked".to_owned(), chunked.clone()),
        ("transfer-encoding:".to_owned(), chunked.clone()),
        (
            "transfer_encoding: chunked\r\ncontent-length: 2, 2".to_owned(),
            short.clone(),
        ),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: identity".to_owned(),
            chunked.clone(),
        ),
        (
            "transfer-encoding: gzip, chunked\r\ncontent-length: 2".to_owned(),
            chunked.clone(),
        ),
        // Chunks that are none.
        (
            "transfer-encoding: chunked".to_owned(),
            format!("2\nhi\n0\n\n{hidden}"),
        ),
        (
            "transfer-encoding: chunked".to_owned(),
            format!("2\rXhi\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "transfer-encoding: chunked".to_owned(),
            format!("0x2\r\nhi\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "transfer-encoding: chunked".to_owned(),
            format!("-2\r\nhi\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "transfer-encoding: chunked".to_owned(),
            format!("2\r\nhiXX0\r\n\r\n{hidden}"),
        ),
        (
            "transfer-encoding: chunked".to_owned(),
            format!("10000000000000002\r\nhi\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "transfer-encoding: chunked".to_owned(),
            format!("2;x\nhi\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "transfer-encoding: chunked".to_owned(),
            format!("2 2\r\nhi\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "transfer-encoding: chunked".to_owned(),
            format!("\r\n2\r\nhi\r\n0\r\n\r\n{hidden}"),
        ),
    ];
    for (fields, body) in &cases {
        for token in [token.as_str(), "bad"] {
            let request = format!(
                "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: text/plain\r\n\
                 {fields}\r\n\r\n{body}"
            );
            let answers = http1::exchange(app.public, request.as_bytes()).await;
            let statuses = answers.matches("HTTP/1.1 ").count();
            assert!(statuses <= 1, "{fields:?} {body:?}: {answers}");
            assert!(!answers.contains("NEDDIH"), "{fields:?} {body:?}: {answers}");
        }
    }
}

#[tokio::test]
async fn what_is_framed_in_an_unusual_way_is_read_in_one_way() {
    let app = App::start(&[("IDLE_TIMEOUT", "1s"), ("HEADER_READ_TIMEOUT", "1s")]).await;
    let token = app.cognito.token();
    for (fields, body) in [
        ("transfer-encoding: chunked", "2;name=value\r\nhi\r\n0\r\n\r\n"),
        (
            "transfer-encoding: chunked",
            "2;name=\"v\"\r\nhi\r\n0;last\r\n\r\n",
        ),
        ("transfer-encoding: chunked", "002\r\nhi\r\n000\r\n\r\n"),
        (
            "transfer-encoding: chunked",
            "1\r\nh\r\n1\r\ni\r\n0\r\nx-trailer: y\r\n\r\n",
        ),
        ("Transfer-Encoding: CHUNKED", "2\r\nhi\r\n0\r\n\r\n"),
        ("content-length: 2\r\ncontent-length: 2", "hi"),
        ("content-length:2", "hi"),
        ("content-length: \t2 ", "hi"),
        ("content-length: 002", "hi"),
    ] {
        let request = format!(
            "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: text/plain\r\n\
             {fields}\r\n\r\n{body}{}",
            shout(&token, "next")
        );
        let answers = http1::exchange(app.public, request.as_bytes()).await;
        let bodies: Vec<_> = answers.matches("HTTP/1.1 200 ").collect();
        assert_eq!(bodies.len(), 2, "{fields:?} {body:?}: {answers}");
        assert!(answers.contains("\r\n\r\nIH"), "{fields:?} {body:?}: {answers}");
        assert!(
            answers.ends_with("\r\n\r\nTXEN"),
            "{fields:?} {body:?}: {answers}"
        );
    }
}

#[tokio::test]
async fn a_flood_of_chunk_extensions_or_trailers_is_refused() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    let head = format!(
        "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: text/plain\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    let extensions = "x".repeat(1024 * 1024);
    let trailers = "x: y\r\n".repeat(100_000);
    for body in [format!("2;{extensions}"), format!("0\r\n{trailers}")] {
        let answer = http1::exchange(app.public, format!("{head}{body}").as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{answer:?}"
        );
    }
    assert_eq!(app.shoutcloud.calls(), 0);
}

#[tokio::test]
async fn a_request_to_two_hosts_is_refused_with_whatever_follows() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    for hosts in ["host: a\r\nhost: b", "host: a\r\nHost: a"] {
        let request = shout(&token, "hi").replace("host: x", hosts) + &shout(&token, "hidden");
        let answers = http1::exchange(app.public, request.as_bytes()).await;
        assert!(answers.starts_with("HTTP/1.1 400 "), "{hosts}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{hosts}: {answers}");
        assert!(answers.contains("connection: close"), "{answers}");
    }
    assert_eq!(app.shoutcloud.calls(), 0);
}
