//! Reversal by extended grapheme cluster (UAX #29), which keeps a family emoji, a flag or an accented letter whole.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::blocking;

/// Returns `text` with its grapheme clusters in reverse order.
///
/// ```
/// use shoutback::shout::reverse;
/// assert_eq!(reverse("hello, world!"), "!dlrow ,olleh");
/// assert_eq!(reverse("noe\u{308}l 🇫🇷"), "🇫🇷 le\u{308}on");
/// ```
pub fn reverse(text: &str) -> String {
    blocking::assert_not_on_worker(text.len());
    // In ASCII only CR LF is a cluster of more than one character (rule GB3). Segmentation costs 200 instructions per
    // cluster.
    if text.is_ascii() && !text.contains("\r\n") {
        let mut bytes = text.as_bytes().to_vec();
        bytes.reverse();
        return String::from_utf8(bytes).expect("ASCII");
    }
    text.graphemes(true).rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
    use unicode_segmentation::UnicodeSegmentation as _;

    use super::reverse;

    #[test]
    fn clusters_stay_whole() {
        for (text, reversed) in [
            ("", ""),
            ("a", "a"),
            ("a\r\nb", "b\r\na"),
            ("👨‍👩‍👧‍👦!", "!👨‍👩‍👧‍👦"),
            ("🇩🇪🇫🇷", "🇫🇷🇩🇪"),
            ("e\u{301}a", "ae\u{301}"),
            ("한국", "국한"),
            ("नमस्ते", "स्तेमन"),
            ("👍🏽👎🏿", "👎🏿👍🏽"),
        ] {
            assert_eq!(reverse(text), reversed, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn reversal_keeps_every_character(text in any::<String>()) {
            let mut before: Vec<_> = text.chars().collect();
            let reversed = reverse(&text);
            let mut after: Vec<_> = reversed.chars().collect();
            before.sort_unstable();
            after.sort_unstable();
            prop_assert_eq!(before, after);
        }

        #[test]
        fn clusters_are_in_reverse_order(text in any::<String>()) {
            let expected: Vec<_> = text.graphemes(true).rev().collect();
            prop_assert_eq!(expected.concat(), reverse(&text));
        }

        #[test]
        fn cr_lf_stays_whole(text in "[\r\na]*") {
            let expected: Vec<_> = text.graphemes(true).rev().collect();
            prop_assert_eq!(expected.concat(), reverse(&text));
        }

        #[test]
        fn other_ascii_is_reversed_by_character(text in "[ -~]*") {
            prop_assert_eq!(text.chars().rev().collect::<String>(), reverse(&text));
        }
    }
}
