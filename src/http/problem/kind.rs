//! The catalogue of problems: name, status, title and explanation of each kind.

use http::StatusCode;

use crate::telemetry::metrics::ShoutFailure;

/// A kind of problem. Each has a section in `/docs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The body or a header is malformed.
    MalformedRequest,
    /// No valid token.
    Unauthenticated,
    /// A valid token without a required scope or group.
    Forbidden,
    /// No such path.
    NotFound,
    /// The path does not support the method.
    MethodNotAllowed,
    /// `accept` allows neither response format.
    NotAcceptable,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body is too large.
    ContentTooLarge,
    /// The body is neither JSON nor plain text in UTF-8.
    UnsupportedMediaType,
    /// The client waits for a 100 (Continue) that it cannot get.
    ExpectationFailed,
    /// The client exceeded its rate limit.
    RateLimited,
    /// A panic was caught.
    InternalError,
    /// The response of SHOUTCLOUD is invalid.
    UpstreamInvalid,
    /// SHOUTCLOUD is unavailable.
    UpstreamUnavailable,
    /// The request was shed, by the service or by its limit of calls to SHOUTCLOUD.
    Overloaded,
    /// The key of the token is unknown and cannot be fetched.
    KeysUnavailable,
    /// SHOUTCLOUD did not respond before the deadline.
    UpstreamTimeout,
}

/// Whether the same request may succeed if it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not at all.
    No,
    /// Once, after the remedy that the explanation names.
    Once,
    /// Several times, after a wait.
    Yes,
}

impl Retry {
    /// Returns the word of the documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Once => "once",
            Self::Yes => "yes",
        }
    }
}

/// Whether the client's quota was checked before the response, which then reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaCheck {
    /// The response comes before the check.
    Never,
    /// The problem has several causes.
    Sometimes,
    /// The response comes after the check.
    Always,
}

impl Kind {
    /// All kinds, ordered by status.
    pub const ALL: [Self; 17] = [
        Self::MalformedRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::ContentTooLarge,
        Self::UnsupportedMediaType,
        Self::ExpectationFailed,
        Self::RateLimited,
        Self::InternalError,
        Self::UpstreamInvalid,
        Self::UpstreamUnavailable,
        Self::Overloaded,
        Self::KeysUnavailable,
        Self::UpstreamTimeout,
    ];

    /// Returns name, status, title and explanation.
    const fn description(self) -> (&'static str, StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => (
                "malformed-request",
                StatusCode::BAD_REQUEST,
                "Malformed request",
                "The body or a header is malformed. A JSON body is one object in UTF-8 without a byte order mark; its member \
                 names are unique, and `data` is a string. A text body is UTF-8 without a byte order mark. `detail` describes \
                 the error.",
            ),
            Self::Unauthenticated => (
                "unauthenticated",
                StatusCode::UNAUTHORIZED,
                "Unauthenticated",
                "The request has no valid access token. Get a new token from the token endpoint and send it as \
                 `authorization: Bearer <token>`, in exactly one header. Retrying with the same token does not help.",
            ),
            Self::Forbidden => (
                "forbidden",
                StatusCode::FORBIDDEN,
                "Forbidden",
                "The token is valid, but lacks a required scope or group. Request the scope that `www-authenticate` names, \
                 or have an administrator add the user to an allowed group.",
            ),
            Self::NotFound => (
                "not-found",
                StatusCode::NOT_FOUND,
                "Not found",
                "There is no such path. `/openapi.json` lists the paths of the API.",
            ),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "The path does not support this method; `allow` lists those it supports.",
            ),
            Self::NotAcceptable => (
                "not-acceptable",
                StatusCode::NOT_ACCEPTABLE,
                "Not acceptable",
                "`accept` allows neither `application/json` nor `text/plain`, the two formats of a response.",
            ),
            Self::RequestTimeout => (
                "request-timeout",
                StatusCode::REQUEST_TIMEOUT,
                "Request timeout",
                "The body did not arrive in time, and the connection is closed. Send the whole body without delay.",
            ),
            Self::ContentTooLarge => (
                "content-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "Content too large",
                "The body is too large; `detail` states the limit.",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported media type",
                "Send `content-type: application/json` or `text/plain`, in UTF-8 and without a content coding. `accept` or \
                 `accept-encoding` of the response shows which of the two was wrong.",
            ),
            Self::ExpectationFailed => (
                "expectation-failed",
                StatusCode::EXPECTATION_FAILED,
                "Expectation failed",
                "The request has `expect: 100-continue`, and no 100 can be sent on HTTP/2. Send the body without waiting \
                 for it, and without `expect`.",
            ),
            Self::RateLimited => (
                "rate-limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Rate limited",
                "The client exceeded its rate limit. Wait for the seconds in `retry-after`; `ratelimit` and \
                 `ratelimit-policy` state the remaining quota and how it is replenished.",
            ),
            Self::InternalError => (
                ShoutFailure::InternalError.name(),
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
                "The service failed. Report it with the request id in `x-request-id`.",
            ),
            Self::UpstreamInvalid => (
                ShoutFailure::UpstreamInvalid.name(),
                StatusCode::BAD_GATEWAY,
                "Upstream invalid",
                "SHOUTCLOUD, which converts the text to upper case, responded with something other than this text in upper \
                 case, or rejected it. Retrying with the same text is unlikely to help.",
            ),
            Self::UpstreamUnavailable => (
                ShoutFailure::UpstreamUnavailable.name(),
                StatusCode::SERVICE_UNAVAILABLE,
                "Upstream unavailable",
                "SHOUTCLOUD, which converts the text to upper case, is unavailable. Retry after the seconds in \
                 `retry-after`.",
            ),
            Self::Overloaded => (
                ShoutFailure::Overloaded.name(),
                StatusCode::SERVICE_UNAVAILABLE,
                "Overloaded",
                "The maximum number of requests is in flight. Retry after the seconds in `retry-after`, with fewer \
                 concurrent requests.",
            ),
            Self::KeysUnavailable => (
                "keys-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Keys unavailable",
                "The token cannot be verified, because the keys of its user pool are unavailable. The token may be valid: \
                 retry with it after the seconds in `retry-after`.",
            ),
            Self::UpstreamTimeout => (
                ShoutFailure::UpstreamTimeout.name(),
                StatusCode::GATEWAY_TIMEOUT,
                "Upstream timeout",
                "SHOUTCLOUD, which converts the text to upper case, did not respond in time. Retry later.",
            ),
        }
    }

    /// Returns whether a client should repeat the request.
    pub const fn retry(self) -> Retry {
        match self {
            Self::MalformedRequest
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::ContentTooLarge
            | Self::UnsupportedMediaType
            | Self::ExpectationFailed
            | Self::UpstreamInvalid => Retry::No,
            Self::Unauthenticated | Self::InternalError => Retry::Once,
            Self::RequestTimeout
            | Self::RateLimited
            | Self::UpstreamUnavailable
            | Self::Overloaded
            | Self::KeysUnavailable
            | Self::UpstreamTimeout => Retry::Yes,
        }
    }

    /// Returns whether the quota was checked before the response.
    pub const fn quota_check(self) -> QuotaCheck {
        match self {
            Self::Unauthenticated
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::KeysUnavailable => QuotaCheck::Never,
            // By `content-length` or while reading; of all requests or of calls to SHOUTCLOUD; anywhere.
            Self::ContentTooLarge | Self::Overloaded | Self::InternalError => QuotaCheck::Sometimes,
            Self::MalformedRequest
            | Self::NotAcceptable
            | Self::RequestTimeout
            | Self::UnsupportedMediaType
            | Self::ExpectationFailed
            | Self::RateLimited
            | Self::UpstreamInvalid
            | Self::UpstreamUnavailable
            | Self::UpstreamTimeout => QuotaCheck::Always,
        }
    }

    /// Returns the fragment of the problem's `type`.
    pub const fn name(self) -> &'static str {
        self.description().0
    }

    /// Returns the status.
    pub const fn status(self) -> StatusCode {
        self.description().1
    }

    /// Returns the problem's `title`.
    pub const fn title(self) -> &'static str {
        self.description().2
    }

    /// Returns what the problem means and what the caller can do.
    pub const fn explanation(self) -> &'static str {
        self.description().3
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn names_are_unique_and_explanations_are_sentences() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert!(Kind::ALL[..index].iter().all(|other| other.name() != kind.name()));
            assert!(kind.explanation().ends_with('.'), "{}", kind.name());
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
        }
    }
}
