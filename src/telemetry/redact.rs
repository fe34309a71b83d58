//! Texts of errors without network addresses, which libraries may quote and which are internal.

use std::net::{IpAddr, SocketAddr};

/// Replaces each IP address in `text`, with or without a port.
pub fn without_addresses(text: &str) -> String {
    let is_separator = |character: char| character.is_whitespace() || "\"'(),;=<>".contains(character);
    let mut redacted = String::with_capacity(text.len());
    for part in text.split_inclusive(is_separator) {
        let word = part.trim_end_matches(is_separator);
        let separator = part.get(word.len()..).unwrap_or_default();
        let bare = word.trim_end_matches([':', '.']);
        let is_address =
            bare.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || bare.parse::<SocketAddr>().is_ok();
        if is_address {
            redacted.push_str("[address]");
            redacted.push_str(word.get(bare.len()..).unwrap_or_default());
        } else {
            redacted.push_str(word);
        }
        redacted.push_str(separator);
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::without_addresses;

    #[test]
    fn addresses_are_replaced_and_the_rest_stays() {
        for (text, expected) in [
            (
                "connection refused (os error 111)",
                "connection refused (os error 111)",
            ),
            (
                "tcp connect error: 10.0.0.1:80: timed out",
                "tcp connect error: [address]: timed out",
            ),
            (
                "[2001:db8::1]:443, [::1] and ::1.",
                "[address], [address] and [address].",
            ),
            ("to=10.0.0.1;next (10.0.0.2)", "to=[address];next ([address])"),
            (
                "unavailable: status 503 Service Unavailable",
                "unavailable: status 503 Service Unavailable",
            ),
            ("api.shoutcloud.io: 1.1", "api.shoutcloud.io: 1.1"),
            ("", ""),
        ] {
            assert_eq!(without_addresses(text), expected);
        }
    }
}
