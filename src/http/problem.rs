//! Problem details (RFC 9457): every error that a caller sees, and the only place where a domain error becomes a status.

mod kind;

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::kind::Kind;

use crate::auth::Refusal;
use crate::{shout, shoutcloud};

/// An error on its way to the caller. As a response it is empty until `render` knows the request's id.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What a problem leaves in a response for [`render`].
#[derive(Clone)]
struct Unrendered {
    kind: Kind,
    detail: Cow<'static, str>,
}

/// The JSON of a problem.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    /// A section of `/docs` that explains this kind of problem.
    #[schema(example = "/docs#unauthenticated")]
    r#type: String,
    /// This kind of problem in a few words.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// What is wrong with this request.
    detail: &'a str,
    /// The id of this request, as in `x-request-id`.
    instance: &'a str,
}

impl Problem {
    /// A problem of `kind`; `detail` holds nothing of the upstream's text, a token, or an internal address.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    /// 405 for a path that has these methods.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(Kind::MethodNotAllowed, format!("this path answers {allow}"))
            .with(ALLOW, HeaderValue::from_static(allow))
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// 413.
    pub fn content_too_large(limit: usize) -> Self {
        Self::new(
            Kind::ContentTooLarge,
            format!("the body may have at most {limit} bytes"),
        )
    }

    /// 429.
    pub fn rate_limited(wait: Duration) -> Self {
        Self::new(Kind::RateLimited, "the quota of this client is used up").retry_after(wait)
    }

    /// 500.
    pub fn panicked() -> Self {
        Self::new(Kind::InternalError, "the service failed on this request")
    }

    /// 503, because there is no room for the request.
    pub fn overloaded() -> Self {
        Self::new(
            Kind::Overloaded,
            "as many requests as can be handled are under way",
        )
        .retry_after(Duration::ZERO)
    }

    fn upstream_unavailable(wait: Duration) -> Self {
        Self::new(
            Kind::UpstreamUnavailable,
            "SHOUTCLOUD cannot be had at the moment",
        )
        .retry_after(wait)
    }

    /// 401, 403 or 503, with its challenge (RFC 6750 section 3).
    pub fn of_refusal(refusal: &Refusal, required_scopes: &[String]) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::KeysUnavailable { retry_after } => {
                Self::new(Kind::KeysUnavailable, detail).retry_after(*retry_after)
            }
            Refusal::MissingScope(_) | Refusal::MissingGroup => {
                let scope = match required_scopes {
                    [] => String::new(),
                    scopes => format!(", scope=\"{}\"", scopes.join(" ")),
                };
                let challenge = format!("Bearer error=\"insufficient_scope\"{scope}");
                let challenge = HeaderValue::from_str(&challenge)
                    .unwrap_or(HeaderValue::from_static("Bearer error=\"insufficient_scope\""));
                Self::new(Kind::Forbidden, detail).with(WWW_AUTHENTICATE, challenge)
            }
            // No error code where no token was sent (RFC 6750 section 3.1).
            Refusal::Missing => Self::new(Kind::Unauthenticated, detail)
                .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => Self::new(Kind::Unauthenticated, detail).with(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer error=\"invalid_token\""),
            ),
        }
    }

    /// A header that goes with it.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// `retry-after` in whole seconds: at least 1, or a client would ask again at once; at most 60, or it would stay away
    /// long after the trouble has passed.
    fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs_f64().ceil().clamp(1.0, 60.0);
        self.with(RETRY_AFTER, HeaderValue::from(seconds as u64))
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
                "SHOUTCLOUD did not answer with this text in capitals",
            ),
            shoutcloud::Error::Unavailable { retry_after, .. } => {
                Self::upstream_unavailable(retry_after.unwrap_or_default())
            }
            shoutcloud::Error::BreakerOpen { left } => Self::upstream_unavailable(left),
            shoutcloud::Error::Overloaded => Self::overloaded(),
            shoutcloud::Error::DeadlinePassed => {
                Self::new(Kind::UpstreamTimeout, "SHOUTCLOUD did not answer in time")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(Unrendered {
            kind: self.kind,
            detail: self.detail,
        });
        response
    }
}

/// The kind of problem that a response is, if it is one.
pub(super) fn kind_of(response: &Response) -> Option<Kind> {
    response
        .extensions()
        .get::<Unrendered>()
        .map(|problem| problem.kind)
}

/// Gives a response that is a problem its body; `instance` is the request's id.
pub(super) fn render(response: &mut Response, instance: &str) {
    let Some(Unrendered { kind, detail }) = response.extensions_mut().remove() else {
        return;
    };
    let body = Body {
        r#type: format!("/docs#{}", kind.name()),
        title: kind.title(),
        status: kind.status().as_u16(),
        detail: &detail,
        instance,
    };
    let json = serde_json::to_vec(&body).expect("strings and a number are JSON");
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    *response.body_mut() = json.into();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::IntoResponse as _;

    use super::Problem;

    #[test]
    fn retry_after_is_between_a_second_and_a_minute() {
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
