//! What is known about a request, from its headers to its log line.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use uuid::Uuid;

use super::problem::{Kind, Problem};
use crate::auth::Principal;

/// The header with the request id, in requests and responses.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request and the records about it. Shared by the layers, because the log line of a request whose client has
/// disconnected needs what inner layers recorded. Each record has one writer, which writes it once.
#[derive(Clone)]
pub(super) struct RequestContext(Arc<Inner>);

struct Inner {
    id: HeaderValue,
    started: Instant,
    /// Written by the access log.
    trace: OnceLock<opentelemetry::Context>,
    authentication: OnceLock<AuthenticationRecord>,
    shout: OnceLock<ShoutRecord>,
}

/// Result of authentication and rate limiting.
#[derive(Default)]
pub(super) struct AuthenticationRecord {
    /// Time spent on the token, if authentication is enabled.
    pub(super) duration: Option<Duration>,
    /// The authenticated client.
    pub(super) principal: Option<Principal>,
    pub(super) rate_limit: Option<RateLimitHeaders>,
}

/// Values of the `ratelimit` and `ratelimit-policy` headers.
pub(super) struct RateLimitHeaders {
    pub(super) limit: HeaderValue,
    pub(super) policy: HeaderValue,
}

/// Result of a call to the domain.
pub(super) struct ShoutRecord {
    pub(super) source: &'static str,
    /// Time spent on the upstream and number of attempts, if it was called.
    pub(super) upstream: Option<(Duration, u32)>,
}

impl RequestContext {
    /// The context of a request whose headers have just been read. Uses the id in the request if it is valid.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let mut ids = headers.get_all(REQUEST_ID).iter();
        let id = match (ids.next(), ids.next()) {
            // A copy: a clone would keep the whole read buffer in memory for as long as the request waits.
            (Some(id), None) if is_request_id(id) => HeaderValue::from_bytes(id.as_bytes()),
            _ => {
                let mut id = Uuid::encode_buffer();
                HeaderValue::from_str(Uuid::now_v7().hyphenated().encode_lower(&mut id))
            }
        }
        .expect("an id is a header value");
        Self(Arc::new(Inner {
            id,
            started: Instant::now(),
            trace: OnceLock::new(),
            authentication: OnceLock::new(),
            shout: OnceLock::new(),
        }))
    }

    /// The context inserted by the `request_id` layer.
    pub(super) fn of(extensions: &Extensions) -> Result<Self, Problem> {
        extensions
            .get()
            .cloned()
            .ok_or(Problem::new(Kind::InternalError, "the request has no context"))
    }

    pub(super) fn id(&self) -> &HeaderValue {
        &self.0.id
    }

    pub(super) fn id_str(&self) -> &str {
        self.0.id.to_str().unwrap_or_default()
    }

    /// When the request head was complete.
    pub(super) fn started(&self) -> Instant {
        self.0.started
    }

    pub(super) fn record_trace(&self, trace: opentelemetry::Context) {
        _ = self.0.trace.set(trace);
    }

    pub(super) fn record_authentication(&self, record: AuthenticationRecord) {
        _ = self.0.authentication.set(record);
    }

    pub(super) fn record_shout(&self, record: ShoutRecord) {
        _ = self.0.shout.set(record);
    }

    /// The trace context in which the request's span is the current one.
    pub(super) fn trace(&self) -> opentelemetry::Context {
        self.0.trace.get().cloned().unwrap_or_default()
    }

    pub(super) fn principal(&self) -> Option<&Principal> {
        self.0.authentication.get()?.principal.as_ref()
    }

    pub(super) fn rate_limit(&self) -> Option<&RateLimitHeaders> {
        self.0.authentication.get()?.rate_limit.as_ref()
    }

    /// Where the shout came from.
    pub(super) fn source(&self) -> Option<&'static str> {
        Some(self.0.shout.get()?.source)
    }

    /// Number of attempts to call the upstream.
    pub(super) fn attempts(&self) -> Option<u32> {
        Some(self.0.shout.get()?.upstream?.1)
    }

    /// `server-timing` (W3C), in milliseconds; `None` if neither authentication nor the upstream took part.
    pub(super) fn server_timing(&self) -> Option<HeaderValue> {
        let auth = self.0.authentication.get().and_then(|record| record.duration);
        let upstream = self.0.shout.get().and_then(|record| record.upstream);
        let upstream = upstream.map(|(duration, _)| duration);
        let mut entries = String::new();
        for (name, duration) in [("auth", auth), ("upstream", upstream)] {
            if let Some(duration) = duration {
                let comma = if entries.is_empty() { "" } else { ", " };
                let (whole, part) = (duration.as_micros() / 1000, duration.as_micros() % 1000);
                _ = write!(entries, "{comma}{name};dur={whole}.{part:03}");
            }
        }
        (!entries.is_empty())
            .then(|| HeaderValue::try_from(entries).ok())
            .flatten()
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.extensions)
    }
}

fn is_request_id(id: &HeaderValue) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~:-".contains(byte);
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::{AuthenticationRecord, REQUEST_ID, RequestContext, ShoutRecord};

    fn id_for(sent: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for id in sent {
            headers.append(REQUEST_ID, HeaderValue::from_str(id).expect("a header value"));
        }
        RequestContext::new(&headers).id_str().to_owned()
    }

    #[test]
    fn a_valid_id_of_the_caller_is_used() {
        for id in ["a", "A-z_~.:9", &"x".repeat(128)] {
            assert_eq!(id_for(&[id]), id);
        }
        for sent in [
            &[][..],
            &[""],
            &["a b"],
            &["a/b"],
            &["a", "b"],
            &[&"x".repeat(129)],
        ] {
            let id = id_for(sent);
            assert_eq!(
                uuid::Uuid::parse_str(&id).expect("a UUID").get_version_num(),
                7,
                "{sent:?}"
            );
        }
    }

    #[test]
    fn server_timing_lists_authentication_and_upstream() {
        let context = RequestContext::new(&HeaderMap::new());
        assert_eq!(context.server_timing(), None);
        context.record_shout(ShoutRecord {
            source: "upstream",
            upstream: Some((Duration::from_micros(12_345), 1)),
        });
        assert_eq!(context.server_timing().expect("timing"), "upstream;dur=12.345");
        context.record_authentication(AuthenticationRecord {
            duration: Some(Duration::from_micros(50)),
            ..AuthenticationRecord::default()
        });
        assert_eq!(
            context.server_timing().expect("timing"),
            "auth;dur=0.050, upstream;dur=12.345"
        );
    }
}
