//! What became of the requests that reached the domain, and how often the cache spared a call.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::panicking;
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, KeyName, Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{METADATA, Register, key};

const DURATION: &str = "shoutback_shout_duration_seconds";
const PANICKED: &str = "internal-error";
const CANCELLED: &str = "cancelled";
const NO_SOURCE: &str = "none";

/// How a request for a shout can end, and with whose help.
type End = (&'static str, &'static str);

/// Requests that reached the domain.
pub struct ShoutMetrics {
    clients: HashMap<String, HashMap<End, Counter>>,
    durations: HashMap<&'static str, Histogram>,
}

impl ShoutMetrics {
    /// What stands in `outcome` for a shout.
    const SUCCESS: &'static str = "success";
    const SOURCES: [&'static str; 6] = ["upstream", "cache", "coalesced", "stale", "fallback", NO_SOURCE];
    /// Of a call that failed: one's own, or that of somebody else.
    const FAILING: [&'static str; 2] = ["upstream", "coalesced"];

    /// `failures` are the names of the problems that the domain can end in.
    pub(super) fn new<'a>(
        recorder: &PrometheusRecorder,
        clients: impl Iterator<Item = &'a str>,
        failures: &[&'static str],
    ) -> Self {
        let register = Register(recorder);
        let ends: Vec<End> = Self::SOURCES
            .into_iter()
            .map(|source| (Self::SUCCESS, source))
            .chain(
                failures
                    .iter()
                    .flat_map(|failure| Self::FAILING.map(|source| (*failure, source))),
            )
            .chain([(CANCELLED, NO_SOURCE)])
            .collect();
        let count = |client: &str, (outcome, source): End| {
            let help = "Requests for a shout: whose, how they ended, and where the answer came from.";
            let labels = [("client_id", client), ("outcome", outcome), ("source", source)];
            register.counter("shoutback_shouts_total", help, &labels)
        };
        let of_client = |client: &str| ends.iter().map(|end| (*end, count(client, *end))).collect();
        recorder.describe_histogram(
            KeyName::from_const_str(DURATION),
            Some(Unit::Seconds),
            "Time that the domain took for an answer, whatever it was, by where that came from.".into(),
        );
        let duration = |source| recorder.register_histogram(&key(DURATION, &[("source", source)]), &METADATA);
        Self {
            clients: clients
                .map(|client| (client.to_owned(), of_client(client)))
                .collect(),
            durations: Self::SOURCES.map(|source| (source, duration(source))).into(),
        }
    }

    /// A request for a shout begins.
    pub fn open(self: &Arc<Self>, client_id: &Arc<str>) -> ShoutAccount {
        ShoutAccount {
            metrics: Arc::clone(self),
            client_id: Arc::clone(client_id),
            began: Instant::now(),
            end: None,
        }
    }
}

/// A request for a shout; recorded when it is dropped, as cancelled unless its end was told.
pub struct ShoutAccount {
    metrics: Arc<ShoutMetrics>,
    client_id: Arc<str>,
    began: Instant,
    end: Option<End>,
}

impl ShoutAccount {
    /// There is a shout, from `source`.
    pub fn succeeded(mut self, source: &'static str) {
        self.end = Some((ShoutMetrics::SUCCESS, source));
    }

    /// There is none; `problem` is what the caller is told, `source` whose call it was that failed.
    pub fn failed(mut self, problem: &'static str, source: &'static str) {
        self.end = Some((problem, source));
    }
}

impl Drop for ShoutAccount {
    fn drop(&mut self) {
        let clients = &self.metrics.clients;
        let client = clients.get(&*self.client_id).or_else(|| clients.get("other"));
        let end = match self.end {
            Some(end) => end,
            None if panicking() => (PANICKED, "upstream"),
            None => (CANCELLED, NO_SOURCE),
        };
        if let Some(counter) = client.and_then(|ends| ends.get(&end)) {
            counter.increment(1);
        }
        let source = self.end.map(|(_, source)| source);
        if let Some(duration) = source.and_then(|source| self.metrics.durations.get(source)) {
            duration.record(self.began.elapsed());
        }
    }
}

/// The cache of shouts.
#[derive(Clone)]
pub struct CacheMetrics {
    /// Answered from it.
    pub hit: Counter,
    /// It had an answer that was too old.
    pub stale: Counter,
    /// It had none.
    pub miss: Counter,
    /// It was not asked, because the caller did not want that or there is none.
    pub bypass: Counter,
    /// What its entries take.
    pub bytes: Gauge,
}

impl CacheMetrics {
    /// Metrics that nobody reads.
    #[cfg(test)]
    pub(crate) fn unseen() -> Self {
        Self {
            hit: Counter::noop(),
            stale: Counter::noop(),
            miss: Counter::noop(),
            bypass: Counter::noop(),
            bytes: Gauge::noop(),
        }
    }

    pub(super) fn new(register: &Register<'_>) -> Self {
        let requests = |result| {
            let help = "Look-ups in the cache of shouts.";
            register.counter("shoutback_cache_requests_total", help, &[("result", result)])
        };
        Self {
            hit: requests("hit"),
            stale: requests("stale"),
            miss: requests("miss"),
            bypass: requests("bypass"),
            bytes: register.gauge(
                "shoutback_cache_bytes",
                "What the entries of the cache of shouts take.",
                &[],
            ),
        }
    }
}
