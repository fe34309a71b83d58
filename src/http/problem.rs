//! Problem details (RFC 9457): the error responses of the service, and the only mapping of domain errors to statuses.
//!
//! A problem becomes a response without a body. `render` adds the body once the request id is known.

mod kind;

use std::any::Any;
use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

pub use self::kind::{Kind, QuotaCheck};

use crate::auth::AuthError;
use crate::{shout, shoutcloud};

/// An error response.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A response extension from which `render` creates the body.
#[derive(Clone)]
struct PendingProblem {
    kind: Kind,
    detail: Cow<'static, str>,
}

/// More than most bodies have.
const BODY_CAPACITY: usize = 384;

/// The JSON body of a problem.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    /// The section of `/docs` that explains this kind of problem, always as `/docs#` and its name: compare it as a string.
    /// An intermediary may send other types, such as `about:blank`, with any status.
    #[schema(value_type = String, format = "uri-reference")]
    r#type: Prefixed<'static>,
    /// A short summary of this kind of problem.
    title: &'static str,
    /// The status of the response.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request.
    detail: &'a str,
    /// A URI reference that identifies this request: `/requests/` and the value of `x-request-id`.
    #[schema(value_type = String, format = "uri-reference", pattern = "^/requests/[A-Za-z0-9._~:-]{1,128}$")]
    instance: Prefixed<'a>,
}

/// Two texts that become one string, without a copy.
struct Prefixed<'a>(&'static str, &'a str);

impl Serialize for Prefixed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}{}", self.0, self.1))
    }
}

impl Problem {
    /// Creates a problem. `detail` must not contain text of the upstream, tokens, or internal addresses.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    /// Creates a 405 for a path that supports the methods `allow`.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(Kind::MethodNotAllowed, format!("this path supports {allow}"))
            .with_header(ALLOW, HeaderValue::from_static(allow))
    }

    /// Returns the kind of problem.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Creates a 413.
    pub fn content_too_large(limit: usize) -> Self {
        Self::new(
            Kind::ContentTooLarge,
            format!("the body must not be larger than {limit} bytes"),
        )
    }

    /// Creates a 429.
    pub fn rate_limited(wait: Duration) -> Self {
        Self::new(Kind::RateLimited, "the rate limit of this client is exceeded").retry_after(wait)
    }

    /// Creates a 500.
    pub fn panicked() -> Self {
        Self::new(Kind::InternalError, "the service failed to process this request")
    }

    /// Creates the response to a request whose handler panicked. The message may contain a secret.
    pub(super) fn from_panic(_: Box<dyn Any + Send>) -> Response {
        Self::panicked().into_response()
    }

    /// Creates the 503 of a shed request.
    pub fn overloaded() -> Self {
        Self::new(Kind::Overloaded, "the maximum number of requests is in flight").retry_after(Duration::ZERO)
    }

    fn upstream_unavailable(wait: Duration) -> Self {
        Self::new(Kind::UpstreamUnavailable, "SHOUTCLOUD is currently unavailable").retry_after(wait)
    }

    /// Creates a 401, 403 or 503 with its challenge (RFC 6750 section 3).
    pub fn from_auth_error(error: &AuthError, required_scopes: &[String]) -> Self {
        let detail = error.to_string();
        match error {
            AuthError::KeysUnavailable { retry_after } => {
                Self::new(Kind::KeysUnavailable, detail).retry_after(*retry_after)
            }
            AuthError::MissingScope(_) | AuthError::MissingGroup => {
                let scope = match required_scopes {
                    [] => String::new(),
                    scopes => format!(", scope=\"{}\"", scopes.join(" ")),
                };
                let challenge = format!("Bearer error=\"insufficient_scope\"{scope}");
                let challenge = HeaderValue::from_str(&challenge)
                    .unwrap_or(HeaderValue::from_static("Bearer error=\"insufficient_scope\""));
                Self::new(Kind::Forbidden, detail).with_header(WWW_AUTHENTICATE, challenge)
            }
            // No error code where no token was sent (RFC 6750 section 3.1).
            AuthError::Missing => Self::new(Kind::Unauthenticated, detail)
                .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => Self::new(Kind::Unauthenticated, detail).with_header(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer error=\"invalid_token\""),
            ),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `retry-after` in whole seconds: at least 1, so that clients do not retry immediately, and at most 60, so that
    /// they do not wait long after the service has recovered.
    fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs_f64().ceil().clamp(1.0, 60.0);
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds as u64))
    }
}

impl From<shout::Error> for Problem {
    fn from(error: shout::Error) -> Self {
        let cause = match error.cause {
            shout::Cause::Upstream(cause) => cause,
            shout::Cause::Panicked => return Self::panicked(),
        };
        match cause {
            shoutcloud::Error::InvalidResponse(_) => Self::new(
                Kind::UpstreamInvalid,
                "SHOUTCLOUD did not respond with this text in upper case",
            ),
            shoutcloud::Error::Unavailable { retry_after, .. } => {
                Self::upstream_unavailable(retry_after.unwrap_or_default())
            }
            shoutcloud::Error::BreakerOpen { left } => Self::upstream_unavailable(left),
            shoutcloud::Error::Overloaded => Self::overloaded(),
            shoutcloud::Error::DeadlinePassed => {
                Self::new(Kind::UpstreamTimeout, "SHOUTCLOUD did not respond in time")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(PendingProblem {
            kind: self.kind,
            detail: self.detail,
        });
        response
    }
}

/// Returns the kind of problem of a response that is one.
pub(super) fn kind_of(response: &Response) -> Option<Kind> {
    response
        .extensions()
        .get::<PendingProblem>()
        .map(|problem| problem.kind)
}

/// Returns the detail of a response that is a problem.
pub(super) fn detail_of(response: &Response) -> Option<Cow<'static, str>> {
    response
        .extensions()
        .get::<PendingProblem>()
        .map(|problem| problem.detail.clone())
}

/// Adds the body to a response that is a problem.
///
/// A request id has no character that a path segment would have to percent-encode. Only a scheme-like id (`1:2`) is not a
/// URI reference by itself, which the path prefix prevents.
pub(super) fn render(response: &mut Response, request_id: &str) {
    let Some(PendingProblem { kind, detail }) = response.extensions_mut().remove() else {
        return;
    };
    let body = Body {
        r#type: Prefixed("/docs#", kind.name()),
        title: kind.title(),
        status: kind.status().as_u16(),
        detail: &detail,
        instance: Prefixed("/requests/", request_id),
    };
    let mut json = Vec::with_capacity(BODY_CAPACITY);
    serde_json::to_writer(&mut json, &body).expect("strings and a number serialize to JSON");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    // The router may have set that of the empty body.
    headers.insert(CONTENT_LENGTH, json.len().into());
    *response.body_mut() = json.into();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::IntoResponse as _;

    use axum::response::Response;
    use http_body_util::BodyExt as _;

    use super::{Kind, Problem, render};

    async fn instance(request_id: &str) -> String {
        let mut response: Response = Problem::new(Kind::NotFound, "nothing here").into_response();
        render(&mut response, request_id);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        body["instance"].as_str().expect("a string").to_owned()
    }

    #[tokio::test]
    async fn instance_is_a_uri_reference_with_the_request_id() {
        let base = url::Url::parse("https://example.com/v1").expect("a URL");
        for id in ["a", "1:2", "urn:x:y", "AZaz09._~:-", "-", "~", &":".repeat(128)] {
            let instance = instance(id).await;
            assert_eq!(instance, format!("/requests/{id}"));
            let resolved = base.join(&instance).expect("a URI reference");
            assert_eq!(resolved.as_str(), format!("https://example.com/requests/{id}"));
        }
    }

    #[test]
    fn retry_after_is_between_1_and_60_seconds() {
        for (wait, seconds) in [
            (0, "1"),
            (1, "1"),
            (1_000, "1"),
            (1_001, "2"),
            (60_000, "60"),
            (86_400_000, "60"),
        ] {
            let response = Problem::rate_limited(Duration::from_millis(wait)).into_response();
            assert_eq!(response.headers()["retry-after"], seconds, "{wait} ms");
        }
    }
}
