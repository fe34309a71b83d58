//! The upstream's answer. The input's first line is what was sent; the rest is tried as the answer's body, and as the
//! OUTPUT of a well-formed answer.
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
            parse_response(sent, &answer(sent, output)).as_deref().ok(),
            same_but_for_case.then_some(output)
        );
        if sent != output {
            assert!(
                parse_response(sent, &answer(output, sent)).is_err(),
                "an answer to another request"
            );
        }
    }
    for honest in [sent.to_uppercase(), simple_mapping(sent)] {
        assert_eq!(
            parse_response(sent, &answer(sent, &honest)).as_deref(),
            Ok(honest.as_str())
        );
    }
});

fn answer(input: &str, output: &str) -> Vec<u8> {
    serde_json::json!({ "INPUT": input, "OUTPUT": output })
        .to_string()
        .into_bytes()
}

/// What SHOUTCLOUD does: a character with no single upper-case one stays.
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
