//! Valid and malformed bodies.

use crate::support::{App, assert_problem};

#[tokio::test]
async fn json_other_than_one_object_with_a_data_string_is_400() {
    let app = App::start(&[]).await;
    let deep = format!(r#"{{"data":{}"#, "[".repeat(10_000));
    for body in [
        b"".as_slice(),
        b" ",
        b"{",
        b"{}",
        b"null",
        b"\"hi\"",
        b"[\"hi\"]",
        b"[{\"data\":\"hi\"}]",
        br#"{"Data":"hi"}"#,
        br#"{"data":null}"#,
        br#"{"data":1}"#,
        br#"{"data":true}"#,
        br#"{"data":["hi"]}"#,
        br#"{"data":{"data":"hi"}}"#,
        br#"{"data":"hi","data":"hi"}"#,
        br#"{"data":"hi","d\u0061ta":"ho"}"#,
        br#"{"x":1,"data":"hi","x":2}"#,
        br#"{"x":1,"data":"hi","\u0078":2}"#,
        br#"{"data":"\ud800"}"#,
        br#"{"data":"\udc00"}"#,
        br#"{"data":"\udc00\ud800"}"#,
        br#"{"data":"\ud800\ud800"}"#,
        br#"{"data":"\ud83d\u0041"}"#,
        br#"{"data":"\ud83"}"#,
        br#"{"data":"hi","x":"\ud800"}"#,
        br#"{"data":"hi","x":[{"y":"\udfff"}]}"#,
        br#"{"data":"hi","\ud800":1}"#,
        b"\xef\xbb\xbf{\"data\":\"hi\"}",
        b"\xff\xfe{\0\"\0d\0",
        b"{\"data\":\"\xff\"}",
        b"{\"data\":\"\xc0\xaf\"}",
        b"{\"data\":\"\xed\xa0\x80\"}",
        b"{\"data\":\"hi\",\"x\":\"\xff\"}",
        b"{\"data\":\"a\nb\"}",
        br#"{"data":"hi"}x"#,
        br#"{"data":"hi"}{"data":"hi"}"#,
        b"{\"data\":\"hi\"}\0",
        br#"{"data":"hi",}"#,
        br#"{"data":"hi" "x":1}"#,
        br#"{'data':'hi'}"#,
        br#"{data:"hi"}"#,
        br#"{"data":"hi"/**/}"#,
        br#"{"data":"\x41"}"#,
        br#"{"data":"hi","x":NaN}"#,
        br#"{"data":"hi","x":01}"#,
        deep.as_bytes(),
    ] {
        let request = super::json(&app, body.to_vec());
        let response = request.send().await.expect("a response");
        let case = String::from_utf8_lossy(body);
        assert_eq!(response.status(), 400, "{case}");
        assert_problem(response, 400, "malformed-request").await;
    }
    assert_eq!(app.shoutcloud.calls(), 0);
}

#[tokio::test]
async fn unknown_members_white_space_and_escapes_are_accepted() {
    let app = App::start(&[]).await;
    let deep = format!(
        r#"{{"data":"hi","x":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    for (body, shout) in [
        (r#"{"data":"hi","more":[1,2.5e3,null,{"data":1}],"":false}"#, "IH"),
        (r#"{"more":{"x":1},"data":"hi"}"#, "IH"),
        (" \r\n\t{ \"data\" :\n\"hi\" } \n", "IH"),
        (r#"{"d\u0061ta":"\u0068i"}"#, "IH"),
        (r#"{"data":"a\ud83d\ude00b"}"#, "B😀A"),
        (r#"{"data":"\\ud800"}"#, "008DU\\"),
        (r#"{"data":"hi","x":"\\\ud83d\ude00"}"#, "IH"),
        (r#"{"data":"hi","data ":"ho"}"#, "IH"),
        (&deep, "IH"),
    ] {
        let request = super::json(&app, body.to_owned()).header("accept", "text/plain");
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), 200, "{body}");
        assert_eq!(response.text().await.expect("UTF-8"), shout, "{body}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_or_has_a_byte_order_mark_is_400() {
    let app = App::start(&[]).await;
    for body in [
        b"\xff".as_slice(),
        b"caf\xe9",
        b"\xed\xa0\x80",
        b"abc\xf0\x9f\x98",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbfhello",
    ] {
        let request = app.shout("").body(body);
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), 400, "{body:?}");
        assert_problem(response, 400, "malformed-request").await;
    }
    assert_eq!(app.shoutcloud.calls(), 0);
}
