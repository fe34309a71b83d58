//! Strict parser for one JSON object, used for all input from outside: request bodies, tokens, key sets and upstream
//! responses.
//!
//! serde's derive accepts an array for a struct and detects a duplicate name only among the fields it knows. Here only
//! an object is accepted, and every duplicate name in it is rejected: RFC 8259 section 4 leaves their meaning open, and
//! two parsers that choose different values let an attacker bypass a check. Nested objects may have duplicates.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::blocking;

/// Why a text was rejected. The message holds at most a position, never a part of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// JSON must be UTF-8 (RFC 8259 section 8.1).
    #[error("not valid UTF-8")]
    NotUtf8,
    /// The text is incomplete or violates the grammar.
    #[error("invalid JSON at line {line}, column {column}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
    },
    /// The text is an array, a string, a number or another value.
    #[error("not a JSON object")]
    NotAnObject,
    /// Two members of the object have the same name.
    #[error("duplicate member name")]
    DuplicateName,
    /// A `\ud800` escape without the second half of its pair (RFC 8259 section 8.2).
    #[error("unpaired surrogate in an escape sequence")]
    LoneSurrogate,
}

/// Parses `text` as one object and returns the values of the `wanted` names, in their order. Of other members only the
/// syntax is checked.
///
/// ```
/// let [data] = shoutback::json::members(br#"{"data":"hi","more":[1,2]}"#, ["data"])?;
/// assert_eq!(data, Some("hi".into()));
/// assert!(shoutback::json::members(br#"["hi"]"#, ["data"]).is_err());
/// assert!(shoutback::json::members(br#"{"data":"hi","data":"ho"}"#, ["data"]).is_err());
/// # Ok::<(), shoutback::json::ParseError>(())
/// ```
pub fn members<const N: usize>(text: &[u8], wanted: [&str; N]) -> Result<[Option<Value>; N], ParseError> {
    blocking::assert_not_on_worker(text.len());
    let text = std::str::from_utf8(text).map_err(|_| ParseError::NotUtf8)?;
    let found_duplicate = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Members {
        wanted,
        found_duplicate: &found_duplicate,
    }
    .deserialize(&mut reader)
    .and_then(|found| reader.end().map(|()| found))
    .map_err(|error| match error.classify() {
        serde_json::error::Category::Data if found_duplicate.get() => ParseError::DuplicateName,
        serde_json::error::Category::Data => ParseError::NotAnObject,
        _ => ParseError::Syntax {
            line: error.line(),
            column: error.column(),
        },
    })?;
    // serde_json checks surrogates only in strings that it builds, not in those that it skips.
    if has_lone_surrogate(text) {
        Err(ParseError::LoneSurrogate)
    } else {
        Ok(found)
    }
}

/// Returns whether `text` is the beginning of an object and ends before the object does.
pub fn is_truncated(text: &[u8]) -> bool {
    let valid = match std::str::from_utf8(text) {
        Ok(text) => text,
        // Cut inside a character.
        Err(error) if error.error_len().is_none() => {
            let whole_characters = text.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole_characters).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let is_object = valid
        .trim_ascii_start()
        .chars()
        .next()
        .is_none_or(|first| first == '{');
    is_object && serde_json::from_str::<IgnoredAny>(valid).is_err_and(|error| error.is_eof())
}

struct Members<'a, const N: usize> {
    wanted: [&'a str; N],
    found_duplicate: &'a Cell<bool>,
}

impl<'de, const N: usize> DeserializeSeed<'de> for Members<'_, N> {
    type Value = [Option<Value>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<Value>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [const { None }; N];
        let mut seen = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            match found
                .iter_mut()
                .zip(self.wanted)
                .find(|(_, wanted)| *wanted == name)
            {
                Some((slot, _)) => *slot = Some(map.next_value::<Value>()?),
                None => _ = map.next_value::<IgnoredAny>()?,
            }
            if !seen.insert(name) {
                self.found_duplicate.set(true);
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(found)
    }
}

/// A member's name, borrowed unless it has escapes. A bare `Cow` would always be owned.
#[derive(PartialEq, Eq, Hash, serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Returns whether `json` has an unpaired `\uD800`–`\uDFFF` escape. It must be valid JSON, in which a backslash is
/// always inside a string and starts an escape.
fn has_lone_surrogate(json: &str) -> bool {
    let mut rest = json;
    while let Some((_, escape)) = rest.split_once('\\') {
        let unit = code_unit(escape);
        rest = escape.get(1..).unwrap_or_default();
        match unit {
            Some(0xD800..=0xDBFF) => match escape.get(5..).and_then(|next| next.strip_prefix('\\')) {
                Some(low) if matches!(code_unit(low), Some(0xDC00..=0xDFFF)) => {
                    rest = low.get(5..).unwrap_or_default();
                }
                _ => return true,
            },
            Some(0xDC00..=0xDFFF) => return true,
            _ => {}
        }
    }
    false
}

/// Returns the UTF-16 code unit of an escape; `escape` is the text after its backslash.
fn code_unit(escape: &str) -> Option<u16> {
    u16::from_str_radix(escape.strip_prefix('u')?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{ParseError, has_lone_surrogate, is_truncated, members};

    fn data(text: &str) -> Result<Option<serde_json::Value>, ParseError> {
        members(text.as_bytes(), ["data"]).map(|[data]| data)
    }

    #[test]
    fn only_a_single_object_is_accepted() {
        assert_eq!(data(r#" {"data":"x"} "#), Ok(Some("x".into())));
        assert_eq!(data("{}"), Ok(None));
        for text in [r#"["x"]"#, r#""x""#, "1", "null", "true"] {
            assert_eq!(data(text), Err(ParseError::NotAnObject), "{text}");
        }
        for text in [
            "",
            "{",
            r#"{"data":"x"}}"#,
            r#"{"data":"x"} {}"#,
            r#"{"data":"x",}"#,
            "\u{feff}{}",
            "{'data':1}",
        ] {
            assert!(matches!(data(text), Err(ParseError::Syntax { .. })), "{text}");
        }
    }

    #[test]
    fn duplicate_names_are_rejected_even_if_escaped() {
        for text in [
            r#"{"data":"x","data":"x"}"#,
            r#"{"other":1,"other":2,"data":"x"}"#,
            r#"{"data":"x","d\u0061ta":"y"}"#,
        ] {
            assert_eq!(data(text), Err(ParseError::DuplicateName), "{text}");
        }
        assert!(
            data(r#"{"data":"x","other":{"a":1,"a":2}}"#).is_ok(),
            "duplicates in nested objects are not detected"
        );
    }

    #[test]
    fn unpaired_surrogates_are_rejected_in_ignored_members_too() {
        assert_eq!(data(r#"{"data":"\ud83d\ude00"}"#), Ok(Some("😀".into())));
        for text in [
            r#"{"data":"x","other":"\ud800"}"#,
            r#"{"data":"x","other":"\udc00\ud800"}"#,
            r#"{"data":"x","other":"\ud800\n\udc00"}"#,
        ] {
            assert_eq!(data(text), Err(ParseError::LoneSurrogate), "{text}");
        }
        assert!(data(r#"{"data":"\ud800"}"#).is_err());
        assert!(
            !has_lone_surrogate(r#"{"data":"\\ud800"}"#),
            "an escaped backslash is not an escape"
        );
        assert!(!has_lone_surrogate(r#"{"data":"\\\\é\\uD800"}"#));
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let deep = format!(
            r#"{{"other":{}{},"data":"x"}}"#,
            "[".repeat(30_000),
            "]".repeat(30_000)
        );
        assert_eq!(data(&deep), Ok(Some("x".into())));
        let deep = format!(r#"{{"data":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert!(data(&deep).is_err());
    }

    #[test]
    fn an_object_that_ends_early_is_truncated() {
        for text in ["", " ", "{", r#"{"data":"x""#, r#"{"data":"x\"#, r#"{"data":[tr"#] {
            assert!(is_truncated(text.as_bytes()), "{text}");
        }
        assert!(is_truncated(b"{\"data\":\"\xc3"), "cut inside a character");
        for text in ["{}", "{} ", "[", "\"x", "<", "{,", "{\"data\":nope"] {
            assert!(!is_truncated(text.as_bytes()), "{text}");
        }
        assert!(!is_truncated(b"{\"data\":\"\xff"), "not UTF-8");
    }

    #[test]
    fn invalid_utf8_is_rejected() {
        assert_eq!(
            members(b"{\"data\":\"\xff\"}", ["data"]),
            Err(ParseError::NotUtf8)
        );
    }
}
