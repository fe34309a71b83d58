//! What SHOUTCLOUD is sent.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;

use super::{answer, app_with};
use crate::support::{App, raw};

#[tokio::test]
async fn it_is_sent_the_reversed_text_in_exactly_the_form_that_its_server_accepts() {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let upstream = raw::Server::start(move |request, mut stream| {
        seen.lock().expect("not poisoned").push(request);
        async move {
            let shout = r#"{"INPUT":"é\"<ih","OUTPUT":"É\"<IH"}"#;
            _ = stream.write_all(&answer("200 OK", shout.as_bytes())).await;
        }
    })
    .await;
    let app = app_with(&upstream, &[]).await;
    let response = app
        .shout("hi<\"é")
        .header("x-private", "1")
        .header("cookie", "a=b")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.expect("UTF-8"), "É\"<IH");
    let requests = requests.lock().expect("not poisoned");
    let [request] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    assert_eq!(head.lines().next(), Some("POST /V1/SHOUT HTTP/1.1"));
    let values = |wanted: &str| {
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        headers
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(values("content-type"), ["application/json"]);
    assert_eq!(values("host"), [upstream.address.to_string()]);
    assert_eq!(values("content-length"), [body.len().to_string()]);
    for private in ["authorization", "cookie", "x-private", "transfer-encoding"] {
        assert_eq!(values(private), [""; 0], "{private}");
    }
    let members: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(members, serde_json::json!({"INPUT": "é\"<ih"}));
}

#[tokio::test]
async fn a_plain_text_is_sent_as_the_plainest_json() {
    let bodies = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&bodies);
    let upstream = raw::Server::start(move |request, mut stream| {
        request
            .split_once("\r\n\r\n")
            .expect("a head")
            .1
            .clone_into(&mut seen.lock().expect("not poisoned"));
        async move {
            let shout = br#"{"INPUT":"ih","OUTPUT":"IH"}"#;
            _ = stream.write_all(&answer("200 OK", shout)).await;
        }
    })
    .await;
    let app = app_with(&upstream, &[]).await;
    let response = app.shout("hi").send().await.expect("an answer");
    assert_eq!(response.text().await.expect("UTF-8"), "IH");
    assert_eq!(*bodies.lock().expect("not poisoned"), r#"{"INPUT":"ih"}"#);
}

#[tokio::test]
async fn texts_that_its_server_escapes_sixfold_are_shouted() {
    let app = App::start(&[]).await;
    for text in ["<", "&", "\u{2028}", "\u{1}", "\"", "é<"] {
        let text = text.repeat(5_000);
        let response = app.shout(&text).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{:?}", text.chars().next());
        let shout = response.text().await.expect("UTF-8");
        let expected: String = text.to_uppercase().chars().rev().collect();
        assert!(shout == expected, "{:?}", text.chars().next());
    }
}
