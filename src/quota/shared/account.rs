//! What one replica knows of one principal's quota: its lease, the bucket in Valkey as last seen, and the share that it
//! falls back to.
//!
//! Pure: time is an argument. docs/decisions/shared-quota.md has the algorithm and the proof of its bounds.

use std::time::Duration;

use tokio::time::Instant;

use super::bucket::{Ask, CallEnd, Grant, LEASED_FRACTION, Level, Limits, Peers};
use super::debt::Debt;
use super::demand::Demand;
use crate::quota::decision::Decision;

/// A lease covers the use of this time.
const HORIZON: Duration = Duration::from_millis(250);

/// A client of at least this many requests per second of a replica has a lease there.
const MIN_PER_SECOND: f64 = 1.0;

/// A lease that was not renewed for this long is void: the replica has lost Valkey meanwhile, and spends its share.
const LEASE_LIFETIME: Duration = Duration::from_secs(5);

/// How long a lease may exceed what recent use justifies before the rest is returned.
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// Calls in flight for one principal. More than one, because requests that arrive during a call could otherwise wait for
/// two of them.
const MAX_CALLS: u32 = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Account {
    leased: u32,
    lease_ends: Instant,
    /// The bucket in Valkey: an upper bound, exact if no other replica has used it since.
    bucket: Level,
    /// The server's clock when the last call was sent, or shortly after, in microseconds.
    server_time: Option<(u64, Instant)>,
    /// While the bucket is known to be empty.
    empty_until: Option<Instant>,
    /// The replica's own share, while Valkey fails.
    share: Option<Level>,
    /// Whether Valkey was down since the last call that succeeded.
    was_down: bool,
    demand: Demand,
    last_used: Instant,
    /// Since when the lease is larger than recent use justifies.
    surplus_since: Option<Instant>,
    /// Requests that wait for a call.
    pub(super) waiting: u32,
    calls: u32,
    /// Whether one of the calls has not asked yet: it will ask for all that wait then.
    is_starting: bool,
    /// Whether one of the calls asks for tokens ahead of need.
    asks_ahead: bool,
    /// Tokens that the calls will bring for those that wait.
    expected: u32,
    debt: Debt,
}

impl Account {
    /// Creates the account of a principal whose bucket is full as far as known.
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            leased: 0,
            lease_ends: now,
            bucket: Level {
                tokens: limits.burst.into(),
                at: now,
            },
            server_time: None,
            empty_until: None,
            share: None,
            was_down: false,
            demand: Demand::new(now),
            last_used: now,
            surplus_since: None,
            waiting: 0,
            calls: 0,
            is_starting: false,
            asks_ahead: false,
            expected: 0,
            debt: Debt::new(now),
        }
    }

    /// Counts a request.
    pub(super) fn count(&mut self, now: Instant) {
        self.last_used = now;
        self.demand.count(now);
    }

    /// Decides on a request without a call, if possible: it spends a token of the lease, or the bucket is known to be
    /// empty.
    pub(super) fn spend(&mut self, limits: Limits, now: Instant) -> Option<Decision> {
        if now >= self.lease_ends {
            self.leased = 0;
        }
        if self.leased > 0 {
            self.leased -= 1;
            let bucket = self.bucket.grown(now, limits.period, limits.burst.into());
            let remaining = self.leased.saturating_add(bucket as u32).min(limits.burst);
            return Some(limits.decision(remaining, None));
        }
        match self.empty_until {
            Some(until) if now < until => Some(limits.rejected(until - now)),
            _ => None,
        }
    }

    /// Decides on a request by the replica's own share of the quota. `is_up`: whether only the request's call failed.
    pub(super) fn spend_share(
        &mut self,
        limits: Limits,
        peers: Peers,
        is_up: bool,
        now: Instant,
    ) -> Decision {
        let (period, burst) = limits.share(peers);
        let tokens = match self.share {
            Some(share) => share.grown(now, period, burst),
            None => {
                let bucket = self.bucket.grown(now, limits.period, limits.burst.into());
                ((bucket - f64::from(self.debt.tokens)) / f64::from(peers.replicas)).clamp(0.0, burst)
            }
        };
        let accepts = tokens >= 1.0;
        let left = if accepts { tokens - 1.0 } else { tokens };
        self.share = Some(Level {
            tokens: left,
            at: now,
        });
        if !is_up {
            self.was_down = true;
            self.debt.tokens = 0;
        } else if accepts {
            self.debt.add(self.bucket, limits, peers, now);
        }
        let wait = (!accepts).then(|| period.mul_f64(1.0 - left));
        limits.decision(left as u32, wait)
    }

    /// Returns whether to lease the next part now, ahead of need.
    pub(super) fn needs_lease(&mut self, limits: Limits, peers: Peers, now: Instant) -> bool {
        if self.calls > 0 || self.empty_until.is_some_and(|until| now < until) {
            return false;
        }
        let target = self.target(limits, peers, now);
        target > 0 && self.leased <= target / 2
    }

    /// Returns whether to start a call for those that wait and that no other call asks for.
    pub(super) fn needs_call(&self) -> bool {
        !self.is_starting && self.waiting > self.expected && self.calls < MAX_CALLS
    }

    /// Returns whether calls in flight bring tokens for more requests than those that wait.
    pub(super) fn expects_more(&self) -> bool {
        self.is_starting || self.expected > self.waiting
    }

    /// Starts a call, which asks later.
    pub(super) fn start_call(&mut self) {
        self.calls += 1;
        self.is_starting = true;
    }

    /// Returns what the call that was started asks for: for those that wait by now, and ahead of need.
    pub(super) fn ask(&mut self, limits: Limits, peers: Peers, now: Instant) -> Ask {
        self.is_starting = false;
        self.debt.forgive(self.bucket, limits, peers, now);
        // Those that a call has brought tokens for wait until they continue.
        let need = self
            .waiting
            .saturating_sub(self.expected.saturating_add(self.leased));
        self.expected += need;
        let debt = self.debt.ask();
        let ahead = if self.asks_ahead {
            0
        } else {
            self.target(limits, peers, now).saturating_sub(self.leased)
        };
        self.asks_ahead |= ahead > 0;
        Ask {
            take: need.saturating_add(ahead).saturating_add(debt),
            need,
            debt,
            ahead,
            give: 0,
            ceiling: self.ceiling(limits, peers, now),
            deadline: self.deadline(peers, now),
        }
    }

    /// Ends a call that was sent at `sent`. `grant` is `None` if it failed.
    pub(super) fn complete(
        &mut self,
        limits: Limits,
        ask: Ask,
        sent: Instant,
        grant: Option<Grant>,
    ) -> CallEnd {
        self.calls -= 1;
        self.expected -= ask.need;
        self.debt.call_ended(ask.debt);
        self.asks_ahead &= ask.ahead == 0;
        let Some(grant) = grant else {
            return CallEnd::Failed;
        };
        self.server_time = Some((grant.server_time, sent));
        let Some(granted) = grant.granted else {
            return CallEnd::Failed;
        };
        self.was_down = false;
        self.leased = self.leased.saturating_add(self.debt.pay(granted));
        self.share = None;
        if ask.ahead > 0 {
            self.surplus_since = None;
        }
        // Not by what is left after paying: the debt may have grown since.
        let end = if granted < ask.need.saturating_add(ask.debt) {
            CallEnd::Empty
        } else {
            CallEnd::Granted
        };
        // Calls may end in another order than they were sent.
        if sent + LEASE_LIFETIME < self.lease_ends {
            return end;
        }
        // Times count from when the call was sent: the bucket may have a token earlier, but never later.
        self.lease_ends = sent + LEASE_LIFETIME;
        self.bucket = Level {
            tokens: grant.level,
            at: sent,
        };
        self.empty_until = (granted < ask.take && grant.level < 1.0)
            .then(|| sent + limits.period.mul_f64(1.0 - grant.level));
        end
    }

    /// Rejects a request that a call brought no token for.
    pub(super) fn reject(&self, limits: Limits, now: Instant) -> Decision {
        let wait = self.empty_until.map(|until| until.saturating_duration_since(now));
        limits.rejected(wait.unwrap_or(limits.period))
    }

    /// Takes out of the lease what recent use does not justify any more, to be returned; all of it if `all`.
    pub(super) fn surplus(&mut self, limits: Limits, peers: Peers, all: bool, now: Instant) -> Option<Ask> {
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
    pub(super) fn excess(&mut self, limits: Limits, peers: Peers, now: Instant) -> Option<Ask> {
        let most = limits.part(peers) as u32 + self.waiting;
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
            give,
            ceiling: self.ceiling(limits, peers, now),
            deadline: self.deadline(peers, now),
            ..Ask::default()
        })
    }

    /// Returns whether nothing is lost if the account is dropped: the bucket is full again, and nothing is in flight.
    pub(super) fn is_idle(&self, limits: Limits, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.last_used);
        self.leased == 0
            && self.calls == 0
            && self.waiting == 0
            && idle >= (limits.period * limits.burst).max(2 * LEASE_LIFETIME)
    }

    /// Returns the size of a lease: the use of the next moment, within this replica's part of what may be leased.
    fn target(&mut self, limits: Limits, peers: Peers, now: Instant) -> u32 {
        if !peers.may_lease_ahead {
            return 0;
        }
        let mut expected = self.demand.within(HORIZON, now);
        // So that a client of a few requests per second need not wait for each.
        if expected >= MIN_PER_SECOND * HORIZON.as_secs_f64() {
            expected = expected.ceil();
        }
        expected.min(limits.part(peers)) as u32
    }

    /// Returns the most that the bucket can hold when the call arrives.
    fn ceiling(&self, limits: Limits, peers: Peers, now: Instant) -> f64 {
        let burst = f64::from(limits.burst);
        match self.share.filter(|_| self.was_down) {
            // All replicas have spent their shares meanwhile; this one stands for all.
            Some(share) => {
                let (period, most) = limits.share(peers);
                (share.grown(now, period, most) * f64::from(peers.replicas)).min(burst)
            }
            // Others may have returned leases, and the call takes a moment.
            None => {
                let bucket = self
                    .bucket
                    .grown(now + peers.timeout, limits.period, f64::INFINITY);
                (bucket + burst * LEASED_FRACTION).min(burst)
            }
        }
    }

    /// Returns until when the server may execute a call that is sent now, by its own clock. Never too early: its clock was
    /// read after the last call was sent.
    fn deadline(&self, peers: Peers, now: Instant) -> u64 {
        self.server_time.map_or(0, |(time, at)| {
            let later = now.saturating_duration_since(at) + peers.timeout;
            time.saturating_add(later.as_micros() as u64)
        })
    }
}

#[cfg(test)]
mod tests;
