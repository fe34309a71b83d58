//! What is remembered of SHOUTCLOUD's answers, and what is done without one.

use std::time::Duration;

use super::form::{duration, one_of, size};
use super::reader::Reader;

/// How a shout is had without asking the upstream.
#[derive(Debug, Clone)]
pub struct Shout {
    /// Who capitalises when the upstream cannot be had.
    pub fallback: Fallback,
    /// Answers that are kept.
    pub cache: Cache,
}

/// Who capitalises when SHOUTCLOUD cannot be had and no answer of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Nobody: the caller is told.
    None,
    /// The service itself, by the upstream's mapping.
    Local,
}

/// How many answers are kept, and for how long.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Bytes; 0 turns storing and sharing off.
    pub capacity: usize,
    /// How long an answer is as good as a new one.
    pub ttl: Duration,
    /// How much longer it is better than an error.
    pub stale_if_error: Duration,
}

impl Shout {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            fallback: reader.value(
                "SHOUTCLOUD_FALLBACK",
                "none",
                one_of(&[("none", Fallback::None), ("local", Fallback::Local)]),
                "What is done when SHOUTCLOUD cannot be had: answer with an error, or (local) capitalise here by its mapping.",
            ),
            cache: Cache {
                capacity: reader.value(
                    "CACHE_CAPACITY",
                    "32MiB",
                    size("0B", "64GiB"),
                    "Memory for answers that are kept, each for its own client; 0 turns keeping them and sharing calls off.",
                ),
                ttl: reader.value(
                    "CACHE_TTL",
                    "1h",
                    duration("0ms", "30d"),
                    "How long an answer that was kept is given instead of calling SHOUTCLOUD.",
                ),
                stale_if_error: reader.value(
                    "CACHE_STALE_IF_ERROR",
                    "24h",
                    duration("0ms", "30d"),
                    "How much longer it is given if SHOUTCLOUD cannot be had.",
                ),
            },
        }
    }
}
