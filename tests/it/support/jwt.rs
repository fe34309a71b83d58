//! Tokens assembled from parts, any of which may be invalid.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns `header.claims.signature`; `sign` signs the first two.
pub fn compact(
    header: impl AsRef<[u8]>,
    claims: impl AsRef<[u8]>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    seal(&b64(header), &b64(claims), sign)
}

/// Does the same with encoded parts.
pub fn seal(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{header}.{claims}");
    let signature = b64(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// Returns the object `json` with `member`, written as `"name":value`, before all others.
pub fn with_first(json: &str, member: &str) -> String {
    json.replacen('{', &format!("{{{member},"), 1)
}

/// Returns the object `json` with `member` after all others.
pub fn with_last(json: &str, member: &str) -> String {
    let open = json.strip_suffix('}').expect("an object");
    format!("{open},{member}}}")
}
