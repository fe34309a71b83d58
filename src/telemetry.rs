//! Logs, metrics and traces.
//!
//! Dependencies point one way: `log` uses `trace` and `metrics`, `trace` uses `metrics`.

pub mod log;
pub mod metrics;
pub mod redact;
pub mod trace;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::log::{FlushGuard, Identity, OpenError, Stream};
use self::metrics::DroppedLines;
use crate::config::{Config, Otel};

/// Telemetry guard: flushes the log on drop.
pub struct Telemetry {
    log: FlushGuard,
}

impl Telemetry {
    /// Returns the count of dropped log lines.
    pub fn dropped_lines(&self) -> DroppedLines {
        self.log.dropped()
    }
}

/// Installs the global `tracing` subscriber, which logs to `stream` and to the file that `config` names, and the panic
/// hook.
pub fn init(config: &Config, stream: Stream) -> Result<Telemetry, OpenError> {
    let (layer, log) = log::layer(&config.log, &identity(&config.otel), stream)?;
    log::install_panic_hook();
    // An error means that a subscriber is already installed: it stays.
    _ = tracing_subscriber::registry().with(layer).try_init();
    Ok(Telemetry { log })
}

/// Returns the identity for log lines, from the resource attributes of the traces.
fn identity(config: &Otel) -> Identity {
    // The last value of an attribute wins, as in the resource.
    let attribute = |name: &str| {
        let mut attributes = config.resource.iter().rev();
        attributes
            .find(|(attribute, _)| *attribute == name)
            .map(|(_, value)| value.clone())
    };
    Identity {
        name: attribute("service.name").unwrap_or_else(|| Identity::default().name),
        version: attribute("service.version").unwrap_or_else(|| Identity::default().version),
        environment: attribute("deployment.environment.name"),
        node: attribute("service.instance.id").or_else(|| attribute("k8s.pod.name")),
    }
}
