//! `retry-after` (RFC 9110 section 10.2.3): what SHOUTCLOUD asks for is done, if there is time for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Extensions, HeaderMap, header};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use tokio::time::{Instant, sleep_until};

use super::error::Error;
use super::failure::Failure;
use crate::telemetry::metrics::UpstreamMetrics;

/// When the call has to be over; every attempt finds it in the request's extensions.
#[derive(Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

/// No attempt before this; left in the request's extensions by the attempt before.
#[derive(Clone, Copy)]
struct NotBefore(Instant);

/// What the attempt before ended in; left in the request's extensions for the next one.
#[derive(Clone, Copy)]
struct Retried(&'static str);

/// Waits, inside the retries, for as long as the last answer asked for; gives up at once if that is too long.
pub(super) struct HonourRetryAfter {
    pub(super) metrics: Arc<UpstreamMetrics>,
}

#[async_trait::async_trait]
impl Middleware for HonourRetryAfter {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        if let Some(NotBefore(instant)) = extensions.remove() {
            sleep_until(instant).await;
        }
        if let Some(Retried(reason)) = extensions.remove() {
            self.metrics.record_retry(reason);
        }
        let mut failure = match next.run(request, extensions).await {
            Ok(response) => return Ok(response),
            Err(error) => Failure::from(error),
        };
        extensions.insert(Retried(failure.error.labels().error_type));
        if let Error::Unavailable {
            retry_after: Some(wait),
            ..
        } = failure.error
        {
            let deadline = extensions.get().map(|Deadline(instant)| *instant);
            let not_before = Instant::now().checked_add(wait);
            if let Some(instant) = not_before.filter(|instant| Some(*instant) < deadline) {
                extensions.insert(NotBefore(instant));
            } else {
                failure.may_pass = false;
            }
        }
        Err(failure.into())
    }
}

/// How long `headers` ask to wait: a number of seconds, or a date. What is neither asks for nothing.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a long time all the same.
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

    fn read(value: &str) -> Option<Duration> {
        let value = HeaderValue::from_str(value).expect("a header value");
        retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, value)]))
    }

    #[test]
    fn seconds_or_a_date() {
        assert_eq!(read("0"), Some(Duration::ZERO));
        assert_eq!(read("1"), Some(Duration::from_secs(1)));
        assert_eq!(read("86400"), Some(Duration::from_secs(86_400)));
        assert_eq!(read(&"9".repeat(40)), Some(Duration::from_secs(u64::MAX)));
        let hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3_600));
        let wait = read(&hour).expect("a date");
        // The date has no fractions, and a moment has passed since.
        assert!(wait > Duration::from_secs(3_500) && wait <= Duration::from_secs(3_600));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_neither_asks_for_nothing() {
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
            assert_eq!(read(value), None, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
