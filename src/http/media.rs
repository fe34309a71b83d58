//! The two forms of a text: what a body is (`content-type`), and what the answer should be (`accept`).

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use mediatype::names::{_STAR, APPLICATION, CHARSET, JSON, PLAIN, TEXT};
use mediatype::{MediaType, MediaTypeList, Name, ReadParams as _};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::{Kind, Problem};
use crate::json;

/// How a text is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Text,
}

/// The JSON form of a text, in a request and in an answer.
#[derive(Serialize, ToSchema)]
pub(super) struct Message<'a> {
    /// The text.
    #[schema(example = "hello, world!")]
    data: &'a str,
}

impl Form {
    const ALL: [Self; 2] = [Self::Json, Self::Text];

    /// The form of a request's body.
    pub(super) fn of_body(headers: &HeaderMap) -> Result<Self, Problem> {
        let unsupported = |detail| Problem::new(Kind::UnsupportedMediaType, detail);
        let identity = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
        if !headers.get_all(CONTENT_ENCODING).iter().all(identity) {
            return Err(unsupported("send the body without a content coding"));
        }
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let (Some(only), None) = (types.next(), types.next()) else {
            return Err(unsupported(
                "send exactly one content-type: application/json or text/plain",
            ));
        };
        let media_type = only
            .to_str()
            .ok()
            .and_then(|text| MediaType::parse(text.trim()).ok());
        media_type
            .filter(is_utf8)
            .and_then(|sent| {
                Self::ALL
                    .into_iter()
                    .find(|form| form.essence() == (sent.ty, sent.subty) && sent.suffix.is_none())
            })
            .ok_or_else(|| unsupported("send application/json or text/plain, in UTF-8"))
    }

    /// The form of the answer: the one that `accept` likes better, that of the request if it likes both as much.
    pub(super) fn of_answer(self, headers: &HeaderMap) -> Result<Self, Problem> {
        let values: Vec<_> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        if values.iter().all(|value| value.trim().is_empty())
            && headers.get_all(ACCEPT).iter().count() == values.len()
        {
            return Ok(self);
        }
        let weight = |form: Self| {
            values
                .iter()
                .flat_map(|value| MediaTypeList::new(value))
                .flatten()
                .filter_map(|range| form.matched_by(&range))
                // The most specific range decides (RFC 9110 section 12.5.1).
                .max_by_key(|(specificity, _)| *specificity)
                .map_or(0, |(_, weight)| weight)
        };
        let other = if self == Self::Json {
            Self::Text
        } else {
            Self::Json
        };
        match (weight(self), weight(other)) {
            (0, 0) => Err(Problem::new(
                Kind::NotAcceptable,
                "accept allows neither application/json nor text/plain",
            )),
            (own, others) if own >= others => Ok(self),
            _ => Ok(other),
        }
    }

    /// How specific a range of `accept` is about this form, and its weight in thousandths; `None` if it does not match.
    fn matched_by(self, range: &MediaType<'_>) -> Option<(u8, u16)> {
        let (ty, subty) = self.essence();
        let specificity = match (range.ty, range.subty) {
            (any, anything) if any == _STAR && anything == _STAR => 0,
            (same, anything) if same == ty && anything == _STAR => 1,
            (same, identical) if (same, identical) == (ty, subty) && range.suffix.is_none() => 2,
            _ => return None,
        };
        weight(range)
            .filter(|_| is_utf8(range))
            .map(|weight| (specificity, weight))
    }

    fn essence(self) -> (Name<'static>, Name<'static>) {
        match self {
            Self::Json => (APPLICATION, JSON),
            Self::Text => (TEXT, PLAIN),
        }
    }

    /// The value of `content-type`.
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }

    /// The text in a body of this form.
    pub(super) fn read(self, body: Bytes) -> Result<String, Problem> {
        let malformed = |detail| Problem::new(Kind::MalformedRequest, detail);
        match self {
            Self::Text => {
                String::from_utf8(body.into()).map_err(|_| malformed("the body is not UTF-8".to_owned()))
            }
            Self::Json => match json::members(&body, ["data"]) {
                Ok([Some(Value::String(text))]) => Ok(text),
                Ok([None]) => Err(malformed("the object has no member `data`".to_owned())),
                Ok(_) => Err(malformed("`data` is not a string".to_owned())),
                Err(problem) => Err(malformed(format!("the body cannot be read: {problem}"))),
            },
        }
    }

    /// A body of this form.
    pub(super) fn write(self, text: &str) -> Bytes {
        match self {
            Self::Text => Bytes::copy_from_slice(text.as_bytes()),
            Self::Json => serde_json::to_vec(&Message { data: text })
                .expect("a string is JSON")
                .into(),
        }
    }
}

/// Without `charset`, or with UTF-8 in every one of them.
fn is_utf8(media_type: &MediaType<'_>) -> bool {
    let mut charsets = media_type.params().filter(|(name, _)| *name == CHARSET);
    charsets.all(|(_, charset)| charset.unquoted_str().eq_ignore_ascii_case("utf-8"))
}

/// `q` in thousandths; `None` for one that is none, which makes its range as good as absent.
fn weight(range: &MediaType<'_>) -> Option<u16> {
    let Some((_, q)) = range
        .params()
        .find(|(name, _)| name.as_str().eq_ignore_ascii_case("q"))
    else {
        return Some(1000);
    };
    let q = q.as_str();
    let well_formed = q.len() <= 5 && q.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let q = q
        .parse::<f64>()
        .ok()
        .filter(|q| well_formed && (0.0..=1.0).contains(q))?;
    Some((q * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    use super::Form;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        }
        headers
    }

    #[test]
    fn bodies() {
        for (value, form) in [
            ("application/json", Form::Json),
            ("Application/JSON", Form::Json),
            ("application/json; charset=utf-8", Form::Json),
            ("application/json;charset=\"UTF-8\"", Form::Json),
            ("application/json; profile=x", Form::Json),
            ("text/plain", Form::Text),
            ("text/plain;charset=UTF-8", Form::Text),
        ] {
            assert_eq!(
                Form::of_body(&headers(&CONTENT_TYPE, &[value])).ok(),
                Some(form),
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
            &["text/plain; charset=utf-8; charset=utf-16"],
            &["application/json; charset=utf-16"],
        ] {
            assert!(
                Form::of_body(&headers(&CONTENT_TYPE, values)).is_err(),
                "{values:?}"
            );
        }
        let mut compressed = headers(&CONTENT_TYPE, &["text/plain"]);
        compressed.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(Form::of_body(&compressed).is_err());
        compressed.insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
        assert!(Form::of_body(&compressed).is_ok());
    }

    #[test]
    fn answers() {
        use Form::{Json, Text};
        for (accept, to_json, to_text) in [
            (&[][..], Some(Json), Some(Text)),
            (&[""], Some(Json), Some(Text)),
            (&["*/*"], Some(Json), Some(Text)),
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
                (Json.of_answer(&accept).ok(), Text.of_answer(&accept).ok()),
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
                let _ = (Form::of_body(&headers), Form::Json.of_answer(&headers));
            }
        }

        #[test]
        fn what_is_written_can_be_read(text in any::<String>()) {
            for form in Form::ALL {
                let read = form.read(form.write(&text)).ok();
                prop_assert_eq!(read.as_ref(), Some(&text));
            }
        }

        #[test]
        fn no_body_panics(body in any::<Vec<u8>>()) {
            for form in Form::ALL {
                let _ = form.read(body.clone().into());
            }
        }
    }
}
