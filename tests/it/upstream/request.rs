//! Requests to SHOUTCLOUD.

use super::app_with;
use crate::support::upstream::FakeUpstream;
use crate::support::{App, send};

#[tokio::test]
async fn a_request_has_the_reversed_text_in_the_form_that_shoutcloud_accepts() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &[]).await;
    let request = app
        .shout("hi<\"é")
        .header("x-private", "1")
        .header("cookie", "a=b");
    let response = send(request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.expect("UTF-8"), "É\"<IH");
    let requests = upstream.requests();
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
    assert_eq!(values("host"), [upstream.address().to_string()]);
    assert_eq!(values("content-length"), [body.len().to_string()]);
    for private in ["authorization", "cookie", "x-private", "transfer-encoding"] {
        assert_eq!(values(private), [""; 0], "{private}");
    }
    let members: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(members, serde_json::json!({"INPUT": "é\"<ih"}));
}

#[tokio::test]
async fn the_body_is_compact_json() {
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&upstream, &[]).await;
    let response = send(app.shout("hi")).await;
    assert_eq!(response.text().await.expect("UTF-8"), "IH");
    assert!(upstream.requests()[0].ends_with("\r\n\r\n{\"INPUT\":\"ih\"}"));
}

#[tokio::test]
async fn texts_that_shoutcloud_escapes_sixfold_are_shouted() {
    let app = App::start(&[]).await;
    for text in ["<", "&", "\u{2028}", "\u{1}", "\"", "é<"] {
        let text = text.repeat(5_000);
        let response = send(app.shout(&text)).await;
        assert_eq!(response.status(), 200, "{:?}", text.chars().next());
        let shout = response.text().await.expect("UTF-8");
        let expected: String = text.to_uppercase().chars().rev().collect();
        assert!(shout == expected, "{:?}", text.chars().next());
    }
}
