//! Limits on request heads and on HTTP/2: those that hyper enforces, and the checks that it lacks.

use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Uri};
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;

use super::h2_executor::H2Executor;

/// Headers with a token of 8 KiB and the fields that an ingress adds are far below it.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The same as hyper's limit on HTTP/1.1.
const MAX_FIELDS: usize = 100;
/// RFC 9113 section 6.5.2 recommends no less than 100.
const MAX_STREAMS: u32 = 100;
/// The least that a peer may always send on a stream (RFC 9113 section 6.9.2), and the default of `MAX_BODY_BYTES`.
const STREAM_WINDOW: u32 = 65_535;
/// Every stream's window at once, so that unread bodies, such as those of requests that wait for a signing key, block no
/// other stream of a connection that an ingress shares among its clients. It takes no more RAM than a smaller one: only
/// requests in flight have unread bodies, so there are at most `MAX_REQUESTS_IN_FLIGHT` such windows, whatever the
/// number of connections.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;
/// Bytes of a response that are buffered per stream while its client does not read: the response to the longest body by
/// default.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Limit on streams that were reset before hyper accepted them: a burst of HEADERS and RST_STREAM in one read
/// (CVE-2023-44487). It is h2's default. Streams that are reset later are not counted; they end with their task. The
/// limit on resets by the server stays at h2's default of 1024 per connection (RUSTSEC-2024-0003), because h2 counts
/// there, too, what was on its way to a stream whose response was early: a healthy connection of many clients has
/// hundreds of them.
const MAX_PENDING_RESETS: usize = 20;

/// hyper's connection builders, with the limits set.
pub(super) struct Builders {
    pub(super) http1: Builder<H2Executor>,
    /// For connections that may be HTTP/2 by their first bytes.
    pub(super) either: Builder<H2Executor>,
}

impl Builders {
    pub(super) fn new() -> Self {
        Self {
            http1: builder().http1_only(),
            either: builder(),
        }
    }
}

fn builder() -> Builder<H2Executor> {
    let mut builder = Builder::new(H2Executor);
    // `ConnectionTask` has its own head timeout: hyper's runs on idle connections too.
    builder
        .http1()
        .header_read_timeout(None)
        .timer(TokioTimer::new())
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS);
    builder
}

/// Rejects request heads that hyper accepts but should not. The response has an empty body and closes the connection,
/// as hyper's own response to a parse error does.
pub(super) fn rejection(uri: &Uri, headers: &HeaderMap) -> Option<StatusCode> {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    if headers.len() > MAX_FIELDS || target + fields.sum::<usize>() > MAX_HEAD_BYTES {
        // hyper counts fields on HTTP/1.1 only, and there may read up to twice the bytes before it counts them.
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    // A proxy in front may route, limit or log by the other field (RFC 9112, section 3.2). A missing field is accepted:
    // probes and old tools send none, and nothing here depends on it.
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return Some(StatusCode::BAD_REQUEST);
    }
    // hyper accepts any list that ends in `chunked`, and decodes that coding only. A proxy in front may see another end
    // of such a body.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_unambiguous = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    (!is_unambiguous).then_some(StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use http::header::{HOST, TRANSFER_ENCODING};
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

    use super::{MAX_FIELDS, MAX_HEAD_BYTES, rejection};

    fn of(fields: &[(HeaderName, &str)]) -> Option<StatusCode> {
        let fields = fields.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("a value");
            (name.clone(), value)
        });
        rejection(&Uri::from_static("/v1"), &HeaderMap::from_iter(fields))
    }

    #[test]
    fn a_request_head_has_a_limited_number_of_fields() {
        let field = (HeaderName::from_static("x"), "y");
        assert_eq!(of(&vec![field.clone(); MAX_FIELDS]), None);
        let too_many = of(&vec![field; MAX_FIELDS + 1]);
        assert_eq!(too_many, Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }

    #[test]
    fn target_and_fields_have_a_limited_length_together() {
        // The target, and two fields with colon, space and line end.
        let fixed = "/v1".len() + 2 * "x: \r\n".len();
        for (excess, expected) in [(0, None), (1, Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))] {
            let (half, rest) = ("y".repeat(30_000), MAX_HEAD_BYTES - fixed - 30_000 + excess);
            let name = HeaderName::from_static("x");
            assert_eq!(of(&[(name.clone(), &half), (name, &"y".repeat(rest))]), expected);
        }
    }

    #[test]
    fn there_is_at_most_one_host() {
        assert_eq!(of(&[(HOST, "a")]), None);
        assert_eq!(of(&[(HOST, "a"), (HOST, "a")]), Some(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn chunked_is_the_only_coding() {
        for coding in ["chunked", "Chunked"] {
            assert_eq!(of(&[(TRANSFER_ENCODING, coding)]), None, "{coding}");
        }
        for coding in ["gzip, chunked", "gzip", "chunked, chunked", ""] {
            let rejected = of(&[(TRANSFER_ENCODING, coding)]);
            assert_eq!(rejected, Some(StatusCode::BAD_REQUEST), "{coding}");
        }
        let twice = of(&[(TRANSFER_ENCODING, "chunked"), (TRANSFER_ENCODING, "chunked")]);
        assert_eq!(twice, Some(StatusCode::BAD_REQUEST));
    }
}
