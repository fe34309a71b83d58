use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use tokio::time::{Instant, advance};

use super::{Cache, ENTRY_OVERHEAD, Key, Lookup, MIN_SHARD_BYTES};
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

fn fresh(shout: &str) -> Lookup {
    Lookup::Fresh(shout.into())
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_fresh_then_stale_then_gone() {
    let cache = cache_of(1 << 20);
    let key = key("ada", "hi");
    assert_eq!(cache.lookup(&key), Lookup::Miss);
    assert!(cache.insert(&key, &"IH".into()));
    for (wait, found) in [
        (Duration::ZERO, fresh("IH")),
        (TTL - MILLISECOND, fresh("IH")),
        (MILLISECOND, Lookup::Stale("IH".into())),
        (STALE - MILLISECOND, Lookup::Stale("IH".into())),
        (MILLISECOND, Lookup::Miss),
    ] {
        advance(wait).await;
        assert_eq!(cache.lookup(&key), found, "after another {wait:?}");
    }
    assert_eq!(cache.entries.len(), 0, "removed by the lookup");
    assert!(cache.insert(&key, &"IH".into()));
    assert_eq!(cache.lookup(&key), fresh("IH"), "stored again");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_was_replaced_is_not_removed() {
    let cache = cache_of(1 << 20);
    let key = key("ada", "hi");
    assert!(cache.insert(&key, &"IH".into()));
    let expired = cache.entries.get(&key).expect("an entry");
    advance(TTL + STALE).await;
    assert!(cache.insert(&key, &"IH".into()));
    cache.remove(&key, &expired);
    assert_eq!(cache.lookup(&key), fresh("IH"));
}

#[tokio::test(start_paused = true)]
async fn a_result_of_the_shared_cache_replaces_only_an_older_one() {
    let cache = cache_of(1 << 20);
    let key = key("ada", "hi");
    let minute = Duration::from_secs(60);
    cache.insert_aged(&key, &"first".into(), 2 * minute);
    cache.insert_aged(&key, &"second".into(), minute);
    assert_eq!(cache.lookup(&key), fresh("second"));
    advance(minute).await;
    cache.insert_aged(&key, &"first".into(), 3 * minute);
    assert_eq!(cache.lookup(&key), fresh("second"));
    // A `no-cache` request stores a result while another request reads the shared cache.
    assert!(cache.insert(&key, &"third".into()));
    cache.insert_aged(&key, &"second".into(), TTL + minute);
    assert_eq!(cache.lookup(&key), fresh("third"));
}

#[tokio::test(start_paused = true)]
async fn a_new_result_restarts_the_ttl() {
    let cache = cache_of(1 << 20);
    let key = key("ada", "hi");
    assert!(cache.insert(&key, &"IH".into()));
    advance(TTL - MILLISECOND).await;
    assert!(cache.insert(&key, &"Ih".into()));
    advance(TTL - MILLISECOND).await;
    assert_eq!(cache.lookup(&key), fresh("Ih"));
    assert_eq!(cache.entries.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ttl_or_stale_time_of_zero_disables_that_state() {
    let key = key("ada", "hi");
    let never_fresh = cache_with(1 << 20, Duration::ZERO, STALE);
    assert!(never_fresh.insert(&key, &"IH".into()));
    assert_eq!(never_fresh.lookup(&key), Lookup::Stale("IH".into()));
    let never_stale = cache_with(1 << 20, TTL, Duration::ZERO);
    assert!(never_stale.insert(&key, &"IH".into()));
    advance(TTL - MILLISECOND).await;
    assert_eq!(never_stale.lookup(&key), fresh("IH"));
    advance(MILLISECOND).await;
    assert_eq!(never_stale.lookup(&key), Lookup::Miss);
    let never = cache_with(1 << 20, Duration::ZERO, Duration::ZERO);
    assert!(!never.insert(&key, &"IH".into()), "no request could use it");
    assert_eq!(never.entries.len(), 0);
}

#[test]
fn keys_differ_in_client_and_in_text() {
    let cache = cache_of(1 << 20);
    assert!(cache.insert(&key("ada", "hi"), &"IH".into()));
    assert_eq!(cache.lookup(&key("ada", "hi")), fresh("IH"));
    for other in [
        key("bob", "hi"),
        key("ada", "Hi"),
        key("adah", "i"),
        key("", "adahi"),
    ] {
        assert_eq!(cache.lookup(&other), Lookup::Miss, "{other:?}");
    }
}

#[test]
fn a_capacity_of_zero_disables_the_cache() {
    let config = config::Cache {
        capacity: 0,
        ttl: TTL,
        stale_if_error: STALE,
    };
    assert!(Cache::new(&config, Gauge::noop()).is_none());
}

#[test]
fn the_weight_is_the_overhead_and_the_length_of_client_text_and_shout() {
    let cache = cache_of(1 << 20);
    assert!(cache.insert(&key("ada", "12345"), &"1234567".into()));
    assert_eq!(cache.entries.weight(), (ENTRY_OVERHEAD + 3 + 5 + 7) as u64);
}

#[test]
fn insert_reports_whether_the_entry_was_stored() {
    for capacity in [1, 100, 1_000, 10_000, 100_000, 1 << 20, 3 << 20, 32 << 20] {
        let cache = cache_of(capacity);
        assert!(cache.entries.capacity() >= capacity as u64, "{capacity}");
        for length in [1, 500, 5_000, 50_000, 500_000, 5_000_000] {
            let text = "a".repeat(length);
            let key = key("ada", &text);
            let is_stored = cache.insert(&key, &text.to_uppercase().into());
            assert_eq!(
                cache.lookup(&key) != Lookup::Miss,
                is_stored,
                "{length} in {capacity}"
            );
            assert!(
                cache.entries.weight() <= cache.entries.capacity(),
                "{length} in {capacity}"
            );
            let weight = ENTRY_OVERHEAD + 3 + 2 * length;
            if weight > capacity {
                assert!(!is_stored, "{length} in {capacity}");
            }
            // An entry may use nearly the whole capacity of a shard.
            if weight < capacity.min(MIN_SHARD_BYTES) * 9 / 10 {
                assert!(is_stored, "{length} in {capacity}");
            }
        }
    }
}

#[test]
fn a_small_cache_holds_the_longest_text_that_is_accepted_by_default() {
    let cache = cache_of(1 << 20);
    // Two bytes in lower case, three in upper case.
    let text = "ɐ".repeat(32 << 10);
    let key = key("ada", &text);
    assert!(cache.insert(&key, &text.to_uppercase().into()));
    assert_eq!(cache.lookup(&key), fresh(&text.to_uppercase()));
}

#[test]
fn an_entry_that_exceeds_the_capacity_removes_the_old_one() {
    let cache = cache_of(ENTRY_OVERHEAD + 100);
    let key = key("ada", "hi");
    assert!(cache.insert(&key, &"IH".into()));
    assert!(!cache.insert(&key, &"IH".repeat(100).into()));
    assert_eq!(cache.lookup(&key), Lookup::Miss);
    cache.insert_aged(&key, &"IH".repeat(100).into(), Duration::ZERO);
    assert_eq!(cache.lookup(&key), Lookup::Miss);
    assert_eq!(cache.entries.weight(), 0);
}

#[test]
fn old_entries_are_evicted() {
    let capacity = 64 << 10;
    let cache = cache_of(capacity);
    let text = |number: usize| format!("{number:0>512}");
    for number in 0..1_000 {
        let key = key("ada", &text(number));
        assert!(cache.insert(&key, &text(number).into()), "{number}");
        assert_eq!(cache.lookup(&key), fresh(&text(number)));
        assert!(cache.entries.weight() <= capacity as u64, "{number}");
    }
    let fit = capacity / (ENTRY_OVERHEAD + 3 + 2 * 512);
    assert!((fit - 2..=fit).contains(&cache.entries.len()));
}

#[test]
fn memory_stays_within_the_capacity_even_for_the_shortest_texts() {
    // At some of these capacities slab and table have just doubled and are half empty.
    for capacity in (4..=16).map(|quarters| quarters << 18) {
        let cache = cache_of(capacity);
        let client: Arc<str> = "ada".into();
        for number in 0..20_000_u32 {
            let key = Key {
                client: Arc::clone(&client),
                text: number.to_string().into(),
            };
            cache.insert(&key, &number.to_string().into());
        }
        let used = cache.entries.memory_used();
        // Per text: two counts of eight bytes, five digits, and what the allocator adds and rounds up.
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
async fn removal_leaves_an_entry_that_was_replaced_since() {
    let cache = cache_of(1 << 20);
    let key = key("ada", "hi");
    assert!(cache.insert(&key, &"IH".into()));
    let first = Instant::now();
    advance(MILLISECOND).await;
    assert!(cache.insert(&key, &"IH".into()));
    cache.entries.remove_if(&key, |entry| entry.stored_at == first);
    assert_eq!(cache.lookup(&key), fresh("IH"));
}
