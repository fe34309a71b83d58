//! Random identifiers.

use rand::seq::IndexedRandom as _;

/// Returns `length` lower-case letters and digits, the alphabet of Cognito's client ids and secrets.
pub(super) fn alphanumeric(length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let letters = std::iter::repeat_with(|| ALPHABET.choose(&mut random)).flatten();
    letters.take(length).copied().map(char::from).collect()
}
