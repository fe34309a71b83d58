//! Calls to the upstream.

use std::num::NonZeroU32;
use std::time::Duration;

use super::breaker::Breaker;
use super::reader::Reader;
use super::url::{UpstreamUrl, upstream_url};
use super::value_parser::{Ratio, count, duration, number, ratio};

/// Settings of calls to SHOUTCLOUD.
#[derive(Debug, Clone)]
pub struct Shoutcloud {
    /// The URL to call.
    pub url: UpstreamUrl,
    /// Time limit to open a connection, shared by all addresses of the host.
    pub connect_timeout: Duration,
    /// Timeout of one attempt, including reading the response body.
    pub attempt_timeout: Duration,
    /// Deadline for all attempts and waits on behalf of one request.
    pub deadline: Duration,
    /// Maximum retries per call.
    pub max_retries: u32,
    /// What each call adds to the retry budget; a retry costs 1.
    pub retry_budget: Ratio,
    /// Initial balance and capacity of the retry budget.
    pub retry_reserve: u32,
    /// Maximum number of calls in flight.
    pub max_concurrency: NonZeroU32,
    /// Maximum number of calls waiting for a permit.
    pub max_queue: u32,
    /// The circuit breaker.
    pub breaker: Breaker,
}

impl Shoutcloud {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.value(
            "SHOUTCLOUD_URL",
            "http://api.shoutcloud.io/V1/SHOUT",
            upstream_url(),
            "URL of SHOUTCLOUD.",
        );
        let connect_timeout = reader.value(
            "SHOUTCLOUD_CONNECT_TIMEOUT",
            "1s",
            duration("1ms", "10m"),
            "Time limit to open a connection, shared by all addresses of the host; at most SHOUTCLOUD_ATTEMPT_TIMEOUT takes effect.",
        );
        let attempt_timeout = reader.value(
            "SHOUTCLOUD_ATTEMPT_TIMEOUT",
            "2s",
            duration("1ms", "10m"),
            "Timeout of one attempt, from connecting to the last byte of the response.",
        );
        let shoutcloud = Self {
            url,
            connect_timeout: connect_timeout.min(attempt_timeout),
            attempt_timeout,
            deadline: reader.value(
                "SHOUTCLOUD_DEADLINE",
                "5s",
                duration("1ms", "10m"),
                "Deadline for all attempts and waits on behalf of one request; the response is then 504.",
            ),
            max_retries: reader.value(
                "SHOUTCLOUD_MAX_RETRIES",
                "3",
                number(0, 100),
                "Maximum retries per call.",
            ),
            retry_budget: reader.value(
                "SHOUTCLOUD_RETRY_BUDGET",
                "20%",
                ratio("0%", "100%"),
                "Retries that each call adds to the retry budget, as a fraction of one.",
            ),
            retry_reserve: reader.value(
                "SHOUTCLOUD_RETRY_RESERVE",
                "10",
                number(0, 1_000_000),
                "Initial balance and capacity of the retry budget, in retries; 0 disables retries.",
            ),
            max_concurrency: reader.value(
                "SHOUTCLOUD_MAX_CONCURRENCY",
                "256",
                count(1_000_000),
                "Maximum number of concurrent calls, including their waits between attempts. Each may wait for a name look-up in one of 512 threads: keep it below that.",
            ),
            max_queue: reader.value(
                "SHOUTCLOUD_MAX_QUEUE",
                "1024",
                number(0, 1_000_000),
                "Maximum number of calls waiting for one in flight to end; further ones are rejected with 503 overloaded.",
            ),
            breaker: Breaker::read(reader, attempt_timeout),
        };
        reader.conflict(
            ["SHOUTCLOUD_ATTEMPT_TIMEOUT", "SHOUTCLOUD_DEADLINE"],
            shoutcloud.attempt_timeout > shoutcloud.deadline,
            "must not be longer than SHOUTCLOUD_DEADLINE, or no attempt ever times out",
        );
        shoutcloud
    }
}
