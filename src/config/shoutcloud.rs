//! The upstream.

use std::time::Duration;

use super::form::duration;
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
}

impl Shoutcloud {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let shoutcloud = Self {
            url: reader.value(
                "SHOUTCLOUD_URL",
                "http://api.shoutcloud.io/V1/SHOUT",
                upstream_url(),
                "Where SHOUTCLOUD is called.",
            ),
            attempt_timeout: reader.value(
                "SHOUTCLOUD_ATTEMPT_TIMEOUT",
                "2s",
                duration("1ms", "10m"),
                "Time for one call, from connecting to the last byte of the answer.",
            ),
            deadline: reader.value(
                "SHOUTCLOUD_DEADLINE",
                "5s",
                duration("1ms", "10m"),
                "Time for all that is done upstream for one request; then 504.",
            ),
        };
        reader.contradiction(
            ["SHOUTCLOUD_ATTEMPT_TIMEOUT", "SHOUTCLOUD_DEADLINE"],
            shoutcloud.attempt_timeout > shoutcloud.deadline,
            "must not be longer than SHOUTCLOUD_DEADLINE, or no attempt ever times out",
        );
        shoutcloud
    }
}
