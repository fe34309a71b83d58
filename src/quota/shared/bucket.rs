//! The bucket in Valkey, as a replica sees it: its limits, requests to it, and its responses.

use std::time::Duration;

use tokio::time::Instant;

use crate::quota::decision::Decision;

/// All leases together are at most this fraction of a bucket.
pub(super) const LEASED_FRACTION: f64 = 0.1;

/// The size of a bucket and how fast it fills.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Time in which the bucket gains a token.
    pub(super) period: Duration,
    /// Tokens in a full bucket.
    pub(super) burst: u32,
}

impl Limits {
    /// Returns the share of each replica: the time in which it gains a token, and the most that it holds.
    pub(super) fn share(self, peers: Peers) -> (Duration, f64) {
        let burst = f64::from(self.burst) / f64::from(peers.replicas);
        (self.period * peers.replicas, burst.max(1.0))
    }

    /// Returns how much each replica may lease ahead of need.
    pub(super) fn part(self, peers: Peers) -> f64 {
        f64::from(self.burst) * LEASED_FRACTION / f64::from(peers.replicas)
    }

    /// Returns the decision that accepts a request, or with a `retry_after` rejects it.
    pub(super) fn decision(self, remaining: u32, retry_after: Option<Duration>) -> Decision {
        Decision {
            retry_after,
            remaining,
            reset_after: self.period * (self.burst - remaining.min(self.burst)),
        }
    }

    pub(super) fn rejected(self, wait: Duration) -> Decision {
        self.decision(0, Some(wait))
    }
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
#[derive(Debug, Clone, Copy, Default, PartialEq)]
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
