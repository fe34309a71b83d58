//! Local upper-casing, with the mapping that SHOUTCLOUD's server uses.

use crate::blocking;

/// Returns `text` in upper case by Unicode's simple case mapping, which maps every character to exactly one.
///
/// ```
/// use shoutback::shout::simple_uppercase;
/// assert_eq!(simple_uppercase("straße"), "STRAßE");
/// ```
pub fn simple_uppercase(text: &str) -> String {
    blocking::assert_not_on_worker(text.len());
    text.chars().map(simple_uppercase_char).collect()
}

fn simple_uppercase_char(c: char) -> char {
    let mut full = c.to_uppercase();
    if let (Some(upper), None) = (full.next(), full.next()) {
        return upper;
    }
    // Of the characters whose full mapping is longer, only these Greek ones, with iota subscript, have a simple one.
    let offset = match c {
        '\u{1F80}'..='\u{1F87}' | '\u{1F90}'..='\u{1F97}' | '\u{1FA0}'..='\u{1FA7}' => 8,
        '\u{1FB3}' | '\u{1FC3}' | '\u{1FF3}' => 9,
        _ => 0,
    };
    char::from_u32(u32::from(c) + offset).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{simple_uppercase, simple_uppercase_char};
    use crate::shoutcloud::parse_response;

    /// Whether a response of SHOUTCLOUD with this text would be accepted.
    fn is_valid_response(text: &str, upper: &str) -> bool {
        let response = serde_json::json!({ "INPUT": text, "OUTPUT": upper }).to_string();
        parse_response(text, response.as_bytes()).as_deref() == Ok(upper)
    }

    #[test]
    fn uppercase_follows_the_simple_mapping() {
        for (text, upper) in [
            ("hello", "HELLO"),
            ("straße ﬁn ŉ ǰ ΐ", "STRAßE ﬁN ŉ ǰ ΐ"),
            ("ǆ ǅ ÿ ı ſ", "Ǆ Ǆ Ÿ I S"),
            ("\u{1F80}\u{1F87}", "\u{1F88}\u{1F8F}"),
            ("\u{1F90}\u{1F97}", "\u{1F98}\u{1F9F}"),
            ("\u{1FA0}\u{1FA7}", "\u{1FA8}\u{1FAF}"),
            ("\u{1FB3}\u{1FC3}\u{1FF3}", "\u{1FBC}\u{1FCC}\u{1FFC}"),
            (
                "\u{1F88}\u{1FB2}\u{1FB4}\u{1FBC}",
                "\u{1F88}\u{1FB2}\u{1FB4}\u{1FBC}",
            ),
        ] {
            assert_eq!(simple_uppercase(text), upper);
        }
    }

    #[test]
    fn every_character_maps_to_one_that_differs_only_in_case() {
        for c in char::MIN..=char::MAX {
            let text = c.to_string();
            let upper = simple_uppercase(&text);
            let full = text.to_uppercase();
            assert_eq!(upper.chars().count(), 1, "U+{:04X}", u32::from(c));
            if full.chars().count() == 1 {
                assert_eq!(upper, full, "U+{:04X}", u32::from(c));
            }
            assert_eq!(upper.to_uppercase(), full, "U+{:04X}", u32::from(c));
            assert_eq!(
                simple_uppercase_char(simple_uppercase_char(c)),
                simple_uppercase_char(c),
                "U+{:04X}: not idempotent",
                u32::from(c)
            );
        }
    }

    #[test]
    fn every_character_in_upper_case_is_a_valid_response() {
        let all: Vec<char> = (char::MIN..=char::MAX).collect();
        for part in all.chunks(4096) {
            let text: String = part.iter().collect();
            assert!(
                is_valid_response(&text, &simple_uppercase(&text)),
                "from U+{:04X}",
                u32::from(part[0])
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_in_upper_case_is_a_valid_response_of_equal_length(text in any::<String>()) {
            let upper = simple_uppercase(&text);
            prop_assert!(is_valid_response(&text, &upper));
            prop_assert_eq!(upper.chars().count(), text.chars().count());
        }

        #[test]
        fn ascii_is_upper_cased_as_ascii(text in "[ -~]*") {
            prop_assert_eq!(simple_uppercase(&text), text.to_ascii_uppercase());
        }
    }
}
