//! Text from anywhere, made fit for a line: what ends a line somewhere or moves a cursor is written as an escape.

use std::fmt::{self, Write};

/// Of one value; what is longer is cut.
const MAX_VALUE: usize = 2 << 10;

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    /// Between the quotes of a JSON string.
    Json,
    /// A line for people.
    Plain,
}

/// Escapes what is written to it, and cuts it.
pub(super) struct Escaped<'a> {
    out: &'a mut String,
    into: Into,
    left: usize,
}

impl<'a> Escaped<'a> {
    pub(super) fn new(out: &'a mut String, into: Into) -> Self {
        let left = MAX_VALUE;
        Self { out, into, left }
    }

    fn escape(&mut self, c: char) {
        match (c, self.into) {
            ('"' | '\\', Into::Json) => {
                self.out.push('\\');
                self.out.push(c);
            }
            ('\n', _) => self.out.push_str("\\n"),
            ('\r', _) => self.out.push_str("\\r"),
            ('\t', _) => self.out.push_str("\\t"),
            (c, Into::Json) if is_unfit(c) => {
                // All of them stand in the basic plane.
                _ = write!(self.out, "\\u{:04x}", u32::from(c));
            }
            (c, Into::Plain) if is_unfit(c) => {
                _ = write!(self.out, "\\u{{{:x}}}", u32::from(c));
            }
            (c, _) => self.out.push(c),
        }
    }
}

/// Control characters, line ends of Unicode, and what makes text run backwards.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Whether a byte begins something that has to be looked at.
fn needs_a_look(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte) || matches!(byte, b'"' | b'\\')
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.left == 0 {
            return Ok(());
        }
        let (mut rest, is_cut) = match text.split_at_checked(text.floor_char_boundary(self.left)) {
            Some((kept, cut)) => (kept, !cut.is_empty()),
            None => (text, false),
        };
        self.left = if is_cut { 0 } else { self.left - rest.len() };
        while let Some((plain, special)) = rest
            .bytes()
            .position(needs_a_look)
            .and_then(|at| rest.split_at_checked(at))
        {
            self.out.push_str(plain);
            let mut chars = special.chars();
            if let Some(c) = chars.next() {
                self.escape(c);
            }
            rest = chars.as_str();
        }
        self.out.push_str(rest);
        if is_cut {
            self.out.push('…');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{Escaped, Into, MAX_VALUE, is_unfit};

    fn escaped(text: &str, into: Into) -> String {
        let mut out = String::new();
        Escaped::new(&mut out, into).write_str(text).expect("no error");
        out
    }

    #[test]
    fn what_could_end_a_line_or_move_a_cursor_is_escaped() {
        for (text, json, plain) in [
            ("a b", "a b", "a b"),
            ("\"\\", "\\\"\\\\", "\"\\"),
            ("\n\r\t", "\\n\\r\\t", "\\n\\r\\t"),
            ("\0\u{1b}[31m", "\\u0000\\u001b[31m", "\\u{0}\\u{1b}[31m"),
            ("\u{7f}\u{85}", "\\u007f\\u0085", "\\u{7f}\\u{85}"),
            ("\u{2028}\u{202e}", "\\u2028\\u202e", "\\u{2028}\\u{202e}"),
            ("é👪", "é👪", "é👪"),
        ] {
            assert_eq!(escaped(text, Into::Json), json, "{text:?}");
            assert_eq!(escaped(text, Into::Plain), plain, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = format!("a{}", "é".repeat(MAX_VALUE));
        let cut = escaped(&long, Into::Plain);
        assert!(cut.len() <= MAX_VALUE + "…".len() && cut.ends_with("é…"), "{cut}");
        let exact = "x".repeat(MAX_VALUE);
        assert_eq!(escaped(&exact, Into::Plain), exact);
        let mut out = String::new();
        let mut pieces = Escaped::new(&mut out, Into::Plain);
        for _ in 0..=MAX_VALUE {
            pieces.write_str("xy").expect("no error");
        }
        assert_eq!(
            out.len(),
            MAX_VALUE + if out.ends_with('…') { "…".len() } else { 0 }
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn json_reads_back_what_was_written(text in any::<String>()) {
            let json = escaped(&text, Into::Json);
            prop_assert!(!json.chars().any(is_unfit), "{json:?}");
            let read: String = serde_json::from_str(&format!("\"{json}\"")).expect("a JSON string");
            prop_assert_eq!(read, text);
        }

        #[test]
        fn a_plain_text_is_one_line(text in any::<String>()) {
            prop_assert!(!escaped(&text, Into::Plain).chars().any(is_unfit));
        }
    }
}
