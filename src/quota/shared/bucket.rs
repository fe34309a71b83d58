//! The bucket in Valkey, as a replica sees it: its limits, requests to it, and its responses.

use std::time::Duration;

use tokio::time::Instant;

/// The size of a bucket and how fast it fills.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Time in which the bucket gains a token.
    pub(super) period: Duration,
    /// Tokens in a full bucket.
    pub(super) burst: u32,
}

/// The state of Valkey that decisions depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peers {
    /// Replicas that share the quota.
    pub(super) replicas: u32,
    /// Whether they all count this replica, so that their leases leave capacity for those of this one.
    pub(super) may_lease_ahead: bool,
    /// The time limit of a call.
    pub(super) timeout: Duration,
}

/// What to ask of the bucket in Valkey.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ask {
    /// Tokens wanted.
    pub(super) take: u32,
    /// How many of them requests wait for.
    pub(super) need: u32,
    /// How many of them pay the debt.
    pub(super) debt: u32,
    /// How many of them are requested ahead of need.
    pub(super) ahead: u32,
    /// Tokens returned.
    pub(super) give: u32,
    /// The most that the bucket can hold, as far as this replica knows: it protects against a burst after the server
    /// lost its data, or its clock jumped.
    pub(super) ceiling: f64,
    /// Until when the caller waits, in microseconds of the server's clock: later, the call changes nothing. 0 if that clock
    /// is not known.
    pub(super) deadline: u64,
}

/// How a call ended, for those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallEnd {
    /// With the tokens that they need.
    Granted,
    /// The bucket has too few: those that get none are over the quota.
    Empty,
    Failed,
}

/// The response of the bucket in Valkey.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grant {
    /// Tokens that now belong to the replica. `None` if the call was executed after its deadline.
    pub(super) granted: Option<u32>,
    /// Tokens left in the bucket.
    pub(super) level: f64,
    /// When the call was executed, in microseconds of the server's clock.
    pub(super) server_time: u64,
}

/// Tokens at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) tokens: f64,
    pub(super) at: Instant,
}

impl Level {
    /// Returns the tokens after growing by one per `period` up to `most`.
    pub(super) fn grown(self, now: Instant, period: Duration, most: f64) -> f64 {
        let gained = now.saturating_duration_since(self.at).div_duration_f64(period);
        (self.tokens + gained).min(most)
    }
}
