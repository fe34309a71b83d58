//! What hyper may take of a request's head and of HTTP/2, and what it lets pass and should not have.

use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Uri};
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;

use super::answer::Streams;

/// A head with a token of 8 KiB and whatever an ingress adds is far below it.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// As many as hyper takes on HTTP/1.1.
const MAX_FIELDS: usize = 100;
/// RFC 9113 section 6.5.2 recommends no less than 100.
const MAX_STREAMS: u32 = 100;
/// The least that a peer may always send on a stream (RFC 9113 section 6.9.2), and `MAX_BODY_BYTES` by default.
const STREAM_WINDOW: u32 = 65_535;
/// Every stream's window at once, so that bodies which wait, for a key say, stop no other stream of a connection that an
/// ingress shares among its clients. It is no more memory than a smaller one: only requests in flight have unread bodies, so
/// `MAX_REQUESTS_IN_FLIGHT` of such windows is the most there can be, whatever the number of connections.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;
/// What a stream may have of an answer in memory while its client does not take it: the longest body's answer by default.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Streams that were reset before hyper had accepted them, at a time: a burst of HEADERS and RST_STREAM in one read
/// (CVE-2023-44487). h2's own number. Those reset later count nowhere; they end with their task. What we reset ourselves is
/// left at h2's 1024 over a connection's life (RUSTSEC-2024-0003), because h2 counts there, too, what was on its way to a
/// stream that was answered early: a healthy connection of many clients has hundreds of them.
const MAX_RESETS_UNSEEN: usize = 20;

pub(super) struct Builders {
    pub(super) http1: Builder<Streams>,
    /// For what may be HTTP/2 by its first bytes.
    pub(super) either: Builder<Streams>,
}

impl Builders {
    pub(super) fn new() -> Self {
        Self {
            http1: builder().http1_only(),
            either: builder(),
        }
    }
}

fn builder() -> Builder<Streams> {
    let mut builder = Builder::new(Streams);
    // The head's timeout is ours: hyper's runs on idle connections too.
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
        .max_pending_accept_reset_streams(MAX_RESETS_UNSEEN);
    builder
}

/// What the parser lets pass and should not have. It is answered as the parser answers: empty, and the end.
pub(super) fn refused(uri: &Uri, headers: &HeaderMap) -> Option<StatusCode> {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    if headers.len() > MAX_FIELDS || target + fields.sum::<usize>() > MAX_HEAD_BYTES {
        // hyper counts fields on HTTP/1.1 alone, and there may read up to twice the bytes before it counts them.
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    // Somebody before us may route, limit or log by the other one (RFC 9112, section 3.2). None at all is left alone: probes
    // and old tools send none, and nothing here depends on it.
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return Some(StatusCode::BAD_REQUEST);
    }
    // hyper takes any list that ends in `chunked`, and removes that coding alone. Somebody before us may see another end of
    // such a body.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_framed_plainly = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    (!is_framed_plainly).then_some(StatusCode::BAD_REQUEST)
}
