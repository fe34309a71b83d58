//! What is specific to an upstream: the JSON of requests and responses, and the validation of responses.
//!
//! Everything else in `shoutcloud` (connections, timeouts, retries, breaker, bulkhead, metrics, spans) works with any service that has
//! a `POST` for a text. Unlike a middleware, a [`Protocol`] sees neither attempts nor connections.

use serde::Serialize;
use serde_json::Value;

use super::error::InvalidResponse;
use crate::{blocking, json};

/// How a text becomes a request, and a response a text.
pub trait Protocol: Send + Sync + 'static {
    /// Returns the body of a request for `text`, which is JSON.
    fn request_body(&self, text: &str) -> Vec<u8>;

    /// Returns the size limit of a response to `text` in bytes. A longer one is [`InvalidResponse::TooLong`].
    fn response_limit(&self, text: &str) -> usize;

    /// Returns the result in the body of a 200 to `text`, or why it is not a response to it. Such an attempt fails, and is not retried.
    fn parse_response(&self, text: &str, body: &[u8]) -> Result<String, InvalidResponse>;
}

/// The protocol of SHOUTCLOUD.
#[derive(Debug, Clone, Copy)]
pub struct ShoutcloudProtocol;

impl Protocol for ShoutcloudProtocol {
    fn request_body(&self, text: &str) -> Vec<u8> {
        request_body(text)
    }

    fn response_limit(&self, text: &str) -> usize {
        response_limit(text)
    }

    fn parse_response(&self, text: &str, body: &[u8]) -> Result<String, InvalidResponse> {
        parse_response(text, body)
    }
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "INPUT")]
    input: &'a str,
}

/// Returns the body of a request for `text`.
fn request_body(text: &str) -> Vec<u8> {
    blocking::assert_not_on_worker(text.len());
    serde_json::to_vec(&Request { input: text }).expect("a string is valid JSON")
}

/// Returns the size limit of a response to `text`: INPUT and OUTPUT with up to six bytes for each byte, as an encoder
/// may escape every character, and 4 KiB for all else.
fn response_limit(text: &str) -> usize {
    text.len().saturating_mul(12).saturating_add(4096)
}

/// Returns OUTPUT of a response to `sent`.
///
/// Plain HTTP does not authenticate the server, so INPUT must equal `sent` and OUTPUT may differ from it only in case.
pub fn parse_response(sent: &str, body: &[u8]) -> Result<String, InvalidResponse> {
    blocking::assert_not_on_worker(sent.len());
    let [input, output] = json::members(body, ["INPUT", "OUTPUT"]).map_err(|_| {
        if json::is_truncated(body) {
            InvalidResponse::Incomplete
        } else {
            InvalidResponse::Unreadable
        }
    })?;
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
    fn json_that_ends_early_is_incomplete() {
        let whole =
            r#"{"INPUT":"é\u00e9","more":[tru\u0065],"OUTPUT":"É\u00c9"}"#.replace("tru\\u0065", "true");
        assert!(parse_response("éé", whole.as_bytes()).is_ok());
        for end in 0..whole.len() {
            assert_eq!(
                parse_response("éé", &whole.as_bytes()[..end]),
                Err(InvalidResponse::Incomplete),
                "{end}"
            );
        }
    }

    #[test]
    fn the_longest_valid_response_is_within_the_limit() {
        // Every UTF-16 code unit as an escape of six bytes, in INPUT and in OUTPUT.
        for text in ["a", "\u{c}", "é", "\u{2028}", "\u{1f600}"] {
            let text = text.repeat(10_000);
            let longest = 2 * 6 * text.encode_utf16().count() + r#"{"INPUT":"","OUTPUT":""}"#.len();
            assert!(longest <= response_limit(&text), "{:?}", text.chars().next());
        }
    }
}
