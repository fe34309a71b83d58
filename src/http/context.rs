//! What is known of a request, from its head to its log line.

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

/// The header that names a request, in and out.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Filled in by the layers that a request passes; shared, because a request outlives none of them.
#[derive(Clone)]
pub(super) struct Context(Arc<Known>);

struct Known {
    id: HeaderValue,
    arrived: Instant,
    auth: OnceLock<Duration>,
    upstream: OnceLock<Duration>,
    principal: OnceLock<Principal>,
    rate_limit: OnceLock<RateLimit>,
    source: OnceLock<&'static str>,
    attempts: OnceLock<u32>,
    trace: OnceLock<opentelemetry::Context>,
}

/// What an answer says of its client's quota.
pub(super) struct RateLimit {
    pub(super) left: HeaderValue,
    pub(super) policy: HeaderValue,
}

impl Context {
    /// A request whose head has just arrived. Its id is the caller's, if that is one.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let mut ids = headers.get_all(REQUEST_ID).iter();
        let id = match (ids.next(), ids.next()) {
            // A copy: a clone would keep all that was read with it in memory for as long as the request waits.
            (Some(id), None) if is_request_id(id) => HeaderValue::from_bytes(id.as_bytes()),
            _ => {
                let mut id = Uuid::encode_buffer();
                HeaderValue::from_str(Uuid::now_v7().hyphenated().encode_lower(&mut id))
            }
        }
        .expect("an id is a header value");
        Self(Arc::new(Known {
            id,
            arrived: Instant::now(),
            auth: OnceLock::new(),
            upstream: OnceLock::new(),
            principal: OnceLock::new(),
            rate_limit: OnceLock::new(),
            source: OnceLock::new(),
            attempts: OnceLock::new(),
            trace: OnceLock::new(),
        }))
    }

    /// The one that a request was given. Absent only if a route stands outside the stack of layers.
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

    pub(super) fn arrived(&self) -> Instant {
        self.0.arrived
    }

    /// Authentication took so long.
    pub(super) fn authenticated(&self, took: Duration) {
        _ = self.0.auth.set(took);
    }

    /// The upstream was needed, took so long, and was called in so many attempts.
    pub(super) fn called_upstream(&self, took: Duration, attempts: u32) {
        _ = self.0.upstream.set(took);
        _ = self.0.attempts.set(attempts);
    }

    pub(super) fn attempts(&self) -> Option<u32> {
        self.0.attempts.get().copied()
    }

    /// The shout came from there.
    pub(super) fn shouted(&self, source: &'static str) {
        _ = self.0.source.set(source);
    }

    pub(super) fn source(&self) -> Option<&'static str> {
        self.0.source.get().copied()
    }

    /// The request comes from `principal`.
    pub(super) fn let_in(&self, principal: Principal) {
        _ = self.0.principal.set(principal);
    }

    pub(super) fn principal(&self) -> Option<&Principal> {
        self.0.principal.get()
    }

    /// The client's quota was asked.
    pub(super) fn took_quota(&self, limit: RateLimit) {
        _ = self.0.rate_limit.set(limit);
    }

    pub(super) fn rate_limit(&self) -> Option<&RateLimit> {
        self.0.rate_limit.get()
    }

    /// Its span is the current one of `trace`.
    pub(super) fn traced(&self, trace: opentelemetry::Context) {
        _ = self.0.trace.set(trace);
    }

    /// Where its span is the current one.
    pub(super) fn trace(&self) -> opentelemetry::Context {
        self.0.trace.get().cloned().unwrap_or_default()
    }

    /// `server-timing` (W3C), in milliseconds; `None` if nothing of what it names has happened.
    pub(super) fn server_timing(&self) -> Option<HeaderValue> {
        let mut entries = String::new();
        for (name, took) in [("auth", self.0.auth.get()), ("upstream", self.0.upstream.get())] {
            if let Some(took) = took {
                let comma = if entries.is_empty() { "" } else { ", " };
                let (whole, part) = (took.as_micros() / 1000, took.as_micros() % 1000);
                _ = write!(entries, "{comma}{name};dur={whole}.{part:03}");
            }
        }
        (!entries.is_empty())
            .then(|| HeaderValue::try_from(entries).ok())
            .flatten()
    }
}

impl<S: Sync> FromRequestParts<S> for Context {
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

    use super::{Context, REQUEST_ID};

    fn id_for(sent: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for id in sent {
            headers.append(REQUEST_ID, HeaderValue::from_str(id).expect("a header value"));
        }
        Context::new(&headers).id_str().to_owned()
    }

    #[test]
    fn a_callers_id_is_kept_if_it_is_one() {
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
    fn server_timing_names_what_has_happened() {
        let context = Context::new(&HeaderMap::new());
        assert_eq!(context.server_timing(), None);
        context.called_upstream(Duration::from_micros(12_345), 1);
        assert_eq!(context.server_timing().expect("timing"), "upstream;dur=12.345");
        context.authenticated(Duration::from_micros(50));
        assert_eq!(
            context.server_timing().expect("timing"),
            "auth;dur=0.050, upstream;dur=12.345"
        );
    }
}
