//! Settings that several modules of tests start the application with.

/// No attempt and no request times out while a test holds the upstream back.
pub const LONG_TIMEOUTS: [(&str, &str); 3] = [
    ("REQUEST_TIMEOUT", "5m"),
    ("SHOUTCLOUD_DEADLINE", "4m"),
    ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "4m"),
];

/// Each call is one attempt.
pub const NO_RETRIES: (&str, &str) = ("SHOUTCLOUD_MAX_RETRIES", "0");

/// The breaker never opens.
pub const NO_BREAKER: (&str, &str) = ("BREAKER_MIN_CALLS", "1000000000");

/// Each request is a call of its own.
pub const NO_CACHE: (&str, &str) = ("CACHE_CAPACITY", "0");
