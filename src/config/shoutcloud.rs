//! The upstream.

use std::num::NonZeroU32;
use std::time::Duration;

use super::breaker::Breaker;
use super::form::{Share, count, duration, number, share};
use super::reader::Reader;
use super::url::{UpstreamUrl, upstream_url};

/// How SHOUTCLOUD is called.
#[derive(Debug, Clone)]
pub struct Shoutcloud {
    /// Where it is called.
    pub url: UpstreamUrl,
    /// For one attempt, its answer's body included.
    pub attempt_timeout: Duration,
    /// For everything that is done for one request.
    pub deadline: Duration,
    /// Attempts for one call, beyond the first.
    pub max_retries: u32,
    /// What a call adds to the budget for retries, of which a retry costs 1.
    pub retry_budget: Share,
    /// What the budget starts with, and the most it can hold.
    pub retry_reserve: u32,
    /// Calls in flight.
    pub max_concurrency: NonZeroU32,
    /// Calls that wait for one of those to end.
    pub max_queue: u32,
    /// When it is left alone.
    pub breaker: Breaker,
}

impl Shoutcloud {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.value(
            "SHOUTCLOUD_URL",
            "http://api.shoutcloud.io/V1/SHOUT",
            upstream_url(),
            "Where SHOUTCLOUD is called.",
        );
        let attempt_timeout = reader.value(
            "SHOUTCLOUD_ATTEMPT_TIMEOUT",
            "2s",
            duration("1ms", "10m"),
            "Time for one attempt, from connecting to the last byte of the answer.",
        );
        let shoutcloud = Self {
            url,
            attempt_timeout,
            deadline: reader.value(
                "SHOUTCLOUD_DEADLINE",
                "5s",
                duration("1ms", "10m"),
                "Time for all that is done upstream for one request; then 504.",
            ),
            max_retries: reader.value(
                "SHOUTCLOUD_MAX_RETRIES",
                "3",
                number(0, 100),
                "Attempts for one call, beyond the first.",
            ),
            retry_budget: reader.value(
                "SHOUTCLOUD_RETRY_BUDGET",
                "20%",
                share("0%", "100%"),
                "Retries that each call adds to the budget from which they are paid.",
            ),
            retry_reserve: reader.value(
                "SHOUTCLOUD_RETRY_RESERVE",
                "10",
                number(0, 1_000_000),
                "Retries that the budget starts with, and the most it can hold; 0 turns retries off.",
            ),
            max_concurrency: reader.value(
                "SHOUTCLOUD_MAX_CONCURRENCY",
                "256",
                count(1_000_000),
                "Calls in flight at once, their waits between attempts included.",
            ),
            max_queue: reader.value(
                "SHOUTCLOUD_MAX_QUEUE",
                "1024",
                number(0, 1_000_000),
                "Calls that wait for one in flight to end; more are refused with 503 overloaded.",
            ),
            breaker: Breaker::read(reader, attempt_timeout),
        };
        reader.contradiction(
            ["SHOUTCLOUD_ATTEMPT_TIMEOUT", "SHOUTCLOUD_DEADLINE"],
            shoutcloud.attempt_timeout > shoutcloud.deadline,
            "must not be longer than SHOUTCLOUD_DEADLINE, or no attempt ever times out",
        );
        shoutcloud
    }
}
