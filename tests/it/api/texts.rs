//! Texts and their shouts.

use serde_json::{Value, json};

use crate::support::App;

#[tokio::test]
async fn grapheme_clusters_are_reversed_as_units_in_json_and_text() {
    let app = App::start(&[]).await;
    for (text, shout) in [
        ("a👨‍👩‍👧‍👦b", "B👨‍👩‍👧‍👦A"),
        ("🇩🇪🇫🇷x", "X🇫🇷🇩🇪"),
        ("cafe\u{301}s", "SE\u{301}FAC"),
        ("a\u{308}\u{323}o", "OA\u{308}\u{323}"),
        ("👍🏽!", "!👍🏽"),
        ("1\u{fe0f}\u{20e3}2", "21\u{fe0f}\u{20e3}"),
        ("\u{1112}\u{1161}\u{11ab}a", "A\u{1112}\u{1161}\u{11ab}"),
        ("क्षa", "Aक्ष"),
        ("a\r\nb", "B\r\nA"),
        ("a\n\rb", "B\r\nA"),
        ("straße", "EßARTS"),
        ("ﬁn", "Nﬁ"),
        ("ǆ1", "1Ǆ"),
        ("ñandú", "ÚDNAÑ"),
        ("שלום", "םולש"),
        ("\\\"<&>/", "/>&<\"\\"),
        (" \u{2028}\u{1}\t", "\t\u{1}\u{2028} "),
        ("\u{0}a", "A\u{0}"),
        ("a\u{feff}b", "B\u{feff}A"),
    ] {
        let as_text = app.shout(text).send().await.expect("a response");
        assert_eq!(as_text.status(), 200, "{text:?}");
        assert_eq!(as_text.text().await.expect("UTF-8"), shout, "{text:?}");
        let body = json!({"data": text}).to_string();
        let as_json = super::json(&app, body).send().await.expect("a response");
        assert_eq!(as_json.status(), 200, "{text:?}");
        let shouted: Value = serde_json::from_str(&as_json.text().await.expect("UTF-8")).expect("JSON");
        assert_eq!(shouted, json!({"data": shout}), "{text:?}");
    }
}

#[tokio::test]
async fn the_empty_text_causes_no_upstream_call() {
    let app = App::start(&[]).await;
    let text = app.shout("").send().await.expect("a response");
    assert_eq!(text.status(), 200);
    assert_eq!(text.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(text.text().await.expect("UTF-8"), "");
    let json = super::json(&app, r#"{"data":""}"#)
        .send()
        .await
        .expect("a response");
    assert_eq!(json.status(), 200);
    assert_eq!(json.text().await.expect("UTF-8"), r#"{"data":""}"#);
    assert_eq!(app.shoutcloud.calls(), 0);
    assert_eq!(app.status_with(&app.cognito.token()).await, 200);
    assert_eq!(app.shoutcloud.calls(), 1);
}
