//! The two formats of a text, JSON and plain text: of the request (`content-type`) and of the response (`accept`).

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use mediatype::names::{_STAR, APPLICATION, CHARSET, JSON, PLAIN, TEXT};
use mediatype::{MediaType, Name, ReadParams as _};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::field_list;
use super::problem::{Kind, Problem};
use crate::{blocking, json};

/// U+FEFF in UTF-8. At the start of a text it is no part of it, and after the reversal it would be at the end.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Text,
}

/// The JSON format of a text, in requests and responses.
#[derive(Serialize, ToSchema)]
pub(super) struct Message<'a> {
    /// The text.
    data: &'a str,
}

impl Format {
    const ALL: [Self; 2] = [Self::Json, Self::Text];

    /// Returns the format of a request body. A rejection contains what would have been accepted (RFC 9110 section 15.5.16).
    pub(super) fn from_content_type(headers: &HeaderMap) -> Result<Self, Problem> {
        let unsupported = |detail, header, accepted| {
            Problem::new(Kind::UnsupportedMediaType, detail)
                .with_header(header, HeaderValue::from_static(accepted))
        };
        let wrong_type = |detail| unsupported(detail, ACCEPT, "application/json, text/plain");
        let identity = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
        if !headers.get_all(CONTENT_ENCODING).iter().all(identity) {
            return Err(unsupported(
                "send the body without a content coding",
                ACCEPT_ENCODING,
                "identity",
            ));
        }
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let (Some(only), None) = (types.next(), types.next()) else {
            return Err(wrong_type(
                "send exactly one content-type: application/json or text/plain",
            ));
        };
        let format_of = |sent: &MediaType<'_>| {
            Self::ALL.into_iter().find(|format| {
                format.essence() == (sent.ty, sent.subty) && sent.suffix.is_none() && is_utf8(sent)
            })
        };
        only.to_str()
            .ok()
            .and_then(|text| read_media_type(text, format_of))
            .ok_or_else(|| wrong_type("send application/json or text/plain, in UTF-8"))
    }

    /// Negotiates the format of the response: the one that `accept` prefers, or that of the request if it prefers neither.
    pub(super) fn negotiate(self, headers: &HeaderMap) -> Result<Self, Problem> {
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
        let weight = |format: Self| {
            values
                .iter()
                .flat_map(|value| field_list::split(value.as_bytes(), b','))
                .filter_map(|range| std::str::from_utf8(range).ok())
                .filter_map(|range| read_media_type(range, |range| format.match_range(range)))
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

    /// Returns the specificity of a media range and its weight in thousandths; `None` if it does not match this format.
    fn match_range(self, range: &MediaType<'_>) -> Option<(u8, u16)> {
        let (ty, subty) = self.essence();
        let specificity = match (range.ty, range.subty) {
            (any, anything) if any == _STAR && anything == _STAR => 0,
            (same, anything) if same == ty && anything == _STAR => 1,
            (same, identical) if (same, identical) == (ty, subty) && range.suffix.is_none() => 2,
            _ => return None,
        };
        quality(range)
            .filter(|_| is_utf8(range))
            .map(|weight| (specificity, weight))
    }

    /// Returns type and subtype.
    fn essence(self) -> (Name<'static>, Name<'static>) {
        match self {
            Self::Json => (APPLICATION, JSON),
            Self::Text => (TEXT, PLAIN),
        }
    }

    /// Returns the value of `content-type`.
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }

    /// Extracts the text from a body of this format.
    pub(super) fn decode(self, body: Bytes) -> Result<String, Problem> {
        blocking::assert_not_on_worker(body.len());
        let malformed = |detail| Problem::new(Kind::MalformedRequest, detail);
        match self {
            Self::Text if body.starts_with(BYTE_ORDER_MARK) => {
                Err(malformed("the body starts with a byte order mark".to_owned()))
            }
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

    /// Creates a body of this format.
    pub(super) fn encode(self, text: &str) -> Bytes {
        blocking::assert_not_on_worker(text.len());
        match self {
            Self::Text => Bytes::copy_from_slice(text.as_bytes()),
            Self::Json => serde_json::to_vec(&Message { data: text })
                .expect("a string serializes to JSON")
                .into(),
        }
    }
}

/// Parses a media type or range and passes it to `read`.
///
/// Accepts what the parser of the crate does not: empty parameters (RFC 9110 section 5.6.6), and `*`, which old clients
/// send for `*/*`.
fn read_media_type<T>(text: &str, read: impl FnOnce(&MediaType<'_>) -> Option<T>) -> Option<T> {
    let text = text.trim();
    if let Ok(media_type) = MediaType::parse(text) {
        return read(&media_type);
    }
    let mut parts = field_list::split(text.as_bytes(), b';').map(<[u8]>::trim_ascii);
    let range = match parts.next()? {
        b"*" => b"*/*",
        range => range,
    };
    let mut normalized = range.to_vec();
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        normalized.push(b';');
        normalized.extend(parameter);
    }
    let media_type = MediaType::parse(std::str::from_utf8(&normalized).ok()?).ok()?;
    read(&media_type)
}

/// Returns whether every `charset`, if there is one, is UTF-8.
fn is_utf8(media_type: &MediaType<'_>) -> bool {
    let mut charsets = media_type.params().filter(|(name, _)| *name == CHARSET);
    charsets.all(|(_, charset)| charset.unquoted_str().eq_ignore_ascii_case("utf-8"))
}

/// Returns `q` in thousandths; `None` if it is malformed, so that its range is ignored.
fn quality(range: &MediaType<'_>) -> Option<u16> {
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
