//! What goes over the wire, and what counts as a shout.

use serde::Serialize;
use serde_json::Value;

use super::error::NotAShout;
use crate::json;

#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "INPUT")]
    input: &'a str,
}

/// The body of a request for `text`.
///
/// `<`, `>` and `&` are escaped as SHOUTCLOUD's server escapes them twice in its answer: the cap on the answer is a
/// multiple of the request, and a text of nothing but `<` would break it otherwise.
pub(super) fn request(text: &str) -> Vec<u8> {
    let mut body = serde_json::to_string(&Request { input: text }).expect("a string is JSON");
    for (character, escape) in [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")] {
        if body.contains(character) {
            body = body.replace(character, escape);
        }
    }
    body.into_bytes()
}

/// The longest answer that is read, given the length of the request's body.
pub(super) fn answer_limit(request: usize) -> usize {
    request.saturating_mul(4).saturating_add(4096)
}

/// The capitals in an answer, if it is a shout of `sent`: on plain HTTP anyone may answer, so INPUT has to be what was
/// sent and OUTPUT the same text but for case.
pub fn capitals(sent: &str, answer: &[u8]) -> Result<String, NotAShout> {
    let [input, output] = json::members(answer, ["INPUT", "OUTPUT"]).map_err(|_| NotAShout::Unreadable)?;
    let (Some(Value::String(input)), Some(Value::String(output))) = (input, output) else {
        return Err(NotAShout::Unreadable);
    };
    if input != sent {
        return Err(NotAShout::OtherInput);
    }
    // Upper-casing both makes the rule independent of the server's mapping: it leaves `ß`, full mapping makes it `SS`.
    if output.to_uppercase() != sent.to_uppercase() {
        return Err(NotAShout::OtherOutput);
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::{NotAShout, answer_limit, capitals, request};

    #[test]
    fn a_request_is_the_text_in_an_object() {
        assert_eq!(request("a\"b"), br#"{"INPUT":"a\"b"}"#);
        let parsed: serde_json::Value = serde_json::from_slice(&request("<&>\\u003c")).expect("JSON");
        assert_eq!(parsed["INPUT"], "<&>\\u003c");
    }

    #[test]
    fn a_shout_is_the_same_text_but_for_case() {
        let answer =
            |input: &str, output: &str| serde_json::json!({"INPUT": input, "OUTPUT": output}).to_string();
        for (sent, output) in [
            ("abc", "ABC"),
            ("straße", "STRAßE"),
            ("straße", "STRASSE"),
            ("ﬁ", "ﬁ"),
            ("ᾳ", "ᾼ"),
            ("1", "1"),
        ] {
            assert_eq!(
                capitals(sent, answer(sent, output).as_bytes()).as_deref(),
                Ok(output),
                "{sent}"
            );
        }
        assert_eq!(
            capitals("abc", answer("abd", "ABC").as_bytes()),
            Err(NotAShout::OtherInput)
        );
        for output in ["", "ABD", "ABC ", "CBA"] {
            assert_eq!(
                capitals("abc", answer("abc", output).as_bytes()),
                Err(NotAShout::OtherOutput),
                "{output}"
            );
        }
    }

    #[test]
    fn what_is_not_an_answer() {
        for answer in [
            "",
            "<html>",
            "null",
            r#"["abc","ABC"]"#,
            r#"{"OUTPUT":"ABC"}"#,
            r#"{"INPUT":"abc"}"#,
            r#"{"INPUT":"abc","OUTPUT":1}"#,
            r#"{"INPUT":"abc","OUTPUT":"ABC","OUTPUT":"ABC"}"#,
        ] {
            assert_eq!(
                capitals("abc", answer.as_bytes()),
                Err(NotAShout::Unreadable),
                "{answer}"
            );
        }
        assert_eq!(
            capitals("abc", b"{\"INPUT\":\"abc\",\"OUTPUT\":\"\xff\"}"),
            Err(NotAShout::Unreadable)
        );
    }

    #[test]
    fn the_longest_honest_answer_is_within_the_limit() {
        // Bytes of one character in the answer of Go's encoder, which escapes INPUT and OUTPUT alike.
        for (text, escaped) in [
            ("<", 6),
            ("&", 6),
            (">", 6),
            ("\u{2028}", 6),
            ("\u{1}", 6),
            ("\"", 2),
            ("\\", 2),
            ("a", 1),
            ("é", 2),
        ] {
            let honest = 2 * 10_000 * escaped + r#"{"INPUT":"","OUTPUT":""}"#.len();
            assert!(
                honest <= answer_limit(request(&text.repeat(10_000)).len()),
                "{text:?}"
            );
        }
    }
}
