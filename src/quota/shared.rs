//! Token buckets in Valkey, of which each replica leases small parts ahead of need.
//!
//! A request spends a token of the lease, without waiting. Only if there is none does it wait for a call, at most
//! `VALKEY_TIMEOUT`: the first request of a client, for example. Requests that wait together share the call. When it
//! fails, and while Valkey is down, the replica counts on its own and enforces its share: the limit divided by the
//! replicas.

mod account;
mod bucket;
mod debt;
mod demand;
#[cfg(test)]
mod simulation;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use dashmap::DashMap;
use opentelemetry::Context;
use opentelemetry::context::FutureExt as _;
use quick_cache::DefaultHashBuilder;
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, interval, timeout, timeout_at};

use self::account::Account;
use self::bucket::{Ask, CallEnd, Grant, Limits};
use self::store::{Store, ValkeyStore};
use super::decision::Decision;
use crate::auth::Principal;
use crate::config::RateLimit;
use crate::valkey::{Valkey, hex};

/// How often leases that are too large are returned and idle accounts evicted.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Calls that return leases at the same time. Far fewer than the commands that may be in flight, which requests need.
const MAX_RETURNS: usize = 64;

/// Time limit for returning all leases before the process exits.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);

/// The quotas of all principals.
pub(super) struct SharedQuotas(Arc<Inner>);

struct Inner {
    store: Box<dyn Store>,
    limits: Limits,
    accounts: DashMap<Principal, Arc<Entry>, DefaultHashBuilder>,
}

struct Entry {
    key: String,
    account: Mutex<Account>,
    /// Notifies those that wait of the end of each call.
    calls: watch::Sender<CallEnd>,
}

impl Entry {
    /// Locks the account. Ignores poisoning: nothing that panics can leave it half changed.
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedQuotas {
    pub(super) fn new(config: &RateLimit, valkey: Valkey) -> Self {
        Self::with_store(config, Box::new(ValkeyStore::new(valkey)))
    }

    fn with_store(config: &RateLimit, store: Box<dyn Store>) -> Self {
        Self(Arc::new(Inner {
            store,
            limits: Limits {
                period: config.replenish_one,
                burst: config.burst.get(),
            },
            accounts: DashMap::default(),
        }))
    }

    /// Takes a request from the lease of `principal`, without waiting. Returns `None` if there is none.
    pub(super) fn take_leased(&self, principal: &Principal) -> Option<Decision> {
        let Inner {
            store,
            limits,
            accounts,
        } = &*self.0;
        let entry = accounts.get(principal)?;
        let now = Instant::now();
        let mut account = entry.account();
        let decision = account.spend(*limits, now)?;
        account.count(now);
        if account.needs_lease(*limits, store.peers(), now) && store.is_up() {
            // The call belongs to no request.
            let _no_trace = Context::new().attach();
            self.start_call(&entry, &mut account);
        }
        Some(decision)
    }

    /// Takes a request from the quota of `principal`. Waits for a call if there is no lease.
    pub(super) async fn take(&self, principal: &Principal) -> Decision {
        let Inner { store, limits, .. } = &*self.0;
        let entry = self.entry(principal);
        let started = Instant::now();
        let deadline = started + store.peers().timeout;
        entry.account().count(started);
        let mut end = CallEnd::Granted;
        loop {
            let (mut calls, _waiting) = {
                let mut account = entry.account();
                let now = Instant::now();
                if let Some(decision) = account.spend(*limits, now) {
                    return decision;
                }
                // The call that has ended may be another than the one that brings this request a token.
                let is_decided = end != CallEnd::Granted && !account.expects_more();
                if is_decided && end == CallEnd::Empty {
                    return account.reject(*limits, now);
                }
                if is_decided || now >= deadline || !store.is_up() {
                    return account.spend_share(*limits, store.peers(), store.is_up(), now);
                }
                account.waiting += 1;
                // Subscribed before the call starts, so that its end is not missed.
                let subscription = (entry.calls.subscribe(), Waiting(&entry));
                if account.needs_call() {
                    self.start_call(&entry, &mut account);
                }
                subscription
            };
            end = match timeout_at(deadline, calls.changed()).await {
                Ok(Ok(())) => *calls.borrow(),
                Ok(Err(_)) | Err(_) => CallEnd::Failed,
            };
        }
    }

    fn entry(&self, principal: &Principal) -> Arc<Entry> {
        if let Some(entry) = self.0.accounts.get(principal) {
            return Arc::clone(&entry);
        }
        let new = || Entry {
            key: key(principal),
            account: Mutex::new(Account::new(self.0.limits, Instant::now())),
            calls: watch::Sender::new(CallEnd::Granted),
        };
        let entry = self.0.accounts.entry(principal.clone());
        Arc::clone(&entry.or_insert_with(|| Arc::new(new())))
    }

    fn start_call(&self, entry: &Arc<Entry>, account: &mut Account) {
        account.start_call();
        let (quotas, entry) = (Arc::clone(&self.0), Arc::clone(entry));
        let lease = async move {
            // Requests that arrive together share the call.
            yield_now().await;
            let now = Instant::now();
            let ask = entry.account().ask(quotas.limits, quotas.store.peers(), now);
            call(quotas, entry, ask, now).await;
        };
        tokio::spawn(lease.with_current_context());
    }

    /// Returns leases that are too large, and evicts idle accounts, periodically until dropped.
    pub(super) async fn upkeep(&self) {
        let mut tick = interval(UPKEEP_INTERVAL);
        loop {
            tick.tick().await;
            self.return_leases(false).await;
            let now = Instant::now();
            let limits = self.0.limits;
            // A request that is about to wait holds the entry too.
            let is_idle =
                |entry: &Arc<Entry>| Arc::strong_count(entry) == 1 && entry.account().is_idle(limits, now);
            self.0.accounts.retain(|_, entry| !is_idle(entry));
        }
    }

    /// Returns all leases, within a time limit, and leaves the replicas that share the quotas.
    pub(super) async fn release(&self) {
        // Together, because the others believe a lower count only after a while.
        let release = async { tokio::join!(self.return_leases(true), self.0.store.leave()) };
        _ = timeout(RELEASE_TIMEOUT, release).await;
    }

    /// Returns what accounts do not need, or everything.
    async fn return_leases(&self, all: bool) {
        let Inner {
            store,
            limits,
            accounts,
        } = &*self.0;
        // Collected, because the map is locked while it is iterated over.
        let entries: Vec<_> = accounts.iter().map(|entry| Arc::clone(&entry)).collect();
        let mut returns = JoinSet::new();
        for entry in entries {
            if returns.len() == MAX_RETURNS {
                returns.join_next().await;
            }
            let now = Instant::now();
            let ask = entry.account().surplus(*limits, store.peers(), all, now);
            if let Some(ask) = ask {
                returns.spawn(call(Arc::clone(&self.0), entry, ask, now));
            }
        }
        while returns.join_next().await.is_some() {}
    }
}

/// Executes a call and ends it, even if it is dropped or panics. Returns what it has brought for requests that were
/// cancelled meanwhile.
async fn call(quotas: Arc<Inner>, entry: Arc<Entry>, mut ask: Ask, mut sent: Instant) {
    let Inner { store, limits, .. } = &*quotas;
    loop {
        let mut call = Call {
            limits: *limits,
            entry: &entry,
            ask,
            sent,
            grant: None,
        };
        call.grant = store.update(&entry.key, *limits, ask).await;
        drop(call);
        sent = Instant::now();
        let Some(excess) = entry.account().excess(*limits, store.peers(), sent) else {
            return;
        };
        ask = excess;
    }
}

struct Call<'a> {
    limits: Limits,
    entry: &'a Entry,
    ask: Ask,
    sent: Instant,
    grant: Option<Grant>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut account = self.entry.account();
        let end = account.complete(self.limits, self.ask, self.sent, self.grant);
        // Under the lock, so that ends are published in their order, before a request can subscribe to the next.
        self.entry.calls.send_replace(end);
    }
}

/// A request that waits for a call. Also counted down if it is cancelled.
struct Waiting<'a>(&'a Entry);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.account().waiting -= 1;
    }
}

/// Returns the key of a principal's bucket: a digest, because names of users are not for the store. The braces are the
/// hash tag of a cluster.
fn key(principal: &Principal) -> String {
    let mut digest = Digest::new(&SHA256);
    for part in [Some(&*principal.client_id), principal.subject.as_deref()] {
        // The length of each part, so that no two principals have the same text.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        digest.update(&length.to_be_bytes());
        digest.update(part.unwrap_or_default().as_bytes());
    }
    format!("shoutback:quota:{{{}}}", hex(digest.finish().as_ref()))
}
