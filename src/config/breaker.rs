//! The circuit breaker for calls to SHOUTCLOUD.

use std::num::NonZeroU32;
use std::time::Duration;

use super::reader::Reader;
use super::value_parser::{Ratio, count, duration, ratio};

/// When the circuit breaker opens and closes.
#[derive(Debug, Clone)]
pub struct Breaker {
    /// Length of the sliding window of attempts.
    pub window: Duration,
    /// Minimum number of attempts in the window before the rates apply.
    pub min_calls: NonZeroU32,
    /// Ratio of failed attempts that opens the breaker.
    pub failure_rate: Ratio,
    /// Attempts of at least this duration are slow; `None` disables the slow-call rule.
    pub slow_call: Option<Duration>,
    /// Ratio of slow attempts that opens the breaker.
    pub slow_rate: Ratio,
    /// How long the breaker stays open, plus or minus 10 %.
    pub open_for: Duration,
    /// Maximum number of concurrent probes while half-open, and the number that must end without a failure to close the breaker.
    pub probes: NonZeroU32,
}

impl Breaker {
    pub(super) fn read(reader: &mut Reader<'_>, attempt_timeout: Duration) -> Self {
        const DEFAULT_SLOW_CALL: Duration = Duration::from_secs(2);
        let window = reader.value(
            "BREAKER_WINDOW",
            "30s",
            duration("100ms", "1h"),
            "Length of the circuit breaker's sliding window of attempts.",
        );
        let min_calls = reader.value(
            "BREAKER_MIN_CALLS",
            "20",
            count(1_000_000_000),
            "Minimum number of attempts in the window before the failure rate and slow rate apply.",
        );
        let failure_rate = reader.value(
            "BREAKER_FAILURE_RATE",
            "50%",
            ratio("0.1%", "100%"),
            "Ratio of failed attempts that opens the breaker.",
        );
        let slow_call = reader
            .optional(
                "BREAKER_SLOW_CALL",
                "2s",
                duration("1ms", "10m"),
                "Attempts that take at least this long are slow. A value equal to SHOUTCLOUD_ATTEMPT_TIMEOUT disables the rule, \
                 and is the default if that timeout is shorter than 2s.",
            )
            // The default must not conflict with a shorter SHOUTCLOUD_ATTEMPT_TIMEOUT.
            .unwrap_or(DEFAULT_SLOW_CALL.min(attempt_timeout));
        let breaker = Self {
            window,
            min_calls,
            failure_rate,
            slow_call: (slow_call < attempt_timeout).then_some(slow_call),
            slow_rate: reader.value(
                "BREAKER_SLOW_RATE",
                "80%",
                ratio("0.1%", "100%"),
                "Ratio of slow attempts that opens the breaker.",
            ),
            open_for: reader.value(
                "BREAKER_OPEN_FOR",
                "10s",
                duration("10ms", "1h"),
                "How long the breaker stays open, plus or minus 10 %; no attempt is made meanwhile.",
            ),
            probes: reader.value(
                "BREAKER_PROBES",
                "5",
                count(1_000_000),
                "Maximum number of concurrent probes while the breaker is half-open, and the number that must end without a failure to close it.",
            ),
        };
        reader.conflict(
            ["BREAKER_SLOW_CALL", "SHOUTCLOUD_ATTEMPT_TIMEOUT"],
            slow_call > attempt_timeout,
            "must not be longer than SHOUTCLOUD_ATTEMPT_TIMEOUT, or no attempt is ever slow",
        );
        breaker
    }
}
