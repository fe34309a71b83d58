//! What one replica owes the bucket in Valkey: tokens that it has spent out of its share because calls took too long.

use tokio::time::Instant;

use super::bucket::{Level, Limits, Peers};

/// See the module.
#[derive(Debug)]
pub(super) struct Debt {
    pub(super) tokens: u32,
    /// Since when it was last forgiven.
    since: Instant,
    /// Tokens that calls in flight will bring to pay for it.
    expected: u32,
}

impl Debt {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tokens: 0,
            since: now,
            expected: 0,
        }
    }

    /// Adds a token.
    pub(super) fn add(&mut self, bucket: Level, limits: Limits, peers: Peers, now: Instant) {
        if self.tokens == 0 {
            self.since = now;
        }
        self.forgive(bucket, limits, peers, now);
        self.tokens += 1;
    }

    /// Forgives the replica's share of what a full bucket would have gained: it owes nothing for that.
    pub(super) fn forgive(&mut self, bucket: Level, limits: Limits, peers: Peers, now: Instant) {
        let lacks = (f64::from(limits.burst) - bucket.tokens).max(0.0);
        let full_at = bucket.at + limits.period.mul_f64(lacks);
        let since = self.since.max(full_at);
        let (period, _) = limits.share(peers);
        let forgiven = now.saturating_duration_since(since).div_duration_f64(period) as u32;
        if forgiven > 0 {
            self.since = since + period * forgiven;
            self.tokens = self.tokens.saturating_sub(forgiven);
        }
    }

    /// Returns what no call asks for yet, for a call that is about to.
    pub(super) fn ask(&mut self) -> u32 {
        let tokens = self.tokens.saturating_sub(self.expected);
        self.expected += tokens;
        tokens
    }

    /// Ends a call that asked for `asked` tokens.
    pub(super) fn call_ended(&mut self, asked: u32) {
        self.expected -= asked;
    }

    /// Pays out of `granted` tokens, and returns the rest.
    pub(super) fn pay(&mut self, granted: u32) -> u32 {
        let paid = self.tokens.min(granted);
        self.tokens -= paid;
        granted - paid
    }
}
