//! Escaping of untrusted text for a log line: characters that end a line or move a terminal's cursor become escape
//! sequences.

use std::fmt::{self, Write};

/// Longer values are truncated.
const MAX_VALUE_BYTES: usize = 2 << 10;

/// The syntax of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EscapeMode {
    /// The content of a JSON string.
    Json,
    /// A human-readable line.
    Plain,
}

/// Escapes and truncates what is written to it.
pub(super) struct EscapingWriter<'a> {
    out: &'a mut String,
    mode: EscapeMode,
    remaining: usize,
}

impl<'a> EscapingWriter<'a> {
    pub(super) fn new(out: &'a mut String, mode: EscapeMode) -> Self {
        Self {
            out,
            mode,
            remaining: MAX_VALUE_BYTES,
        }
    }

    fn escape(&mut self, c: char) {
        match (c, self.mode) {
            ('"' | '\\', EscapeMode::Json) => {
                self.out.push('\\');
                self.out.push(c);
            }
            ('\n', _) => self.out.push_str("\\n"),
            ('\r', _) => self.out.push_str("\\r"),
            ('\t', _) => self.out.push_str("\\t"),
            (c, EscapeMode::Json) if needs_escape(c) => {
                // All of them are in the basic multilingual plane, so four digits are enough.
                _ = write!(self.out, "\\u{:04x}", u32::from(c));
            }
            (c, EscapeMode::Plain) if needs_escape(c) => {
                _ = write!(self.out, "\\u{{{:x}}}", u32::from(c));
            }
            (c, _) => self.out.push(c),
        }
    }
}

/// Returns whether `c` is a control character, a Unicode line separator, or changes the direction of text.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Whether each byte may start a character to escape.
#[expect(clippy::indexing_slicing, reason = "checked by the compiler")]
const IS_SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = byte < 0x20 || byte >= 0x7f || byte == b'"' as usize || byte == b'\\' as usize;
        byte += 1;
    }
    table
};

fn is_special(byte: u8) -> bool {
    IS_SPECIAL.get(usize::from(byte)).copied().unwrap_or_default()
}

impl Write for EscapingWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.remaining == 0 {
            return Ok(());
        }
        let (mut rest, is_truncated) = match text.split_at_checked(text.floor_char_boundary(self.remaining)) {
            Some((head, tail)) => (head, !tail.is_empty()),
            None => (text, false),
        };
        self.remaining = if is_truncated {
            0
        } else {
            self.remaining - rest.len()
        };
        // Most values have none, and a loop without an exit costs half of one with.
        let has_special = rest.bytes().fold(false, |found, byte| found | is_special(byte));
        while has_special
            && let Some((plain, special)) = rest
                .bytes()
                .position(is_special)
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
        if is_truncated {
            self.out.push('…');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{EscapeMode, EscapingWriter, MAX_VALUE_BYTES, needs_escape};

    fn escaped(text: &str, mode: EscapeMode) -> String {
        let mut out = String::new();
        EscapingWriter::new(&mut out, mode)
            .write_str(text)
            .expect("no error");
        out
    }

    #[test]
    fn escapes_line_ends_and_control_characters() {
        for (text, json, plain) in [
            ("a b", "a b", "a b"),
            ("\"\\", "\\\"\\\\", "\"\\"),
            ("\n\r\t", "\\n\\r\\t", "\\n\\r\\t"),
            ("\0\u{1b}[31m", "\\u0000\\u001b[31m", "\\u{0}\\u{1b}[31m"),
            ("\u{7f}\u{85}", "\\u007f\\u0085", "\\u{7f}\\u{85}"),
            ("\u{2028}\u{202e}", "\\u2028\\u202e", "\\u{2028}\\u{202e}"),
            ("é👪", "é👪", "é👪"),
        ] {
            assert_eq!(escaped(text, EscapeMode::Json), json, "{text:?}");
            assert_eq!(escaped(text, EscapeMode::Plain), plain, "{text:?}");
        }
    }

    #[test]
    fn truncates_long_values_at_a_character_boundary() {
        let long = format!("a{}", "é".repeat(MAX_VALUE_BYTES));
        let truncated = escaped(&long, EscapeMode::Plain);
        assert!(
            truncated.len() <= MAX_VALUE_BYTES + "…".len() && truncated.ends_with("é…"),
            "{truncated}"
        );
        let exact = "x".repeat(MAX_VALUE_BYTES);
        assert_eq!(escaped(&exact, EscapeMode::Plain), exact);
        let mut out = String::new();
        let mut pieces = EscapingWriter::new(&mut out, EscapeMode::Plain);
        for _ in 0..=MAX_VALUE_BYTES {
            pieces.write_str("xy").expect("no error");
        }
        assert_eq!(
            out.len(),
            MAX_VALUE_BYTES + if out.ends_with('…') { "…".len() } else { 0 }
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn json_parses_back_to_the_original(text in any::<String>()) {
            let json = escaped(&text, EscapeMode::Json);
            prop_assert!(!json.chars().any(needs_escape), "{json:?}");
            let read: String = serde_json::from_str(&format!("\"{json}\"")).expect("a JSON string");
            prop_assert_eq!(read, text);
        }

        #[test]
        fn plain_text_stays_on_one_line(text in any::<String>()) {
            prop_assert!(!escaped(&text, EscapeMode::Plain).chars().any(needs_escape));
        }
    }
}
