//! The JSON of requests and responses, and the validation of responses.

use serde::Serialize;
use serde_json::Value;

use super::error::InvalidResponse;
use crate::json;

#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "INPUT")]
    input: &'a str,
}

/// Returns the body of a request for `text`.
///
/// Escapes `<`, `>` and `&` because SHOUTCLOUD escapes them, in INPUT and in OUTPUT: the limit on the response is a
/// multiple of the request's length, and the response to a text of `<` only would otherwise exceed it.
pub(super) fn request_body(text: &str) -> Vec<u8> {
    let mut body = serde_json::to_string(&Request { input: text }).expect("a string is valid JSON");
    for (character, escape) in [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")] {
        if body.contains(character) {
            body = body.replace(character, escape);
        }
    }
    body.into_bytes()
}

/// Returns the size limit of a response, given the length of the request's body.
pub(super) fn response_limit(request: usize) -> usize {
    request.saturating_mul(4).saturating_add(4096)
}

/// Returns OUTPUT of a response to `sent`.
///
/// Plain HTTP does not authenticate the server, so INPUT must equal `sent` and OUTPUT may differ from it only in case.
pub fn parse_response(sent: &str, body: &[u8]) -> Result<String, InvalidResponse> {
    let [input, output] =
        json::members(body, ["INPUT", "OUTPUT"]).map_err(|_| InvalidResponse::Unreadable)?;
    let (Some(Value::String(input)), Some(Value::String(output))) = (input, output) else {
        return Err(InvalidResponse::Unreadable);
    };
    if input != sent {
        return Err(InvalidResponse::InputMismatch);
    }
    // Upper-casing both makes the check independent of the mapping: SHOUTCLOUD leaves `ß`, the full mapping has `SS`.
    if output.to_uppercase() != sent.to_uppercase() {
        return Err(InvalidResponse::OutputMismatch);
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::{InvalidResponse, parse_response, request_body, response_limit};

    #[test]
    fn the_request_is_an_object_with_the_text() {
        assert_eq!(request_body("a\"b"), br#"{"INPUT":"a\"b"}"#);
        let parsed: serde_json::Value = serde_json::from_slice(&request_body("<&>\\u003c")).expect("JSON");
        assert_eq!(parsed["INPUT"], "<&>\\u003c");
    }

    #[test]
    fn a_valid_output_differs_from_the_input_only_in_case() {
        let body =
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
                parse_response(sent, body(sent, output).as_bytes()).as_deref(),
                Ok(output),
                "{sent}"
            );
        }
        assert_eq!(
            parse_response("abc", body("abd", "ABC").as_bytes()),
            Err(InvalidResponse::InputMismatch)
        );
        for output in ["", "ABD", "ABC ", "CBA"] {
            assert_eq!(
                parse_response("abc", body("abc", output).as_bytes()),
                Err(InvalidResponse::OutputMismatch),
                "{output}"
            );
        }
    }

    #[test]
    fn malformed_responses_are_unreadable() {
        for body in [
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
                parse_response("abc", body.as_bytes()),
                Err(InvalidResponse::Unreadable),
                "{body}"
            );
        }
        assert_eq!(
            parse_response("abc", b"{\"INPUT\":\"abc\",\"OUTPUT\":\"\xff\"}"),
            Err(InvalidResponse::Unreadable)
        );
    }

    #[test]
    fn the_longest_valid_response_is_within_the_limit() {
        // Bytes per character as Go's encoder escapes it, in INPUT and in OUTPUT.
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
            let longest = 2 * 10_000 * escaped + r#"{"INPUT":"","OUTPUT":""}"#.len();
            assert!(
                longest <= response_limit(request_body(&text.repeat(10_000)).len()),
                "{text:?}"
            );
        }
    }
}
