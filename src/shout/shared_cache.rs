//! The second level of the shout cache, which replicas share through Valkey.
//!
//! It is read before a call of the upstream, within `VALKEY_TIMEOUT`, and written after one, without waiting. Everything
//! that is read is checked as a response of the upstream is: a client that can write to Valkey cannot make the service
//! respond with anything but the text.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context as Digest, SHA256};
use opentelemetry::context::FutureExt as _;
use redis::Value;
use tokio::sync::Semaphore;

use super::cache::Key;
use super::reverse::reverse;
use crate::blocking;
use crate::config;
use crate::telemetry::metrics::ValkeyOperation;
use crate::valkey::{Error, Valkey, hex};

/// The version of the format of values; a value with another one is ignored.
const VERSION: &str = "1";

/// Longer values are neither written nor read.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// The size of all values that are being written; further ones are not written.
const MAX_BYTES_IN_FLIGHT: usize = 8 << 20;

/// The cache that replicas share.
pub(super) struct SharedCache {
    valkey: Valkey,
    ttl: Duration,
    lifetime: Duration,
    write_bytes: Arc<Semaphore>,
}

/// A result that was cached by any replica.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) shout: Arc<str>,
    /// Time since it was cached, by the clocks of both replicas.
    pub(super) age: Duration,
}

impl SharedCache {
    pub(super) fn new(valkey: Valkey, config: &config::Cache) -> Self {
        Self {
            valkey,
            ttl: config.ttl,
            lifetime: config.ttl.saturating_add(config.stale_if_error),
            write_bytes: Semaphore::new(MAX_BYTES_IN_FLIGHT).into(),
        }
    }

    /// Returns whether `entry` is within the TTL.
    pub(super) fn is_fresh(&self, entry: &Entry) -> bool {
        entry.age < self.ttl
    }

    /// Reads the entry for `key`, fresh or stale. Returns `None` if there is none, or none that can be used.
    pub(super) async fn read(&self, key: &Key) -> Option<Entry> {
        if !self.valkey.is_up() {
            return None;
        }
        let limit = max_bytes(&key.text);
        let mut command = redis::cmd("GETRANGE");
        // One byte more tells a value that is too long, without reading all of it.
        command.arg(valkey_key(key)).arg(0).arg(limit);
        let parse = |response| match response {
            Value::BulkString(value) => Ok(value),
            _ => Err(Error::invalid_response()),
        };
        let value = self
            .valkey
            .execute(ValkeyOperation::CacheRead, &command, parse)
            .await
            .ok()?;
        if value.is_empty() || value.len() > limit {
            return None;
        }
        let entry = decode(&value, SystemTime::now())?;
        let is_shout = || entry.shout.to_uppercase() == reverse(&key.text).to_uppercase();
        (entry.age < self.lifetime && blocking::run(key.text.len(), is_shout)).then_some(entry)
    }

    /// Writes a result in the background.
    pub(super) fn write(&self, key: &Key, shout: &str) {
        if self.lifetime.is_zero() || !self.valkey.is_up() {
            return;
        }
        let value = encode(shout, SystemTime::now());
        if value.len() > max_bytes(&key.text) {
            return;
        }
        let bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let Ok(permits) = Arc::clone(&self.write_bytes).try_acquire_many_owned(bytes) else {
            return;
        };
        let mut command = redis::cmd("SET");
        command
            .arg(valkey_key(key))
            .arg(value)
            .arg("PX")
            .arg(u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX));
        let valkey = self.valkey.clone();
        let parse = |response| match response {
            Value::Okay => Ok(()),
            _ => Err(Error::invalid_response()),
        };
        let write = async move {
            // The metrics count a failure; the entry is then missing.
            _ = valkey.execute(ValkeyOperation::CacheWrite, &command, parse).await;
            drop(permits);
        };
        tokio::spawn(write.with_current_context());
    }
}

/// Returns the limit of a value: upper-casing makes a text at most three times as long.
fn max_bytes(text: &str) -> usize {
    text.len()
        .saturating_mul(4)
        .saturating_add(64)
        .min(MAX_VALUE_BYTES)
}

/// Returns the key: a digest, so that keys have one length and texts of clients cannot be listed.
fn valkey_key(key: &Key) -> String {
    let mut digest = Digest::new(&SHA256);
    // The length, so that no two pairs have the same bytes.
    digest.update(&(key.client.len() as u64).to_be_bytes());
    digest.update(key.client.as_bytes());
    digest.update(key.text.as_bytes());
    format!("shoutback:cache:{}", hex(digest.finish().as_ref()))
}

/// Returns the version, the time in milliseconds since 1970, and the text, with a space between.
fn encode(shout: &str, now: SystemTime) -> String {
    let time = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{VERSION} {} {shout}", time.as_millis())
}

fn decode(value: &[u8], now: SystemTime) -> Option<Entry> {
    let mut parts = std::str::from_utf8(value).ok()?.splitn(3, ' ');
    let (version, time, shout) = (parts.next()?, parts.next()?, parts.next()?);
    if version != VERSION {
        return None;
    }
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(time.parse().ok()?))?;
    Some(Entry {
        shout: shout.into(),
        // The clock of the other replica may be ahead.
        age: now.duration_since(time).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Entry, Key, decode, encode, valkey_key};

    #[test]
    fn a_value_has_the_text_and_its_age() {
        let stored = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let entry = |age| Entry {
            shout: "A B  C\n".into(),
            age,
        };
        let value = encode("A B  C\n", stored);
        let age = Duration::from_secs(90);
        assert_eq!(decode(value.as_bytes(), stored + age), Some(entry(age)));
        assert_eq!(
            decode(value.as_bytes(), stored - age),
            Some(entry(Duration::ZERO)),
            "the clock of the writer is ahead"
        );
    }

    #[test]
    fn other_values_are_ignored() {
        for value in [
            &b""[..],
            b"HELLO",
            b"2 1700000000000 HELLO",
            b"1 x HELLO",
            b"1 -1 HELLO",
            b"1 99999999999999999999999 HELLO",
            b"1 1700000000000",
            b"1 1700000000000 \xff",
        ] {
            let decoded = decode(value, UNIX_EPOCH);
            assert_eq!(decoded, None, "{:?}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn keys_differ_by_client_and_text_and_contain_neither() {
        let key = |client: &str, text: &str| {
            valkey_key(&Key {
                client: client.into(),
                text: text.into(),
            })
        };
        assert_ne!(key("ab", "c"), key("a", "bc"));
        assert_eq!(key("app", "hello"), key("app", "hello"));
        let text = key("app", "hello");
        assert!(
            text.starts_with("shoutback:cache:") && !text.contains("hello"),
            "{text}"
        );
    }
}
