//! The circuit breaker of the calls to SHOUTCLOUD.

use std::num::NonZeroU32;
use std::time::Duration;

use super::form::{Share, count, duration, share};
use super::reader::Reader;

/// When SHOUTCLOUD is not called any more, and when again.
#[derive(Debug, Clone)]
pub struct Breaker {
    /// How long an attempt counts.
    pub window: Duration,
    /// So many attempts have to count before they are judged.
    pub min_calls: NonZeroU32,
    /// Opens it.
    pub failure_rate: Share,
    /// An attempt of this duration is slow; `None` turns the slow rule off.
    pub slow_call: Option<Duration>,
    /// Opens it.
    pub slow_rate: Share,
    /// How long it stays open, give or take a tenth.
    pub open_for: Duration,
    /// So many attempts at a time find out whether it may close, and so many have to succeed.
    pub probes: NonZeroU32,
}

impl Breaker {
    pub(super) fn read(reader: &mut Reader<'_>, attempt_timeout: Duration) -> Self {
        const DEFAULT_SLOW_CALL: Duration = Duration::from_secs(2);
        let window = reader.value(
            "BREAKER_WINDOW",
            "30s",
            duration("100ms", "1h"),
            "How long an attempt counts for the circuit breaker.",
        );
        let min_calls = reader.value(
            "BREAKER_MIN_CALLS",
            "20",
            count(1_000_000_000),
            "So many attempts have to count before the breaker judges them.",
        );
        let failure_rate = reader.value(
            "BREAKER_FAILURE_RATE",
            "50%",
            share("0.1%", "100%"),
            "Share of failed attempts that opens the breaker.",
        );
        let slow_call = reader
            .optional(
                "BREAKER_SLOW_CALL",
                "2s",
                duration("1ms", "10m"),
                "An attempt that takes this long is slow. SHOUTCLOUD_ATTEMPT_TIMEOUT itself turns the rule off, and is the \
                 default where that is shorter.",
            )
            // A default contradicts nothing.
            .unwrap_or(DEFAULT_SLOW_CALL.min(attempt_timeout));
        let breaker = Self {
            window,
            min_calls,
            failure_rate,
            slow_call: (slow_call < attempt_timeout).then_some(slow_call),
            slow_rate: reader.value(
                "BREAKER_SLOW_RATE",
                "80%",
                share("0.1%", "100%"),
                "Share of slow attempts that opens the breaker.",
            ),
            open_for: reader.value(
                "BREAKER_OPEN_FOR",
                "10s",
                duration("10ms", "1h"),
                "How long, give or take a tenth, no attempt is made once the breaker has opened.",
            ),
            probes: reader.value(
                "BREAKER_PROBES",
                "5",
                count(1_000_000),
                "So many attempts at a time are let through then, and so many have to succeed to close it.",
            ),
        };
        reader.contradiction(
            ["BREAKER_SLOW_CALL", "SHOUTCLOUD_ATTEMPT_TIMEOUT"],
            slow_call > attempt_timeout,
            "must not be longer than SHOUTCLOUD_ATTEMPT_TIMEOUT, or no attempt is ever slow",
        );
        breaker
    }
}
