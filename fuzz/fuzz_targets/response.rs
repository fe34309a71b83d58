//! Fuzzes the parser of the upstream's response. The first line of the input is the text of the request; the rest is used as the
//! body of the response, and as the OUTPUT of a well-formed response.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shoutback::shoutcloud::parse_response;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (Some(sent), Some(rest)) = (lines.next(), lines.next()) else {
        return;
    };
    let Ok(sent) = str::from_utf8(sent) else {
        return;
    };
    if let Ok(output) = parse_response(sent, rest) {
        assert_eq!(output.to_uppercase(), sent.to_uppercase());
    }
    if let Ok(output) = str::from_utf8(rest) {
        let same_but_for_case = output.to_uppercase() == sent.to_uppercase();
        assert_eq!(
            parse_response(sent, &response(sent, output)).as_deref().ok(),
            same_but_for_case.then_some(output)
        );
        if sent != output {
            assert!(
                parse_response(sent, &response(output, sent)).is_err(),
                "a response to another request"
            );
        }
    }
    for expected in [sent.to_uppercase(), simple_mapping(sent)] {
        assert_eq!(
            parse_response(sent, &response(sent, &expected)).as_deref(),
            Ok(expected.as_str())
        );
    }
});

fn response(input: &str, output: &str) -> Vec<u8> {
    serde_json::json!({ "INPUT": input, "OUTPUT": output })
        .to_string()
        .into_bytes()
}

/// Upper-cases as SHOUTCLOUD does: a character without a single upper-case equivalent stays as it is.
fn simple_mapping(text: &str) -> String {
    text.chars()
        .map(|character| {
            let mut upper = character.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(upper), None) => upper,
                _ => character,
            }
        })
        .collect()
}
