//! The `retry-after` header (RFC 9110 section 10.2.3).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// Returns the delay that `headers` ask for, as a number of seconds or a date. Ignores any other value.
///
/// A date is relative to the response's own `date`, so that the server's clock need not agree with this one.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows is a long time, too.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let retry_at = httpdate::parse_http_date(value).ok()?;
    let now = sent_at(headers).unwrap_or_else(SystemTime::now);
    Some(retry_at.duration_since(now).unwrap_or_default())
}

fn sent_at(headers: &HeaderMap) -> Option<SystemTime> {
    let value = headers.get(header::DATE)?.to_str().ok()?;
    httpdate::parse_http_date(value.trim()).ok()
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
    fn a_date_is_relative_to_the_date_of_the_response() {
        let now = SystemTime::now();
        let at = |seconds: u64| httpdate::fmt_http_date(now + Duration::from_secs(seconds));
        let wait = |date: &str, retry_at: &str| {
            let headers = [(header::DATE, date), (header::RETRY_AFTER, retry_at)];
            let headers = headers.map(|(name, value)| (name, HeaderValue::from_str(value).expect("ASCII")));
            retry_after(&headers.into_iter().collect())
        };
        let day = 86_400;
        assert_eq!(wait(&at(day), &at(day + 7)), Some(Duration::from_secs(7)));
        assert_eq!(
            wait(&at(day), &at(7)),
            Some(Duration::ZERO),
            "it was over when it was sent"
        );
        assert_eq!(
            wait("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:40 1994"),
            Some(Duration::from_secs(3)),
            "the obsolete forms"
        );
        assert_eq!(wait(&at(day), "9"), Some(Duration::from_secs(9)));
        let wait = wait("today", &at(day)).expect("a date");
        assert!(
            wait > Duration::from_secs(day - 100),
            "without a date, by our clock"
        );
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
