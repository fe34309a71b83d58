//! Media types of requests and responses.

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use super::Format;

fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name, HeaderValue::from_str(value).expect("a header value"));
    }
    headers
}

#[test]
fn formats_of_requests() {
    for (value, format) in [
        ("application/json", Format::Json),
        ("Application/JSON", Format::Json),
        ("application/json; charset=utf-8", Format::Json),
        ("application/json;charset=\"UTF-8\"", Format::Json),
        ("application/json; profile=x", Format::Json),
        ("application/json;", Format::Json),
        ("application/json;;charset=utf-8", Format::Json),
        ("application/json ; ; charset=utf-8;\t;", Format::Json),
        ("application/json;profile=\"a;;b\";;charset=utf-8", Format::Json),
        ("text/plain", Format::Text),
        ("text/plain;charset=UTF-8", Format::Text),
    ] {
        assert_eq!(
            Format::from_content_type(&headers(&CONTENT_TYPE, &[value])).ok(),
            Some(format),
            "{value}"
        );
    }
    for values in [
        &[][..],
        &[""],
        &["application/json", "application/json"],
        &["application/json, text/plain"],
        &["application/json+x"],
        &["application/vnd.api+json"],
        &["text/html"],
        &["text/*"],
        &["*/*"],
        &["json"],
        &["text/plain; charset=iso-8859-1"],
        &["text/plain;; charset=iso-8859-1"],
        &["text/plain; charset=utf-8; charset=utf-16"],
        &["text/plain; charset"],
        &["text/plain;=x"],
        &[";text/plain"],
        &["*"],
        &["application/json; charset=utf-16"],
    ] {
        assert!(
            Format::from_content_type(&headers(&CONTENT_TYPE, values)).is_err(),
            "{values:?}"
        );
    }
    let mut compressed = headers(&CONTENT_TYPE, &["text/plain"]);
    compressed.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert!(Format::from_content_type(&compressed).is_err());
    compressed.insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    assert!(Format::from_content_type(&compressed).is_ok());
}

#[test]
fn formats_of_responses() {
    use Format::{Json, Text};
    for (accept, to_json, to_text) in [
        (&[][..], Some(Json), Some(Text)),
        (&[""], Some(Json), Some(Text)),
        (&["*/*"], Some(Json), Some(Text)),
        (&["*"], Some(Json), Some(Text)),
        (&["text/html, *; q=.2, */*; q=.2"], Some(Json), Some(Text)),
        (&["*;q=0.5, application/json"], Some(Json), Some(Json)),
        (
            &["text/plain;;q=0.5, application/json;;q=0.6"],
            Some(Json),
            Some(Json),
        ),
        (&["text/plain;x=\",\";;q=0.5"], Some(Text), Some(Text)),
        (&["*;q=0"], None, None),
        (&["**"], None, None),
        (&["text/html, */*;q=0.1"], Some(Json), Some(Text)),
        (&["application/json"], Some(Json), Some(Json)),
        (&["text/plain"], Some(Text), Some(Text)),
        (&["text/*"], Some(Text), Some(Text)),
        (&["text/plain; charset=utf-8"], Some(Text), Some(Text)),
        (&["TEXT/PLAIN"], Some(Text), Some(Text)),
        (&["text/plain, application/json"], Some(Json), Some(Text)),
        (&["text/plain", "application/json"], Some(Json), Some(Text)),
        (
            &["text/plain;q=0.9, application/json;q=0.8"],
            Some(Text),
            Some(Text),
        ),
        (&["application/json;q=0, */*"], Some(Text), Some(Text)),
        (&["text/plain;Q=0, application/*"], Some(Json), Some(Json)),
        (&["*/*, application/json;q=0.5"], Some(Text), Some(Text)),
        (&["text/html"], None, None),
        (&["*/*;q=0"], None, None),
        (&["application/json;q=0, text/plain;q=0.000"], None, None),
        (&["text/plain; charset=iso-8859-1"], None, None),
        (&["application/json;q=nonsense"], None, None),
        (&["application/json;q=0.12345, */*;q=0.5"], Some(Json), Some(Text)),
        (&["nonsense"], None, None),
        (&["application/json+x"], None, None),
    ] {
        let accept = headers(&ACCEPT, accept);
        assert_eq!(
            (Json.negotiate(&accept).ok(), Text.negotiate(&accept).ok()),
            (to_json, to_text),
            "{accept:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_header_panics(value in any::<Vec<u8>>()) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.clone());
            headers.insert(ACCEPT, value);
            let _ = (Format::from_content_type(&headers), Format::Json.negotiate(&headers));
        }
    }

    #[test]
    fn encoded_texts_are_decoded(text in any::<String>()) {
        for format in Format::ALL {
            let text = text.trim_start_matches('\u{feff}').to_owned();
            let decoded = format.decode(format.encode(&text)).ok();
            prop_assert_eq!(decoded.as_ref(), Some(&text));
        }
    }

    #[test]
    fn no_body_panics(body in any::<Vec<u8>>()) {
        for format in Format::ALL {
            let _ = format.decode(body.clone().into());
        }
    }
}

#[test]
fn a_byte_order_mark_is_rejected_at_the_start_only() {
    for format in Format::ALL {
        let body = format.encode("a\u{feff}b\u{feff}");
        assert_eq!(format.decode(body).ok().as_deref(), Some("a\u{feff}b\u{feff}"));
        let with_mark = ["\u{feff}".as_bytes(), &format.encode("ab")].concat();
        assert!(format.decode(with_mark.into()).is_err(), "{format:?}");
    }
}
