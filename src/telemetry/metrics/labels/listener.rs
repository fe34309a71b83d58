//! Label values of requests and connections to the public listener, and of limits.

use enum_map::Enum;

use super::LabelValue;

/// Methods of requests; those that HTTP does not define share one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[expect(missing_docs, reason = "the names are those of the methods")]
pub enum MethodLabel {
    Connect,
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
    Other,
}

impl From<&http::Method> for MethodLabel {
    fn from(method: &http::Method) -> Self {
        match method.as_str() {
            "CONNECT" => Self::Connect,
            "DELETE" => Self::Delete,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }
}

impl LabelValue for MethodLabel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
            Self::Other => "_OTHER",
        }
    }
}

/// The scheme by which the client sent the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[expect(missing_docs, reason = "the names are those of the schemes")]
pub enum SchemeLabel {
    Http,
    Https,
}

impl SchemeLabel {
    /// Returns the scheme that a single `x-forwarded-proto` names; TLS is terminated in front of the service.
    pub fn from_headers(headers: &http::HeaderMap) -> Self {
        let mut values = headers.get_all("x-forwarded-proto").iter();
        match (values.next(), values.next()) {
            (Some(scheme), None) if scheme.as_bytes().eq_ignore_ascii_case(b"https") => Self::Https,
            _ => Self::Http,
        }
    }
}

impl LabelValue for SchemeLabel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[expect(missing_docs, reason = "the names are those of the versions")]
pub enum ProtocolLabel {
    Http10,
    Http11,
    Http2,
}

impl From<http::Version> for ProtocolLabel {
    fn from(version: http::Version) -> Self {
        match version {
            http::Version::HTTP_10 => Self::Http10,
            http::Version::HTTP_2 => Self::Http2,
            _ => Self::Http11,
        }
    }
}

impl LabelValue for ProtocolLabel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// Why a connection got no further, or not at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum ConnectionRejection {
    /// The request head did not arrive in time.
    HeaderTimeout,
    /// The request head cannot be parsed or exceeds a limit: 400, 414, 431.
    Parser,
    /// The maximum number of connections is open, so that the next one waits in the backlog.
    LimitWait,
}

impl LabelValue for ConnectionRejection {
    fn as_str(self) -> &'static str {
        match self {
            Self::HeaderTimeout => "header_timeout",
            Self::Parser => "parser",
            Self::LimitWait => "limit_wait",
        }
    }
}

/// Configured limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum Limit {
    /// `MAX_CONNECTIONS`.
    Connections,
    /// `MAX_REQUESTS_IN_FLIGHT`.
    RequestsInFlight,
    /// `MAX_BODY_BYTES`.
    BodyBytes,
    /// `SHOUTCLOUD_MAX_CONCURRENCY`.
    UpstreamConcurrency,
    /// `SHOUTCLOUD_MAX_QUEUE`.
    UpstreamQueue,
    /// `SHOUTCLOUD_MAX_RETRIES`.
    UpstreamRetries,
    /// `SHOUTCLOUD_RETRY_RESERVE`.
    RetryReserve,
    /// `CACHE_CAPACITY`.
    CacheBytes,
    /// `RATE_LIMIT_PER_CLIENT`.
    RateLimitPerSecond,
    /// `RATE_LIMIT_BURST`.
    RateLimitBurst,
    /// `LOG_FILE_MAX_BYTES`.
    LogFileBytes,
    /// `OTEL_BSP_MAX_QUEUE_SIZE`.
    SpanQueue,
}

impl LabelValue for Limit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::RequestsInFlight => "requests_in_flight",
            Self::BodyBytes => "body_bytes",
            Self::UpstreamConcurrency => "upstream_concurrency",
            Self::UpstreamQueue => "upstream_queue",
            Self::UpstreamRetries => "upstream_retries",
            Self::RetryReserve => "retry_reserve",
            Self::CacheBytes => "cache_bytes",
            Self::RateLimitPerSecond => "rate_limit_per_second",
            Self::RateLimitBurst => "rate_limit_burst",
            Self::LogFileBytes => "log_file_bytes",
            Self::SpanQueue => "span_queue",
        }
    }
}
