//! The cache of SHOUTCLOUD's responses, and the fallback while it is unavailable.

use std::time::Duration;

use super::reader::Reader;
use super::value_parser::{duration, one_of, size};

/// How requests are served without calling the upstream.
#[derive(Debug, Clone)]
pub struct Shout {
    /// What happens while the upstream is unavailable.
    pub fallback: Fallback,
    /// The response cache.
    pub cache: Cache,
}

/// What happens if SHOUTCLOUD is unavailable and no cached response can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The request fails.
    None,
    /// The service upper-cases the text itself, by the upstream's mapping.
    Local,
}

/// Capacity and lifetimes of the response cache.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Capacity in bytes; 0 disables caching and coalescing.
    pub capacity: usize,
    /// How long a response is fresh.
    pub ttl: Duration,
    /// How long after that a stale response may replace an error (RFC 5861).
    pub stale_if_error: Duration,
}

impl Shout {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            fallback: reader.value(
                "SHOUTCLOUD_FALLBACK",
                "none",
                one_of(&[("none", Fallback::None), ("local", Fallback::Local)]),
                "What happens while SHOUTCLOUD is unavailable: the request fails (none), or the service upper-cases the text itself by the same mapping (local).",
            ),
            cache: Cache {
                capacity: reader.value(
                    "CACHE_CAPACITY",
                    "32MiB",
                    size("0B", "64GiB"),
                    "Size of the response cache, which is separate per client; 0 disables caching and coalescing. In less than 4MiB a few large texts evict all others.",
                ),
                ttl: reader.value(
                    "CACHE_TTL",
                    "1h",
                    duration("0ms", "30d"),
                    "How long a cached response is fresh and is served without calling SHOUTCLOUD.",
                ),
                stale_if_error: reader.value(
                    "CACHE_STALE_IF_ERROR",
                    "24h",
                    duration("0ms", "30d"),
                    "How long after CACHE_TTL a stale response is served if SHOUTCLOUD is unavailable.",
                ),
            },
        }
    }
}
