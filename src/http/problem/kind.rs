//! The catalogue of problems: each kind's name, status, title, and what a caller can do about it.

use http::StatusCode;

/// What kind of error it is; names a section of `/docs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Body or header cannot be read.
    MalformedRequest,
    /// No token, or not a good one.
    Unauthenticated,
    /// A good token that lacks a scope or group.
    Forbidden,
    /// No such path.
    NotFound,
    /// The path has other methods.
    MethodNotAllowed,
    /// `accept` allows neither form.
    NotAcceptable,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body is too long.
    ContentTooLarge,
    /// The body is neither JSON nor text in UTF-8.
    UnsupportedMediaType,
    /// The client's quota is used up.
    RateLimited,
    /// A panic was caught.
    InternalError,
    /// SHOUTCLOUD answered, but not with a shout.
    UpstreamInvalid,
    /// SHOUTCLOUD cannot be had.
    UpstreamUnavailable,
    /// The service, or its way to SHOUTCLOUD, has no room for the request.
    Overloaded,
    /// The token's key is unknown and cannot be fetched.
    KeysUnavailable,
    /// SHOUTCLOUD took too long.
    UpstreamTimeout,
}

impl Kind {
    /// Every kind, by status.
    pub const ALL: [Self; 16] = [
        Self::MalformedRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::ContentTooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::InternalError,
        Self::UpstreamInvalid,
        Self::UpstreamUnavailable,
        Self::Overloaded,
        Self::KeysUnavailable,
        Self::UpstreamTimeout,
    ];

    /// Name, status, title, and what the caller can do about it.
    const fn description(self) -> (&'static str, StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => (
                "malformed-request",
                StatusCode::BAD_REQUEST,
                "Malformed request",
                "The body or a header cannot be read. A JSON body is one object in UTF-8, without a byte order mark, in \
                 which no name occurs twice and `data` is a string; a text body is UTF-8. `detail` says what was found.",
            ),
            Self::Unauthenticated => (
                "unauthenticated",
                StatusCode::UNAUTHORIZED,
                "Unauthenticated",
                "The request carries no access token, or not a good one. Get a new token from the token endpoint and send \
                 it as `authorization: Bearer <token>`, in one header. Asking again with the same token does not help.",
            ),
            Self::Forbidden => (
                "forbidden",
                StatusCode::FORBIDDEN,
                "Forbidden",
                "The token is good, but lacks a scope or group that is needed here. Ask for the scope that \
                 `www-authenticate` names, or have the user put into a group that is allowed.",
            ),
            Self::NotFound => (
                "not-found",
                StatusCode::NOT_FOUND,
                "Not found",
                "There is nothing at this path. The API has one: `POST /v1`.",
            ),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "The path has other methods; `allow` lists them.",
            ),
            Self::NotAcceptable => (
                "not-acceptable",
                StatusCode::NOT_ACCEPTABLE,
                "Not acceptable",
                "`accept` allows neither `application/json` nor `text/plain`, the two forms of an answer.",
            ),
            Self::RequestTimeout => (
                "request-timeout",
                StatusCode::REQUEST_TIMEOUT,
                "Request timeout",
                "The body did not arrive in time, and the connection is closed. Send it whole, and at once.",
            ),
            Self::ContentTooLarge => (
                "content-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "Content too large",
                "The body is longer than is accepted; `detail` says how long it may be.",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported media type",
                "Send `content-type: application/json` or `text/plain`, in UTF-8 and without a content coding.",
            ),
            Self::RateLimited => (
                "rate-limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Rate limited",
                "The client's quota is used up. Wait as many seconds as `retry-after` says; `ratelimit` and \
                 `ratelimit-policy` say what is left and how the quota fills again.",
            ),
            Self::InternalError => (
                "internal-error",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
                "A fault of the service. Report it with the request id in `instance`.",
            ),
            Self::UpstreamInvalid => (
                "upstream-invalid",
                StatusCode::BAD_GATEWAY,
                "Upstream invalid",
                "SHOUTCLOUD, where the capitals come from, answered with something else than this text in capitals, or \
                 refused it. Asking again with the same text is unlikely to help.",
            ),
            Self::UpstreamUnavailable => (
                "upstream-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Upstream unavailable",
                "SHOUTCLOUD, where the capitals come from, cannot be had. Ask again after as many seconds as \
                 `retry-after` says.",
            ),
            Self::Overloaded => (
                "overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "Overloaded",
                "The service is handling as many requests as it can. Ask again after as many seconds as `retry-after` \
                 says, and with fewer requests at once.",
            ),
            Self::KeysUnavailable => (
                "keys-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Keys unavailable",
                "The token cannot be checked, because its pool's keys cannot be fetched. The token may be good: ask \
                 again with it after as many seconds as `retry-after` says.",
            ),
            Self::UpstreamTimeout => (
                "upstream-timeout",
                StatusCode::GATEWAY_TIMEOUT,
                "Upstream timeout",
                "SHOUTCLOUD, where the capitals come from, took too long. Ask again later.",
            ),
        }
    }

    /// The last part of the problem's `type`.
    pub const fn name(self) -> &'static str {
        self.description().0
    }

    /// The status.
    pub const fn status(self) -> StatusCode {
        self.description().1
    }

    /// The problem's `title`.
    pub const fn title(self) -> &'static str {
        self.description().2
    }

    /// What it means and what to do.
    pub const fn explanation(self) -> &'static str {
        self.description().3
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn kinds_have_names_of_their_own_and_say_what_to_do() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert!(Kind::ALL[..index].iter().all(|other| other.name() != kind.name()));
            assert!(kind.explanation().ends_with('.'), "{}", kind.name());
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
        }
    }
}
