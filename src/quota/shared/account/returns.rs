//! Returns tokens of a lease to the bucket: what recent use does not justify, what cancelled requests leave behind, and all of it at
//! the end of the process.

use std::time::Duration;

use tokio::time::Instant;

use super::{Account, LEASE_LIFETIME, part};
use crate::quota::shared::bucket::{Ask, Limits, Peers};

/// How long a lease may exceed what recent use justifies before the rest is returned.
const IDLE_AFTER: Duration = Duration::from_secs(1);

impl Account {
    /// Takes out of the lease what recent use does not justify any more, to be returned; all of it if `all`.
    pub(in crate::quota::shared) fn surplus(
        &mut self,
        limits: Limits,
        peers: Peers,
        all: bool,
        now: Instant,
    ) -> Option<Ask> {
        if now >= self.lease_ends {
            self.leased = 0;
        }
        if all {
            return self.give_back(0, limits, peers, now);
        }
        if let Some(ask) = self.excess(limits, peers, now) {
            return Some(ask);
        }
        let keep = self.target(limits, peers, now);
        if self.calls > 0 || self.leased <= keep {
            self.surplus_since = None;
            return None;
        }
        let since = *self.surplus_since.get_or_insert(now);
        if now - since < IDLE_AFTER {
            return None;
        }
        self.surplus_since = None;
        self.give_back(keep, limits, peers, now)
    }

    /// Takes out of the lease what it may not hold, to be returned at once: tokens for requests that were cancelled.
    pub(in crate::quota::shared) fn excess(
        &mut self,
        limits: Limits,
        peers: Peers,
        now: Instant,
    ) -> Option<Ask> {
        let most = part(limits, peers) as u32 + self.waiting;
        self.give_back(most, limits, peers, now)
    }

    fn give_back(&mut self, keep: u32, limits: Limits, peers: Peers, now: Instant) -> Option<Ask> {
        let give = self.leased.saturating_sub(keep);
        if give == 0 {
            return None;
        }
        // They are not spent any more, whether or not the call succeeds.
        self.leased = keep;
        self.bucket.tokens += f64::from(give);
        self.calls += 1;
        Some(Ask {
            take: 0,
            need: 0,
            debt: 0,
            ahead: 0,
            give,
            ceiling: self.ceiling(limits, peers, now),
            deadline: self.deadline(peers, now),
        })
    }

    /// Returns whether nothing is lost if the account is dropped: the bucket is full again, and nothing is in flight.
    pub(in crate::quota::shared) fn is_idle(&self, limits: Limits, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.last_used);
        self.leased == 0
            && self.calls == 0
            && self.waiting == 0
            && idle >= (limits.period * limits.burst).max(2 * LEASE_LIFETIME)
    }
}
