//! The response headers of the OpenAPI document.

use http::StatusCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::{ObjectBuilder, Ref, Type};

use crate::config::Config;

/// The request id of examples.
pub(super) const REQUEST_ID: &str = "0198f3a2-7c1e-7d4b-9c55-2f6f0a3b1c9d";

/// A response header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Header {
    Accept,
    AcceptEncoding,
    CacheStatus,
    RateLimit,
    RateLimitPolicy,
    RequestId,
    RetryAfter,
    ServerTiming,
    WwwAuthenticate,
}

const QUOTA: [Header; 2] = [Header::RateLimit, Header::RateLimitPolicy];

impl Header {
    /// Returns its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::AcceptEncoding => "accept-encoding",
            Self::CacheStatus => "cache-status",
            Self::RateLimit => "ratelimit",
            Self::RateLimitPolicy => "ratelimit-policy",
            Self::RequestId => "x-request-id",
            Self::RetryAfter => "retry-after",
            Self::ServerTiming => "server-timing",
            Self::WwwAuthenticate => "www-authenticate",
        }
    }

    /// Returns a reference to its definition.
    pub(super) fn reference(self) -> Ref {
        Ref::new(format!("#/components/headers/{}", self.name()))
    }

    /// Returns its definition.
    pub(super) fn definition(self) -> utoipa::openapi::Header {
        let string = || ObjectBuilder::new().schema_type(Type::String);
        let (description, schema, example) = match self {
            Self::Accept => (
                "The media types of a request, if the media type or charset was wrong",
                string(),
                "application/json, text/plain".into(),
            ),
            Self::AcceptEncoding => (
                "`identity`, if the body had a content coding",
                string(),
                "identity".into(),
            ),
            Self::CacheStatus => (
                "How the cache handled the request (RFC 9211); only `shoutback` if it was not reached",
                string().pattern(Some("^shoutback(; .+)?$")),
                "shoutback; fwd=miss; stored".into(),
            ),
            Self::RateLimit => (
                "Requests that are left (`r`), and seconds until the quota is full (`t`); sent once the quota was checked",
                string().pattern(Some("^\"client\";r=[0-9]+;t=[0-9]+$")),
                "\"client\";r=199;t=1".into(),
            ),
            Self::RateLimitPolicy => (
                "Burst limit (`q`), and seconds in which an empty quota fills (`w`); sent once the quota was checked",
                string().pattern(Some("^\"client\";q=[0-9]+;w=[0-9]+$")),
                "\"client\";q=200;w=2".into(),
            ),
            Self::RequestId => (
                "The request id: that of the request, or a generated one",
                string().pattern(Some("^[A-Za-z0-9._~:-]{1,128}$")),
                REQUEST_ID.into(),
            ),
            Self::RetryAfter => (
                "Seconds to wait before a retry",
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .minimum(Some(1))
                    .maximum(Some(60)),
                1.into(),
            ),
            Self::ServerTiming => (
                "Milliseconds spent on `auth` and `upstream`, if they occurred",
                string(),
                "auth;dur=0.307, upstream;dur=14.092".into(),
            ),
            Self::WwwAuthenticate => (
                "The challenge (RFC 6750)",
                string(),
                "Bearer error=\"invalid_token\"".into(),
            ),
        };
        HeaderBuilder::new()
            .description(Some(description))
            .schema(Some(schema))
            .example(Some(example))
            .build()
    }
}

/// Returns the headers of a 200.
pub(super) fn of_success(config: &Config) -> Vec<Header> {
    let mut headers = vec![Header::RequestId, Header::CacheStatus, Header::ServerTiming];
    headers.extend(QUOTA.into_iter().filter(|_| config.rate_limit.is_some()));
    headers
}

/// Returns the headers that problems of this status may have; `reports_quota`: those of the quota, too.
pub(super) fn of_problems(status: StatusCode, reports_quota: bool) -> Vec<Header> {
    let mut headers = vec![Header::RequestId, Header::CacheStatus, Header::ServerTiming];
    if reports_quota {
        headers.extend(QUOTA);
    }
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => headers.push(Header::WwwAuthenticate),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => headers.extend([Header::Accept, Header::AcceptEncoding]),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => headers.push(Header::RetryAfter),
        _ => {}
    }
    headers
}
