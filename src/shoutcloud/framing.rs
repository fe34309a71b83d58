//! Where the body of a response ends.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Version};

/// Returns whether the body of a response ends where the connection does (RFC 9112 section 6.3), so that a truncated
/// body looks complete.
pub(super) fn is_close_delimited(version: Version, headers: &HeaderMap) -> bool {
    if version >= Version::HTTP_2 {
        return false;
    }
    match headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        Some(codings) => {
            let last = codings.as_bytes().rsplit(|byte| *byte == b',').next();
            !last.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
        }
        None => !headers.contains_key(CONTENT_LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Version};

    use super::is_close_delimited;

    #[test]
    fn a_body_without_length_and_chunks_ends_with_the_connection() {
        let is_close_delimited = |version, headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_close_delimited(version, &headers.collect::<HeaderMap>())
        };
        let chunked = ("transfer-encoding", "Chunked");
        let gzip = ("transfer-encoding", "gzip");
        assert!(is_close_delimited(Version::HTTP_11, &[]));
        assert!(is_close_delimited(Version::HTTP_10, &[]));
        assert!(is_close_delimited(Version::HTTP_11, &[chunked, gzip]));
        assert!(!is_close_delimited(Version::HTTP_11, &[("content-length", "1")]));
        assert!(!is_close_delimited(Version::HTTP_11, &[gzip, chunked]));
        assert!(!is_close_delimited(
            Version::HTTP_11,
            &[("transfer-encoding", "gzip, chunked")]
        ));
        assert!(!is_close_delimited(Version::HTTP_2, &[]));
    }
}
