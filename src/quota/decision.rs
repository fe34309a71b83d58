//! The result of taking a request from a quota.

use std::time::Duration;

/// Whether a request is within the quota, and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// `None` if the request is within the quota, else the time until the bucket has a token again.
    pub retry_after: Option<Duration>,
    /// Number of requests that the principal may still send at once, as far as this replica knows.
    pub remaining: u32,
    /// Time until the bucket is full again, without further requests.
    pub reset_after: Duration,
}
