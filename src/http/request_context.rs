//! What is known about a request, from its headers to its log line.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use super::problem::{Kind, Problem};
use super::rate_limit::RateLimitHeaders;
use crate::auth::Principal;
use crate::telemetry::trace::{Provisional, Tracing};

/// The header with the request id, in requests and responses.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request and the records about it. Shared by the layers, because the log line of a request whose client has
/// disconnected needs what inner layers recorded. Each record has one writer, which writes it once.
#[derive(Clone)]
pub(super) struct RequestContext(Arc<Inner>);

struct Inner {
    id: HeaderValue,
    started: Instant,
    /// The other end of the connection.
    peer: Option<IpAddr>,
    /// Written by the access log, or by the authentication if the span was provisional.
    trace: OnceLock<opentelemetry::Context>,
    /// Written by the access log.
    provisional: OnceLock<Box<Provisional>>,
    /// Bytes of the body that was read; [`NO_BODY`] if none was.
    body_bytes: AtomicU64,
    failure: OnceLock<Failure>,
    authentication: OnceLock<AuthenticationRecord>,
    shout: OnceLock<ShoutRecord>,
    /// Taken by the body of the response.
    permit: Mutex<Option<InFlightPermit>>,
}

/// The permit of a request among the requests in flight.
pub(super) enum InFlightPermit {
    Held(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit),
    /// The request was shed.
    Denied,
}

/// Why the response is a 5xx, for operators.
pub(super) struct Failure {
    /// The cause, in one word.
    pub(super) cause: &'static str,
    /// For the log and the span, never for the client; without addresses.
    pub(super) message: String,
}

const NO_BODY: u64 = u64::MAX;

/// Result of authentication and rate limiting.
#[derive(Default)]
pub(super) struct AuthenticationRecord {
    /// Time spent on the token, if authentication is enabled.
    pub(super) duration: Option<Duration>,
    /// The authenticated client.
    pub(super) principal: Option<Principal>,
    pub(super) rate_limit: Option<RateLimitHeaders>,
}

/// Result of a call to the domain.
pub(super) struct ShoutRecord {
    pub(super) source: &'static str,
    /// Time spent on the upstream and number of attempts, if it was called.
    pub(super) upstream: Option<(Duration, u32)>,
}

impl RequestContext {
    /// The context of a request whose headers have just been read. Uses the id in the request if it is valid.
    pub(super) fn new(headers: &HeaderMap, peer: Option<IpAddr>) -> Self {
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
            peer,
            trace: OnceLock::new(),
            provisional: OnceLock::new(),
            body_bytes: AtomicU64::new(NO_BODY),
            failure: OnceLock::new(),
            authentication: OnceLock::new(),
            shout: OnceLock::new(),
            permit: Mutex::new(None),
        }))
    }

    /// Inserts the context of `request`, which came from `peer`, and returns it.
    pub(super) fn insert<B>(request: &mut Request<B>, peer: Option<IpAddr>) -> Self {
        let context = Self::new(request.headers(), peer);
        request.extensions_mut().insert(context.clone());
        context
    }

    /// The context inserted by the server, or by the `request_id` layer without one.
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

    /// The address of the other end of the connection: the client, or the proxy in front of the service. `x-forwarded-for` is not
    /// used, because clients can forge it.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.0.peer
    }

    pub(super) fn record_trace(&self, trace: opentelemetry::Context) {
        _ = self.0.trace.set(trace);
    }

    pub(super) fn record_provisional(&self, span: Provisional) {
        _ = self.0.provisional.set(Box::new(span));
    }

    /// Starts a provisional span in the client's trace, because the request is accepted.
    pub(super) fn accept_trace(&self, tracing: &Tracing) {
        if let Some(provisional) = self.0.provisional.get() {
            self.0.trace.get_or_init(|| tracing.accept(provisional));
        }
    }

    /// Starts a provisional span as the root of a trace, unless the request was accepted. Returns the context of the final span.
    pub(super) fn final_trace(&self, tracing: &Tracing) -> opentelemetry::Context {
        match self.0.provisional.get() {
            Some(provisional) => self.0.trace.get_or_init(|| tracing.reject(provisional)).clone(),
            None => self.trace(),
        }
    }

    pub(super) fn record_body(&self, bytes: usize) {
        self.0.body_bytes.store(bytes as u64, Ordering::Relaxed);
    }

    /// The size of the body, if it was read.
    pub(super) fn body_bytes(&self) -> Option<u64> {
        Some(self.0.body_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes != NO_BODY)
    }

    pub(super) fn record_failure(&self, failure: Failure) {
        _ = self.0.failure.set(failure);
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        self.0.failure.get()
    }

    pub(super) fn record_authentication(&self, record: AuthenticationRecord) {
        _ = self.0.authentication.set(record);
    }

    pub(super) fn record_shout(&self, record: ShoutRecord) {
        _ = self.0.shout.set(record);
    }

    /// Holds the permit until the body of the response takes it, or the request is dropped.
    pub(super) fn record_permit(&self, permit: InFlightPermit) {
        *self.0.permit.lock().expect("no panic while it is locked") = Some(permit);
    }

    pub(super) fn take_permit(&self) -> Option<InFlightPermit> {
        self.0.permit.lock().expect("no panic while it is locked").take()
    }

    /// The trace context in which the request's span is the current one.
    pub(super) fn trace(&self) -> opentelemetry::Context {
        match (self.0.trace.get(), self.0.provisional.get()) {
            (Some(trace), _) => trace.clone(),
            (None, Some(provisional)) => provisional.root().clone(),
            (None, None) => opentelemetry::Context::default(),
        }
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
                if !entries.is_empty() {
                    entries.push_str(", ");
                }
                entries.push_str(name);
                entries.push_str(";dur=");
                // `format!` takes ten times as long.
                let (whole, part) = (duration.as_micros() / 1000, duration.as_micros() % 1000);
                entries.push_str(itoa::Buffer::new().format(whole));
                entries.push('.');
                // The first digit keeps the zeros.
                entries.push_str(&itoa::Buffer::new().format(1000 + part)[1..]);
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
        RequestContext::new(&headers, None).id_str().to_owned()
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
        let context = RequestContext::new(&HeaderMap::new(), None);
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
