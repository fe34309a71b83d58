//! The shout cache: results by client and text, fresh for the TTL, then stale and served only instead of an error.

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use quick_cache::sync::{Cache as Entries, DefaultLifecycle, EntryAction, EntryResult};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::time::Instant;

use crate::config;

/// Bytes per entry besides its texts: a slot in the slab and in the table, both of which may be half empty after they
/// have grown, half a slot for a recently evicted key, and the headers and counts of three allocations.
const ENTRY_OVERHEAD: usize = 384;

/// Entry size for which the tables are allocated up front; entries may have any size.
const TYPICAL_ENTRY_BYTES: usize = 1 << 10;

/// A shard cannot use the capacity of another, so each holds several of the longest texts that are accepted by default
/// (64 KiB, up to 200 KiB with the shout).
const MIN_SHARD_BYTES: usize = 1 << 20;

/// More shards do not reduce contention: a lookup holds its shard's lock for less than a microsecond.
const MAX_SHARDS: usize = 64;

/// Includes the client, so that no client learns what another has sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client: Arc<str>,
    pub(super) text: Arc<str>,
}

/// Result of [`Cache::lookup`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Within the TTL.
    Fresh(Arc<str>),
    /// Past the TTL, but usable instead of an error.
    Stale(Arc<str>),
    Miss,
}

/// A cache bounded in bytes. New entries evict the least useful ones.
pub(super) struct Cache {
    entries: Entries<Key, Entry, Bytes>,
    ttl: Duration,
    stale_if_error: Duration,
    bytes: Gauge,
}

#[derive(Clone)]
struct Entry {
    shout: Arc<str>,
    stored_at: Instant,
    /// The age at that time: of an entry of the shared cache.
    age_then: Duration,
}

impl Entry {
    fn new(shout: &Arc<str>, age: Duration) -> Self {
        Self {
            shout: Arc::clone(shout),
            stored_at: Instant::now(),
            age_then: age,
        }
    }

    fn age(&self) -> Duration {
        self.stored_at.elapsed() + self.age_then
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Entry> for Bytes {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        (ENTRY_OVERHEAD + key.client.len() + key.text.len() + entry.shout.len()) as u64
    }
}

impl Cache {
    /// Returns `None` for a capacity of 0, which disables caching and coalescing.
    pub(super) fn new(config: &config::Cache, bytes: Gauge) -> Option<Self> {
        if config.capacity == 0 {
            return None;
        }
        let shards = (config.capacity / MIN_SHARD_BYTES).clamp(1, MAX_SHARDS);
        let options = OptionsBuilder::new()
            // Round down: the builder rounds up to a power of two, which would make shards smaller than the minimum.
            .shards(1 << shards.ilog2())
            .weight_capacity(config.capacity as u64)
            .estimated_items_capacity(config.capacity / TYPICAL_ENTRY_BYTES)
            .build()
            .expect("both capacities are set");
        let entries = Entries::with_options(
            options,
            Bytes,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        Some(Self {
            entries,
            ttl: config.ttl,
            stale_if_error: config.stale_if_error,
            bytes,
        })
    }

    /// Looks up `key`. Removes an entry that is past its stale time.
    pub(super) fn lookup(&self, key: &Key) -> Lookup {
        let Some(entry) = self.entries.get(key) else {
            return Lookup::Miss;
        };
        let age = entry.age();
        if age < self.ttl {
            Lookup::Fresh(entry.shout)
        } else if age < self.lifetime() {
            Lookup::Stale(entry.shout)
        } else {
            self.remove(key, &entry);
            Lookup::Miss
        }
    }

    /// Inserts `shout` and returns whether it was stored: one that exceeds the capacity of a shard is not.
    pub(super) fn insert(&self, key: &Key, shout: &Arc<str>) -> bool {
        if self.lifetime().is_zero() {
            return false;
        }
        self.entries
            .insert(key.clone(), Entry::new(shout, Duration::ZERO));
        self.update_gauge();
        self.entries.contains_key(key)
    }

    /// Inserts a `shout` that was cached elsewhere for the time `age`, unless a newer one is stored.
    pub(super) fn insert_aged(&self, key: &Key, shout: &Arc<str>, age: Duration) {
        if self.lifetime().is_zero() {
            return;
        }
        let entry = Entry::new(shout, age);
        let replace = |_: &Key, current: &mut Entry| {
            if entry.age() < current.age() {
                *current = entry.clone();
            }
            EntryAction::Retain(())
        };
        // Nothing else uses a guard, so that no other thread holds one for long.
        if let EntryResult::Vacant(guard) = self.entries.entry(key, None, replace) {
            // Fails if another request has inserted a result meanwhile, which is newer.
            _ = guard.insert(entry);
        }
        self.update_gauge();
    }

    /// Removes `entry`, but not one with which another request has replaced it since.
    fn remove(&self, key: &Key, entry: &Entry) {
        self.entries
            .remove_if(key, |current| current.stored_at == entry.stored_at);
        self.update_gauge();
    }

    fn update_gauge(&self) {
        self.bytes.set(self.entries.weight() as f64);
    }

    fn lifetime(&self) -> Duration {
        self.ttl.saturating_add(self.stale_if_error)
    }
}

#[cfg(test)]
mod tests;
