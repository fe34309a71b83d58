//! Strict reading of one JSON object.
//!
//! Tokens, request bodies, key sets and the upstream's answers are all objects that somebody else wrote. serde's derive
//! would take an array for a struct and notices a repeated name only among the fields it knows; here an object is an
//! object, and no name occurs in it twice (RFC 8259 section 4 leaves the meaning of a repeated name open, and two
//! readers that choose differently are a way around a check).

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Why a text is not an object as it is wanted here. Shows a place, never a piece of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// RFC 8259 section 8.1: JSON is UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The text breaks off or breaks the grammar.
    #[error("it is not valid JSON at line {line}, column {column}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
    },
    /// An array, a string, a number, …
    #[error("it is not a JSON object")]
    NotAnObject,
    /// The same name twice in the object.
    #[error("a name occurs in it twice")]
    RepeatedName,
    /// `\ud800` without its other half (RFC 8259 section 8.2).
    #[error("it has an escaped surrogate without its other half")]
    LoneSurrogate,
}

/// Reads `text` as one object and returns the values of the `wanted` names, in their order; other members are checked
/// for their grammar and otherwise ignored.
///
/// ```
/// let [data] = shoutback::json::members(br#"{"data":"hi","more":[1,2]}"#, ["data"])?;
/// assert_eq!(data, Some("hi".into()));
/// assert!(shoutback::json::members(br#"["hi"]"#, ["data"]).is_err());
/// assert!(shoutback::json::members(br#"{"data":"hi","data":"ho"}"#, ["data"]).is_err());
/// # Ok::<(), shoutback::json::Malformed>(())
/// ```
pub fn members<const N: usize>(text: &[u8], wanted: [&str; N]) -> Result<[Option<Value>; N], Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed::NotUtf8)?;
    let repeated = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Members {
        wanted,
        repeated: &repeated,
    }
    .deserialize(&mut reader)
    .and_then(|found| reader.end().map(|()| found))
    .map_err(|error| match error.classify() {
        serde_json::error::Category::Data if repeated.get() => Malformed::RepeatedName,
        serde_json::error::Category::Data => Malformed::NotAnObject,
        _ => Malformed::Syntax {
            line: error.line(),
            column: error.column(),
        },
    })?;
    // serde_json checks the strings that it builds, not those that it skips.
    if has_lone_surrogate(text) {
        Err(Malformed::LoneSurrogate)
    } else {
        Ok(found)
    }
}

struct Members<'a, const N: usize> {
    wanted: [&'a str; N],
    repeated: &'a Cell<bool>,
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
                self.repeated.set(true);
                return Err(A::Error::custom("repeated name"));
            }
        }
        Ok(found)
    }
}

/// A member's name, borrowed unless an escape had to be undone.
#[derive(PartialEq, Eq, Hash)]
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// Whether a `\uD800`–`\uDFFF` escape stands alone in `json`, which must have been parsed: a backslash is then always
/// inside a string and always starts an escape.
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

/// The UTF-16 code unit of an escape, given what follows its backslash.
fn code_unit(escape: &str) -> Option<u16> {
    u16::from_str_radix(escape.strip_prefix('u')?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{Malformed, has_lone_surrogate, members};

    fn data(text: &str) -> Result<Option<serde_json::Value>, Malformed> {
        members(text.as_bytes(), ["data"]).map(|[data]| data)
    }

    #[test]
    fn an_object_and_nothing_else() {
        assert_eq!(data(r#" {"data":"x"} "#), Ok(Some("x".into())));
        assert_eq!(data("{}"), Ok(None));
        for text in [r#"["x"]"#, r#""x""#, "1", "null", "true"] {
            assert_eq!(data(text), Err(Malformed::NotAnObject), "{text}");
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
            assert!(matches!(data(text), Err(Malformed::Syntax { .. })), "{text}");
        }
    }

    #[test]
    fn no_name_twice_however_it_is_written() {
        for text in [
            r#"{"data":"x","data":"x"}"#,
            r#"{"other":1,"other":2,"data":"x"}"#,
            r#"{"data":"x","d\u0061ta":"y"}"#,
        ] {
            assert_eq!(data(text), Err(Malformed::RepeatedName), "{text}");
        }
        assert!(
            data(r#"{"data":"x","other":{"a":1,"a":2}}"#).is_ok(),
            "another object's names are its own"
        );
    }

    #[test]
    fn surrogates_come_in_pairs_in_ignored_members_too() {
        assert_eq!(data(r#"{"data":"\ud83d\ude00"}"#), Ok(Some("😀".into())));
        for text in [
            r#"{"data":"x","other":"\ud800"}"#,
            r#"{"data":"x","other":"\udc00\ud800"}"#,
            r#"{"data":"x","other":"\ud800\n\udc00"}"#,
        ] {
            assert_eq!(data(text), Err(Malformed::LoneSurrogate), "{text}");
        }
        assert!(data(r#"{"data":"\ud800"}"#).is_err());
        assert!(
            !has_lone_surrogate(r#"{"data":"\\ud800"}"#),
            "an escaped backslash is not an escape"
        );
        assert!(!has_lone_surrogate(r#"{"data":"\\\\é\\uD800"}"#));
    }

    #[test]
    fn deep_nesting_is_read_or_refused_without_overflow() {
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
    fn bad_utf8_is_named() {
        assert_eq!(members(b"{\"data\":\"\xff\"}", ["data"]), Err(Malformed::NotUtf8));
    }
}
