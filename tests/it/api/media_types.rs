//! Content negotiation: JSON and text, in requests and responses.

use reqwest::RequestBuilder;

use crate::support::{App, assert_problem};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Builds a valid request without `content-type` and body.
fn bare(app: &App) -> RequestBuilder {
    app.post().bearer_auth(app.cognito.token())
}

async fn assert_shout(request: RequestBuilder, media_type: &str, case: &str) {
    let response = request.send().await.expect("a response");
    assert_eq!(response.status(), 200, "{case}");
    assert_eq!(response.headers()["content-type"], media_type, "{case}");
    let body = response.text().await.expect("UTF-8");
    let expected = if media_type == JSON {
        r#"{"data":"!DLROW ,OLLEH"}"#
    } else {
        "!DLROW ,OLLEH"
    };
    assert_eq!(body, expected, "{case}");
}

#[tokio::test]
async fn the_response_has_the_media_type_that_accept_prefers() {
    let app = App::start(&[]).await;
    for (accept, of_json, of_text) in [
        (None, JSON, TEXT),
        (Some(""), JSON, TEXT),
        (Some("*/*"), JSON, TEXT),
        (Some("*"), JSON, TEXT),
        (Some("text/html, *;q=0.2"), JSON, TEXT),
        (Some("application/json;q=0, *"), TEXT, TEXT),
        (Some("text/plain;;q=0.5, application/json; ;q=0.4"), TEXT, TEXT),
        (Some("application/json, text/plain"), JSON, TEXT),
        (Some("application/json"), JSON, JSON),
        (Some("application/*"), JSON, JSON),
        (Some("Application/JSON"), JSON, JSON),
        (Some("text/html, application/json;q=0.1"), JSON, JSON),
        (Some("text/plain;q=0.5, application/json"), JSON, JSON),
        (Some("*/*, text/plain;q=0"), JSON, JSON),
        (Some("text/plain"), TEXT, TEXT),
        (Some("text/*"), TEXT, TEXT),
        (Some("text/plain; charset=UTF-8"), TEXT, TEXT),
        (Some("*/*;q=0.1, text/plain"), TEXT, TEXT),
        (Some("application/json;q=0, */*"), TEXT, TEXT),
    ] {
        for (sent, body, expected) in [
            (JSON, r#"{"data":"hello, world!"}"#, of_json),
            ("text/plain", "hello, world!", of_text),
        ] {
            let mut request = bare(&app).header("content-type", sent).body(body);
            if let Some(accept) = accept {
                request = request.header("accept", accept);
            }
            assert_shout(request, expected, &format!("{sent} for {accept:?}")).await;
        }
    }
}

#[tokio::test]
async fn several_accept_headers_are_combined() {
    let app = App::start(&[]).await;
    let request = app
        .shout("hello, world!")
        .header("accept", "text/html")
        .header("accept", "application/json");
    assert_shout(request, JSON, "two headers").await;
}

#[tokio::test]
async fn accept_without_json_and_text_is_406() {
    let app = App::start(&[]).await;
    for accept in [
        "text/html",
        "image/*",
        "application/problem+json",
        "application/json;q=0",
        "application/json;q=0, text/plain;q=0.0",
        "*/*;q=0",
        "*;q=0",
        "text/plain;charset=utf-16",
    ] {
        let request = app.shout("hi").header("accept", accept);
        let problem = assert_problem(request.send().await.expect("a response"), 406, "not-acceptable").await;
        assert_eq!(problem["status"], 406, "{accept}");
    }
    assert_eq!(app.shoutcloud.calls(), 0);
}

#[tokio::test]
async fn every_spelling_of_a_known_media_type_is_accepted() {
    let app = App::start(&[]).await;
    for sent in [
        "text/plain",
        "TEXT/Plain",
        "text/plain;charset=utf-8",
        "text/plain; charset=UTF-8",
        r#"text/plain; charset="utf-8""#,
        "text/plain; format=flowed",
        "text/plain;",
        "text/plain;; charset=utf-8",
        "text/plain; ;format=flowed;\t; charset=utf-8 ;;",
    ] {
        let request = bare(&app).header("content-type", sent).body("hello, world!");
        assert_shout(request, TEXT, sent).await;
    }
    for sent in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        r#"application/json;charset="UTF-8""#,
        "application/json;;charset=utf-8",
        r#"application/json;profile="a;;b";;charset=utf-8"#,
    ] {
        let request = bare(&app)
            .header("content-type", sent)
            .body(r#"{"data":"hello, world!"}"#);
        assert_shout(request, JSON, sent).await;
    }
}

#[tokio::test]
async fn other_media_types_charsets_and_codings_are_415() {
    let app = App::start(&[]).await;
    let assert_rejected = async |headers: &[(&str, &str)]| {
        let mut request = bare(&app).body(r#"{"data":"hi"}"#);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), 415, "{headers:?}");
        let is_encoded = headers.iter().any(|(name, _)| *name == "content-encoding");
        let accepted = ["accept", "accept-encoding"].map(|name| response.headers().get(name).cloned());
        let expected = if is_encoded {
            [None, Some("identity".parse().expect("ASCII"))]
        } else {
            [Some("application/json, text/plain".parse().expect("ASCII")), None]
        };
        assert_eq!(accepted, expected, "{headers:?}");
        assert_problem(response, 415, "unsupported-media-type").await;
    };
    assert_rejected(&[]).await;
    for sent in [
        "",
        "json",
        "text/html",
        "text/*",
        "*/*",
        "application/x-www-form-urlencoded",
        "application/vnd.api+json",
        "application/json, text/plain",
        "application/json; charset=iso-8859-1",
        "text/plain; charset=utf-16",
        "text/plain; charset=utf-8; charset=latin1",
        "text/plain;; charset=latin1",
        ";text/plain",
        "*",
    ] {
        assert_rejected(&[("content-type", sent)]).await;
    }
    assert_rejected(&[("content-type", JSON), ("content-type", JSON)]).await;
    assert_rejected(&[("content-type", JSON), ("content-encoding", "gzip")]).await;
    assert_eq!(app.shoutcloud.calls(), 0);
}
