//! The expectation of 100 (Continue) before a body is sent (RFC 9110 section 10.1.1).

use http::header::EXPECT;
use http::{HeaderMap, HeaderValue, Version};

use super::field_list;
use super::problem::{Kind, Problem};

/// Rejects a request whose client waits for a 100 that hyper will not send: otherwise each side would wait for the other
/// until the request times out. Other expectations are ignored.
///
/// hyper sends a 100 on HTTP/1.1 when the body is first polled, if the last line of the field is exactly
/// `100-continue`, and never on HTTP/2.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let lines = headers.get_all(EXPECT);
    let is_met = match version {
        // The expectation must be ignored, and no client of these versions waits for a 100.
        Version::HTTP_09 | Version::HTTP_10 => true,
        Version::HTTP_11 => lines
            .iter()
            .next_back()
            .is_none_or(|line| is_continue(line.as_bytes())),
        _ => false,
    };
    let is_expected = |line: &HeaderValue| field_list::split(line.as_bytes(), b',').any(is_continue);
    if is_met || !lines.iter().any(is_expected) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::ExpectationFailed,
        "no 100 (Continue) is sent here; send the body without waiting for one",
    ))
}

fn is_continue(expectation: &[u8]) -> bool {
    expectation.trim_ascii().eq_ignore_ascii_case(b"100-continue")
}
