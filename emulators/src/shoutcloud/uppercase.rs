//! Upper case as Go's `strings.ToUpper` has it.
//!
//! Independent of the service's own upper-casing, on purpose: `tests/it` compares the two over all of Unicode.

/// The characters whose full upper case in Unicode has several characters (`ᾀ`: `ἈΙ`) but which also have a *simple*
/// upper case of one character.
const SIMPLE: [(&str, &str); 6] = [
    ("ᾀᾁᾂᾃᾄᾅᾆᾇ", "ᾈᾉᾊᾋᾌᾍᾎᾏ"),
    ("ᾐᾑᾒᾓᾔᾕᾖᾗ", "ᾘᾙᾚᾛᾜᾝᾞᾟ"),
    ("ᾠᾡᾢᾣᾤᾥᾦᾧ", "ᾨᾩᾪᾫᾬᾭᾮᾯ"),
    ("ᾳ", "ᾼ"),
    ("ῃ", "ῌ"),
    ("ῳ", "ῼ"),
];

/// Upper-cases `text` by Unicode's simple case mapping, character by character: `ß` and `ﬁ` are unchanged.
pub(super) fn to_upper(text: &str) -> String {
    text.chars().map(to_upper_char).collect()
}

fn to_upper_char(c: char) -> char {
    let full: Vec<char> = c.to_uppercase().collect();
    if let [upper] = full[..] {
        return upper;
    }
    SIMPLE
        .iter()
        .flat_map(|(lower, upper)| lower.chars().zip(upper.chars()))
        .find_map(|(lower, upper)| (lower == c).then_some(upper))
        .unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_each_character_to_exactly_one() {
        for (text, upper) in [
            ("hello", "HELLO"),
            ("straße ﬁn ŉ ǰ ΐ", "STRAßE ﬁN ŉ ǰ ΐ"),
            ("ǆ ǅ ÿ ı ſ", "Ǆ Ǆ Ÿ I S"),
            ("\u{1F80}\u{1F97}\u{1FA3}", "\u{1F88}\u{1F9F}\u{1FAB}"),
            ("\u{1FB3}\u{1FC3}\u{1FF3}", "\u{1FBC}\u{1FCC}\u{1FFC}"),
            ("\u{1F88}\u{1FB2}\u{1FB4}", "\u{1F88}\u{1FB2}\u{1FB4}"),
        ] {
            assert_eq!(to_upper(text), upper);
        }
    }

    #[test]
    fn the_exceptions_are_pairs_of_lower_and_upper_case() {
        for (lower, upper) in SIMPLE {
            assert_eq!(lower.chars().count(), upper.chars().count());
            assert_eq!(upper.to_lowercase(), lower);
        }
    }
}
