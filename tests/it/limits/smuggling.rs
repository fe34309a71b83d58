//! Request smuggling: ambiguous framing never makes the service read a second request out of the first one's body.

use tokio::task::JoinSet;

use crate::support::App;
use crate::support::http1::{self, shout};

#[tokio::test]
async fn ambiguous_framing_never_hides_a_second_request() {
    // The idle timeout closes the connection after the response, so the exchange is complete.
    let app = App::start(&[("IDLE_TIMEOUT", "1s"), ("HEADER_READ_TIMEOUT", "1s")]).await;
    let token = app.cognito.token();
    let hidden = shout(&token, "hidden");
    let (short, chunked) = (format!("hi{hidden}"), format!("2\r\nhi\r\n0\r\n\r\n{hidden}"));
    let of_short = [
        "content-length: 2\r\ntransfer-encoding: chunked",
        "content-length: 2\r\ncontent-length: 3",
        &format!("content-length: 2\r\ncontent-length: {}", short.len()),
        &format!("content-length: 2, {}", short.len()),
        "content-length: +2",
        "content-length: 0x2",
        "content-length: 2 2",
        "content-length:",
        "content-length : 2",
        "content-length\t: 2",
        " content-length: 2",
        "x: y\r\n content-length: 2",
        "content-length:\r\n 2",
        "transfer_encoding: chunked\r\ncontent-length: 2, 2",
    ];
    let of_chunked = [
        &format!("content-length: {}\r\ntransfer-encoding: chunked", chunked.len()),
        &format!("transfer-encoding: chunked\r\ncontent-length: {}", chunked.len()),
        "transfer-encoding:\r\n chunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity",
        "transfer-encoding: xchunked",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked;x=y",
        "transfer-encoding : chunked",
        "transfer-encoding:",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: gzip, chunked\r\ncontent-length: 2",
    ];
    let malformed_chunks = [
        "2\nhi\n0\n\n",
        "2\rXhi\r\n0\r\n\r\n",
        "0x2\r\nhi\r\n0\r\n\r\n",
        "-2\r\nhi\r\n0\r\n\r\n",
        "2\r\nhiXX0\r\n\r\n",
        "10000000000000002\r\nhi\r\n0\r\n\r\n",
        "2;x\nhi\r\n0\r\n\r\n",
        "2 2\r\nhi\r\n0\r\n\r\n",
        "\r\n2\r\nhi\r\n0\r\n\r\n",
    ];
    let identity = (
        "transfer-encoding: identity, chunked",
        format!("{chunked}0\r\n\r\n"),
    );
    let cases = std::iter::once(identity)
        .chain(of_short.map(|fields| (fields, short.clone())))
        .chain(of_chunked.map(|fields| (fields, chunked.clone())))
        .chain(malformed_chunks.map(|body| ("transfer-encoding: chunked", format!("{body}{hidden}"))));
    let mut exchanges = JoinSet::new();
    for (fields, body) in cases {
        for token in [token.as_str(), "bad"] {
            let request = format!(
                "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: text/plain\r\n\
                 {fields}\r\n\r\n{body}"
            );
            let address = app.public;
            exchanges.spawn(async move {
                let responses = http1::exchange(address, request.as_bytes()).await;
                (request, responses)
            });
        }
    }
    assert_eq!(exchanges.len(), 74);
    for (request, responses) in exchanges.join_all().await {
        assert_eq!(
            responses.matches("HTTP/1.1 ").count(),
            1,
            "{request:?}: {responses}"
        );
        assert!(!responses.contains("NEDDIH"), "{request:?}: {responses}");
    }
}

#[tokio::test]
async fn unusual_but_valid_framing_is_accepted() {
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
async fn floods_of_chunk_extensions_and_trailers_are_rejected() {
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
async fn a_request_with_two_hosts_is_rejected_and_its_connection_closed() {
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
