//! JSON as Go's `encoding/json` parses and writes it, for the one type of SHOUTCLOUD's API.
//!
//! Go is more lenient than `serde_json`: it parses only the first value of the body; `null` leaves a field unchanged;
//! member names match in any case; the last of duplicate members wins; each byte that is not UTF-8, and each lone
//! surrogate, becomes U+FFFD. It escapes more characters: `<`, `>`, `&`, U+2028 and U+2029.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;

/// Returns the member `INPUT` of a request: empty if it is absent. Fails where Go's decoder fails.
pub(super) fn decode(body: &[u8]) -> Result<String, serde_json::Error> {
    let body = replace_invalid_utf8(body);
    // A first pass over the whole value, because `GoString` (below) accepts raw control characters in strings.
    IgnoredAny::deserialize(&mut serde_json::Deserializer::from_str(&body))?;
    let request = Option::<Request>::deserialize(&mut serde_json::Deserializer::from_str(&body))?;
    Ok(request.unwrap_or_default().input)
}

/// Returns the response, byte for byte as `json.Marshal` escapes it.
pub(super) fn encode(input: &str, output: &str) -> String {
    let plain = json!({ "INPUT": input, "OUTPUT": output }).to_string();
    let mut escaped = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn replace_invalid_utf8(body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[derive(Default)]
struct Request {
    input: String,
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RequestVisitor)
    }
}

struct RequestVisitor;

impl<'de> Visitor<'de> for RequestVisitor {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request, A::Error> {
        let mut request = Request::default();
        while let Some(GoString(name)) = map.next_key()? {
            if name.eq_ignore_ascii_case("INPUT") {
                if let Some(GoString(input)) = map.next_value()? {
                    request.input = input;
                }
            } else if name.eq_ignore_ascii_case("OUTPUT") {
                // A field of Go's type, which the server overwrites: a value of another type is an error.
                map.next_value::<Option<GoString>>()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(request)
    }
}

/// A JSON string whose lone surrogates are replaced by U+FFFD.
struct GoString(String);

impl<'de> Deserialize<'de> for GoString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(GoStringVisitor)
    }
}

struct GoStringVisitor;

impl Visitor<'_> for GoStringVisitor {
    type Value = GoString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, wtf8: &[u8]) -> Result<GoString, E> {
        let mut text = String::with_capacity(wtf8.len());
        for chunk in wtf8.utf8_chunks() {
            text.push_str(chunk.valid());
            // 0xED is the first byte of a surrogate; its other two bytes are chunks of their own.
            if chunk.invalid().first() == Some(&0xED) {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        Ok(GoString(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_go_accepts() {
        for (body, input) in [
            (&br#"{"INPUT":"hello"}"#[..], "hello"),
            (br#"{}"#, ""),
            (br#"null"#, ""),
            (br#"{"INPUT":null}"#, ""),
            (br#"{"INPUT":"kept","INPUT":null}"#, "kept"),
            (br#"{"INPUT":"first","INPUT":"last"}"#, "last"),
            (br#"{"input":"any case"}"#, "any case"),
            (br#"{"INPUT":"a","OUTPUT":"b","other":[1,{}]}"#, "a"),
            (br#"{"INPUT":"a"} and whatever follows"#, "a"),
            (br#"{"\u0049NPUT":"escaped"}"#, "escaped"),
            (br#"{"INPUT":"\ud83d\ude00"}"#, "😀"),
            (br#"{"INPUT":"<\ud83d>"}"#, "<\u{FFFD}>"),
            (br#"{"INPUT":"\ud83d\ud83d\ude00"}"#, "\u{FFFD}😀"),
            (b"{\"INPUT\":\"<\xE2\x82>\"}", "<\u{FFFD}\u{FFFD}>"),
        ] {
            let decoded = decode(body).unwrap();
            assert_eq!(decoded, input, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn rejects_what_go_rejects() {
        for body in [
            &b""[..],
            b"{",
            b"[]",
            b"\"text\"",
            b"{\"INPUT\":1}",
            b"{\"INPUT\":[104, 105]}",
            b"{\"INPUT\":\"a\",\"OUTPUT\":1}",
            b"{\"INPUT\":\"a\nb\"}",
            b"{\"INPUT\":\"\\x\"}",
            b"\xEF\xBB\xBF{\"INPUT\":\"a\"}",
        ] {
            assert!(decode(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn escapes_what_go_escapes() {
        assert_eq!(
            encode("<a&b>\u{2028}\u{2029}\"é", ""),
            r#"{"INPUT":"\u003ca\u0026b\u003e\u2028\u2029\"é","OUTPUT":""}"#
        );
    }
}
