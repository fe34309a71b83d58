//! The configured limits, as metrics.

use crate::config::Config;
use crate::telemetry::metrics::{Limit, Metrics};

/// Exports every limit that `config` sets.
pub(super) fn export(config: &Config, metrics: &Metrics) {
    let shoutcloud = &config.shoutcloud;
    for (limit, value) in [
        (Limit::Connections, config.http.max_connections as f64),
        (Limit::RequestsInFlight, config.http.max_requests_in_flight as f64),
        (Limit::BodyBytes, config.http.max_body_bytes as f64),
        (
            Limit::UpstreamConcurrency,
            f64::from(shoutcloud.max_concurrency.get()),
        ),
        (Limit::UpstreamQueue, f64::from(shoutcloud.max_queue)),
        (Limit::UpstreamRetries, f64::from(shoutcloud.max_retries)),
        (Limit::RetryReserve, f64::from(shoutcloud.retry_reserve)),
        (Limit::CacheBytes, config.shout.cache.capacity as f64),
    ] {
        metrics.set_limit(limit, value);
    }
    if let Some(rate_limit) = &config.rate_limit {
        metrics.set_limit(
            Limit::RateLimitPerSecond,
            rate_limit.replenish_one.as_secs_f64().recip(),
        );
        metrics.set_limit(Limit::RateLimitBurst, f64::from(rate_limit.burst.get()));
    }
    if config.log.file.is_some() {
        metrics.set_limit(Limit::LogFileBytes, config.log.file_max_bytes as f64);
    }
    if let Some(exporter) = &config.otel.exporter {
        metrics.set_limit(Limit::SpanQueue, exporter.max_queue_size as f64);
    }
}
