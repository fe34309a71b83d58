//! Answers that are kept: fresh for a time, then better than an error for another, each for the client that asked.

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use quick_cache::sync::{Cache as Entries, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::time::Instant;

use crate::config;

/// What an entry takes besides its texts: a slot in the slab and the table, both of which may be half empty after they
/// have grown, half a slot for a key that was evicted lately, and three allocations' headers and counts.
const OVERHEAD: usize = 384;

/// What the store is sized for, beforehand; entries may be of any size.
const USUAL_ENTRY: usize = 1 << 10;

/// Every shard has its part of the capacity to itself, so a shard takes several of the longest texts there are by default
/// (64 KiB, which is up to 200 KiB with their shout).
const SMALLEST_SHARD: usize = 1 << 20;

/// More shards than this save no waiting: a look-up holds its shard's lock for less than a microsecond.
const MOST_SHARDS: usize = 64;

/// Whose text: no client learns what another has asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client: Arc<str>,
    pub(super) text: Arc<str>,
}

/// What is known of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A shout that is as good as a new one.
    Fresh(Arc<str>),
    /// A shout that is better than an error.
    Stale(Arc<str>),
    Nothing,
}

/// Bounded by the bytes it takes; the least useful entries make room for new ones.
pub(super) struct Cache {
    entries: Entries<Key, Entry, Bytes>,
    ttl: Duration,
    stale_if_error: Duration,
    bytes: Gauge,
}

#[derive(Clone)]
struct Entry {
    shout: Arc<str>,
    since: Instant,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Entry> for Bytes {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        (OVERHEAD + key.client.len() + key.text.len() + entry.shout.len()) as u64
    }
}

impl Cache {
    /// `None` if nothing is to be kept or shared.
    pub(super) fn new(config: &config::Cache, bytes: Gauge) -> Option<Self> {
        if config.capacity == 0 {
            return None;
        }
        let shards = (config.capacity / SMALLEST_SHARD).clamp(1, MOST_SHARDS);
        let options = OptionsBuilder::new()
            // The builder rounds up to a power of two, and shards would be smaller than the smallest.
            .shards(1 << shards.ilog2())
            .weight_capacity(config.capacity as u64)
            .estimated_items_capacity(config.capacity / USUAL_ENTRY)
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

    /// What is kept under `key`. An entry that is of no use any more is dropped.
    pub(super) fn find(&self, key: &Key) -> Found {
        let Some(entry) = self.entries.get(key) else {
            return Found::Nothing;
        };
        let age = entry.since.elapsed();
        if age < self.ttl {
            Found::Fresh(entry.shout)
        } else if age < self.lifetime() {
            Found::Stale(entry.shout)
        } else {
            // Another request may have put a new one in its place since.
            self.entries.remove_if(key, |met| met.since == entry.since);
            self.tell();
            Found::Nothing
        }
    }

    /// Keeps `shout` under `key`. Says whether it is there: one that is too long for the capacity is not.
    pub(super) fn store(&self, key: &Key, shout: &Arc<str>) -> bool {
        if self.lifetime().is_zero() {
            return false;
        }
        let entry = Entry {
            shout: Arc::clone(shout),
            since: Instant::now(),
        };
        self.entries.insert(key.clone(), entry);
        self.tell();
        self.entries.contains_key(key)
    }

    fn tell(&self) {
        self.bytes.set(self.entries.weight() as f64);
    }

    fn lifetime(&self) -> Duration {
        self.ttl.saturating_add(self.stale_if_error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use metrics::Gauge;
    use tokio::time::{Instant, advance};

    use super::{Cache, Found, Key, OVERHEAD, SMALLEST_SHARD};
    use crate::config;

    const MILLISECOND: Duration = Duration::from_millis(1);
    const TTL: Duration = Duration::from_secs(3600);
    const STALE: Duration = Duration::from_secs(86_400);

    fn cache_with(capacity: usize, ttl: Duration, stale_if_error: Duration) -> Cache {
        let config = config::Cache {
            capacity,
            ttl,
            stale_if_error,
        };
        Cache::new(&config, Gauge::noop()).expect("a capacity")
    }

    fn cache_of(capacity: usize) -> Cache {
        cache_with(capacity, TTL, STALE)
    }

    fn key(client: &str, text: &str) -> Key {
        Key {
            client: client.into(),
            text: text.into(),
        }
    }

    fn fresh(shout: &str) -> Found {
        Found::Fresh(shout.into())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_fresh_then_stale_then_gone() {
        let cache = cache_of(1 << 20);
        let key = key("ada", "hi");
        assert_eq!(cache.find(&key), Found::Nothing);
        assert!(cache.store(&key, &"IH".into()));
        for (wait, found) in [
            (Duration::ZERO, fresh("IH")),
            (TTL - MILLISECOND, fresh("IH")),
            (MILLISECOND, Found::Stale("IH".into())),
            (STALE - MILLISECOND, Found::Stale("IH".into())),
            (MILLISECOND, Found::Nothing),
        ] {
            advance(wait).await;
            assert_eq!(cache.find(&key), found, "after another {wait:?}");
        }
        assert_eq!(cache.entries.len(), 0, "it is dropped when it is met");
        assert!(cache.store(&key, &"IH".into()));
        assert_eq!(cache.find(&key), fresh("IH"), "it lives again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_answer_begins_a_new_life() {
        let cache = cache_of(1 << 20);
        let key = key("ada", "hi");
        assert!(cache.store(&key, &"IH".into()));
        advance(TTL - MILLISECOND).await;
        assert!(cache.store(&key, &"Ih".into()));
        advance(TTL - MILLISECOND).await;
        assert_eq!(cache.find(&key), fresh("Ih"));
        assert_eq!(cache.entries.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn times_of_zero() {
        let key = key("ada", "hi");
        let never_fresh = cache_with(1 << 20, Duration::ZERO, STALE);
        assert!(never_fresh.store(&key, &"IH".into()));
        assert_eq!(never_fresh.find(&key), Found::Stale("IH".into()));
        let never_stale = cache_with(1 << 20, TTL, Duration::ZERO);
        assert!(never_stale.store(&key, &"IH".into()));
        advance(TTL - MILLISECOND).await;
        assert_eq!(never_stale.find(&key), fresh("IH"));
        advance(MILLISECOND).await;
        assert_eq!(never_stale.find(&key), Found::Nothing);
        let never = cache_with(1 << 20, Duration::ZERO, Duration::ZERO);
        assert!(!never.store(&key, &"IH".into()), "nobody could ever use it");
        assert_eq!(never.entries.len(), 0);
    }

    #[test]
    fn keys_differ_in_client_and_in_text() {
        let cache = cache_of(1 << 20);
        assert!(cache.store(&key("ada", "hi"), &"IH".into()));
        assert_eq!(cache.find(&key("ada", "hi")), fresh("IH"));
        for other in [
            key("bob", "hi"),
            key("ada", "Hi"),
            key("adah", "i"),
            key("", "adahi"),
        ] {
            assert_eq!(cache.find(&other), Found::Nothing, "{other:?}");
        }
    }

    #[test]
    fn a_capacity_of_nothing_is_no_cache() {
        let config = config::Cache {
            capacity: 0,
            ttl: TTL,
            stale_if_error: STALE,
        };
        assert!(Cache::new(&config, Gauge::noop()).is_none());
    }

    #[test]
    fn client_text_and_shout_weigh_as_much_as_they_are_long() {
        let cache = cache_of(1 << 20);
        assert!(cache.store(&key("ada", "12345"), &"1234567".into()));
        assert_eq!(cache.entries.weight(), (OVERHEAD + 3 + 5 + 7) as u64);
    }

    #[test]
    fn what_is_said_to_be_stored_can_be_found_whatever_the_capacity() {
        for capacity in [1, 100, 1_000, 10_000, 100_000, 1 << 20, 3 << 20, 32 << 20] {
            let cache = cache_of(capacity);
            assert!(cache.entries.capacity() >= capacity as u64, "{capacity}");
            for length in [1, 500, 5_000, 50_000, 500_000, 5_000_000] {
                let text = "a".repeat(length);
                let key = key("ada", &text);
                let is_stored = cache.store(&key, &text.to_uppercase().into());
                assert_eq!(
                    cache.find(&key) != Found::Nothing,
                    is_stored,
                    "{length} in {capacity}"
                );
                assert!(
                    cache.entries.weight() <= cache.entries.capacity(),
                    "{length} in {capacity}"
                );
                let takes = OVERHEAD + 3 + 2 * length;
                if takes > capacity {
                    assert!(!is_stored, "{length} in {capacity}");
                }
                // An entry may take nearly the whole of a shard.
                if takes < capacity.min(SMALLEST_SHARD) * 9 / 10 {
                    assert!(is_stored, "{length} in {capacity}");
                }
            }
        }
    }

    #[test]
    fn a_small_cache_takes_the_longest_texts_that_there_are_by_default() {
        let cache = cache_of(1 << 20);
        // Two bytes in capitals are three.
        let text = "ɐ".repeat(32 << 10);
        let key = key("ada", &text);
        assert!(cache.store(&key, &text.to_uppercase().into()));
        assert_eq!(cache.find(&key), fresh(&text.to_uppercase()));
    }

    #[test]
    fn an_answer_that_cannot_be_kept_takes_the_old_one_along() {
        let cache = cache_of(OVERHEAD + 100);
        let key = key("ada", "hi");
        assert!(cache.store(&key, &"IH".into()));
        assert!(!cache.store(&key, &"IH".repeat(100).into()));
        assert_eq!(cache.find(&key), Found::Nothing);
    }

    #[test]
    fn old_entries_make_room() {
        let capacity = 64 << 10;
        let cache = cache_of(capacity);
        let text = |number: usize| format!("{number:0>512}");
        for number in 0..1_000 {
            let key = key("ada", &text(number));
            assert!(cache.store(&key, &text(number).into()), "{number}");
            assert_eq!(cache.find(&key), fresh(&text(number)));
            assert!(cache.entries.weight() <= capacity as u64, "{number}");
        }
        let fit = capacity / (OVERHEAD + 3 + 2 * 512);
        assert!((fit - 2..=fit).contains(&cache.entries.len()));
    }

    #[test]
    fn memory_stays_within_the_capacity_even_for_the_shortest_texts() {
        // At some of these slab and table have just doubled, and are half empty.
        for capacity in (4..=16).map(|quarters| quarters << 18) {
            let cache = cache_of(capacity);
            let client: Arc<str> = "ada".into();
            for number in 0..20_000_u32 {
                let key = Key {
                    client: Arc::clone(&client),
                    text: number.to_string().into(),
                };
                cache.store(&key, &number.to_string().into());
            }
            let used = cache.entries.memory_used();
            // Two counts of eight bytes, five digits, and what an allocator adds and rounds to.
            let texts = cache.entries.len() * 2 * (16 + 5 + 16 + 15);
            let total = used.entries + used.map + texts;
            assert!(
                total <= capacity,
                "{total} bytes of {capacity} for {} entries: {used:?}",
                cache.entries.len()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_is_what_was_met() {
        let cache = cache_of(1 << 20);
        let key = key("ada", "hi");
        assert!(cache.store(&key, &"IH".into()));
        let met = Instant::now();
        advance(MILLISECOND).await;
        assert!(cache.store(&key, &"IH".into()));
        cache.entries.remove_if(&key, |entry| entry.since == met);
        assert_eq!(cache.find(&key), fresh("IH"));
    }
}
