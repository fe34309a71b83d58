//! What one replica knows of one principal's quota: its lease, the bucket in Valkey as last seen, and the share that it
//! falls back to.
//!
//! Pure: time is an argument. docs/decisions/shared-quota.md has the algorithm and the proof of its bounds.

mod returns;

use std::time::Duration;

use tokio::time::Instant;

use super::bucket::{Ask, CallEnd, Grant, Level, Limits, Peers};
use super::demand::Demand;
use crate::quota::decision::Decision;

/// A lease covers the use of this time.
const HORIZON: Duration = Duration::from_millis(250);

/// A client of at least this many requests per second of a replica has a lease there.
const MIN_PER_SECOND: f64 = 1.0;

/// A lease that was not renewed for this long is void: the replica has lost Valkey meanwhile, and spends its share.
const LEASE_LIFETIME: Duration = Duration::from_secs(5);

/// All leases together are at most this fraction of a bucket.
const LEASED_FRACTION: f64 = 0.1;

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
    /// Tokens that were spent out of the share because a call took too long: the next ones pay for them.
    debt: u32,
    /// Since when it was last forgiven.
    debt_since: Instant,
    /// Tokens that the calls will bring to pay for the debt.
    expected_debt: u32,
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
            debt: 0,
            debt_since: now,
            expected_debt: 0,
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
            return Some(self.accepted(limits, now));
        }
        match self.empty_until {
            Some(until) if now < until => Some(rejected(limits, until - now)),
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
        let (period, burst) = share(limits, peers);
        let tokens = match self.share {
            Some(share) => share.grown(now, period, burst),
            None => {
                let bucket = self.bucket.grown(now, limits.period, limits.burst.into());
                ((bucket - f64::from(self.debt)) / f64::from(peers.replicas)).clamp(0.0, burst)
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
            self.debt = 0;
        } else if accepts {
            if self.debt == 0 {
                self.debt_since = now;
            }
            self.forgive_debt(limits, peers, now);
            self.debt += 1;
        }
        if accepts {
            decision(limits, left as u32, None)
        } else {
            rejected(limits, period.mul_f64(1.0 - left))
        }
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

    /// Forgives the replica's share of what a full bucket would have gained: it owes nothing for that.
    fn forgive_debt(&mut self, limits: Limits, peers: Peers, now: Instant) {
        let lacks = (f64::from(limits.burst) - self.bucket.tokens).max(0.0);
        let full_at = self.bucket.at + limits.period.mul_f64(lacks);
        let since = self.debt_since.max(full_at);
        let (period, _) = share(limits, peers);
        let forgiven = now.saturating_duration_since(since).div_duration_f64(period) as u32;
        if forgiven > 0 {
            self.debt_since = since + period * forgiven;
            self.debt = self.debt.saturating_sub(forgiven);
        }
    }

    /// Returns what the call that was started asks for: for those that wait by now, and ahead of need.
    pub(super) fn ask(&mut self, limits: Limits, peers: Peers, now: Instant) -> Ask {
        self.is_starting = false;
        self.forgive_debt(limits, peers, now);
        // Those that a call has brought tokens for wait until they continue.
        let need = self
            .waiting
            .saturating_sub(self.expected.saturating_add(self.leased));
        self.expected += need;
        let debt = self.debt.saturating_sub(self.expected_debt);
        self.expected_debt += debt;
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
        self.expected_debt -= ask.debt;
        self.asks_ahead &= ask.ahead == 0;
        let Some(grant) = grant else {
            return CallEnd::Failed;
        };
        self.server_time = Some((grant.server_time, sent));
        let Some(granted) = grant.granted else {
            return CallEnd::Failed;
        };
        self.was_down = false;
        let paid = self.debt.min(granted);
        self.debt -= paid;
        self.leased = self.leased.saturating_add(granted - paid);
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
        rejected(limits, wait.unwrap_or(limits.period))
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
        expected.min(part(limits, peers)) as u32
    }

    /// Returns the most that the bucket can hold when the call arrives.
    fn ceiling(&self, limits: Limits, peers: Peers, now: Instant) -> f64 {
        let burst = f64::from(limits.burst);
        match self.share.filter(|_| self.was_down) {
            // All replicas have spent their shares meanwhile; this one stands for all.
            Some(share) => {
                let (period, most) = self::share(limits, peers);
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

    fn accepted(&self, limits: Limits, now: Instant) -> Decision {
        let bucket = self.bucket.grown(now, limits.period, limits.burst.into());
        let remaining = self.leased.saturating_add(bucket as u32).min(limits.burst);
        decision(limits, remaining, None)
    }
}

/// Returns the share of each replica: the time in which it gains a token, and the most that it holds.
fn share(limits: Limits, peers: Peers) -> (Duration, f64) {
    let burst = f64::from(limits.burst) / f64::from(peers.replicas);
    (limits.period * peers.replicas, burst.max(1.0))
}

/// Returns how much each replica may lease ahead of need.
fn part(limits: Limits, peers: Peers) -> f64 {
    f64::from(limits.burst) * LEASED_FRACTION / f64::from(peers.replicas)
}

fn rejected(limits: Limits, wait: Duration) -> Decision {
    decision(limits, 0, Some(wait))
}

fn decision(limits: Limits, remaining: u32, retry_after: Option<Duration>) -> Decision {
    Decision {
        retry_after,
        remaining,
        reset_after: limits.period * (limits.burst - remaining.min(limits.burst)),
    }
}

#[cfg(test)]
mod tests;
