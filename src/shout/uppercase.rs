//! Capitals without SHOUTCLOUD, by the mapping that its server has.

/// `text` in capitals by Unicode's simple case mapping, which turns every character into exactly one.
///
/// ```
/// use shoutback::shout::simple_uppercase;
/// assert_eq!(simple_uppercase("straße"), "STRAßE");
/// ```
pub fn simple_uppercase(text: &str) -> String {
    text.chars().map(simple_uppercase_char).collect()
}

fn simple_uppercase_char(c: char) -> char {
    let mut full = c.to_uppercase();
    if let (Some(capital), None) = (full.next(), full.next()) {
        return capital;
    }
    // Of the characters with a longer full mapping only these Greek ones, with iota subscript, have a simple one besides.
    let distance = match c {
        '\u{1F80}'..='\u{1F87}' | '\u{1F90}'..='\u{1F97}' | '\u{1FA0}'..='\u{1FA7}' => 8,
        '\u{1FB3}' | '\u{1FC3}' | '\u{1FF3}' => 9,
        _ => 0,
    };
    char::from_u32(u32::from(c) + distance).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{simple_uppercase, simple_uppercase_char};
    use crate::shoutcloud::capitals;

    /// Whether the rule by which SHOUTCLOUD's answers are judged accepts these capitals.
    fn is_a_shout(text: &str, capitals_of_it: &str) -> bool {
        let answer = serde_json::json!({ "INPUT": text, "OUTPUT": capitals_of_it }).to_string();
        capitals(text, answer.as_bytes()).as_deref() == Ok(capitals_of_it)
    }

    #[test]
    fn capitals_are_those_of_the_simple_mapping() {
        for (text, capitals) in [
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
            assert_eq!(simple_uppercase(text), capitals);
        }
    }

    #[test]
    fn every_character_becomes_one_that_is_it_but_for_case() {
        for c in char::MIN..=char::MAX {
            let text = c.to_string();
            let capital = simple_uppercase(&text);
            let full = text.to_uppercase();
            assert_eq!(capital.chars().count(), 1, "U+{:04X}", u32::from(c));
            if full.chars().count() == 1 {
                assert_eq!(capital, full, "U+{:04X}", u32::from(c));
            }
            assert_eq!(capital.to_uppercase(), full, "U+{:04X}", u32::from(c));
            assert_eq!(
                simple_uppercase_char(simple_uppercase_char(c)),
                simple_uppercase_char(c),
                "U+{:04X} is in capitals after the first time",
                u32::from(c)
            );
        }
    }

    #[test]
    fn all_of_unicode_in_capitals_is_a_shout() {
        let all: Vec<char> = (char::MIN..=char::MAX).collect();
        for part in all.chunks(4096) {
            let text: String = part.iter().collect();
            assert!(
                is_a_shout(&text, &simple_uppercase(&text)),
                "from U+{:04X}",
                u32::from(part[0])
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_text_in_capitals_is_a_shout_of_as_many_characters(text in any::<String>()) {
            let capitals = simple_uppercase(&text);
            prop_assert!(is_a_shout(&text, &capitals));
            prop_assert_eq!(capitals.chars().count(), text.chars().count());
        }

        #[test]
        fn ascii_is_capitalised_as_ascii(text in "[ -~]*") {
            prop_assert_eq!(simple_uppercase(&text), text.to_ascii_uppercase());
        }
    }
}
