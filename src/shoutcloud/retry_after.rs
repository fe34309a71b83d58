//! The `retry-after` header (RFC 9110 section 10.2.3): a retry waits for it, unless it exceeds the deadline.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Extensions, HeaderMap, header};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use tokio::time::{Instant, sleep_until};

use super::attempt_error::AttemptError;
use super::call::Deadline;
use super::error::Error;
use super::retry;
use crate::telemetry::metrics::UpstreamMetrics;

/// The earliest start of the next attempt, in the request's extensions.
#[derive(Clone, Copy)]
struct NotBefore(Instant);

/// Delays a retry by the previous response's `retry-after`. If that exceeds the deadline, the error is not retried.
pub(super) struct RetryAfterMiddleware {
    pub(super) metrics: Arc<UpstreamMetrics>,
}

#[async_trait::async_trait]
impl Middleware for RetryAfterMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        if let Some(NotBefore(instant)) = extensions.remove() {
            sleep_until(instant).await;
        }
        retry::count_retry(&self.metrics, extensions);
        let mut error = match next.run(request, extensions).await {
            Ok(response) => return Ok(response),
            Err(error) => AttemptError::from(error),
        };
        retry::record_error(&error.error, extensions);
        if let Error::Unavailable {
            retry_after: Some(wait),
            ..
        } = error.error
        {
            let deadline = extensions.get().map(|Deadline(instant)| *instant);
            let not_before = Instant::now().checked_add(wait);
            if let Some(instant) = not_before.filter(|instant| Some(*instant) < deadline) {
                extensions.insert(NotBefore(instant));
            } else {
                error.is_retryable = false;
            }
        }
        Err(error.into())
    }
}

/// Returns the delay that `headers` ask for, as a number of seconds or a date. Ignores any other value.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows is a long time, too.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{HeaderMap, HeaderValue, header};

    use super::retry_after;

    fn parse(value: &str) -> Option<Duration> {
        let value = HeaderValue::from_str(value).expect("a header value");
        retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, value)]))
    }

    #[test]
    fn seconds_and_dates_are_parsed() {
        assert_eq!(parse("0"), Some(Duration::ZERO));
        assert_eq!(parse("1"), Some(Duration::from_secs(1)));
        assert_eq!(parse("86400"), Some(Duration::from_secs(86_400)));
        assert_eq!(parse(&"9".repeat(40)), Some(Duration::from_secs(u64::MAX)));
        let hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3_600));
        let wait = parse(&hour).expect("a date");
        // The date has no fractions of a second, and some time has passed since.
        assert!(wait > Duration::from_secs(3_500) && wait <= Duration::from_secs(3_600));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn other_values_are_ignored() {
        for value in [
            "",
            "-1",
            "+1",
            "1.5",
            "1s",
            "soon",
            "1, 2",
            "2026-11-22T00:00:00Z",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
