//! What can be seen of the service.

pub mod log;
pub mod metrics;
pub mod trace;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::log::{Dropped, Guard, Identity, OpenError, Stream};
use crate::config::{Config, Otel};

/// What is running for the sake of being seen. Dropped, it writes what is still waiting to be.
pub struct Telemetry {
    log: Guard,
}

impl Telemetry {
    /// Counts the log lines that were lost.
    pub fn dropped_lines(&self) -> Dropped {
        self.log.dropped()
    }
}

/// Everything that this process says goes where `config` wants it from now on; lines for people or collectors to `stream`.
pub fn init(config: &Config, stream: Stream) -> Result<Telemetry, OpenError> {
    let (lines, log) = log::layer(&config.log, &identity(&config.otel), stream)?;
    log::log_panics();
    // A second call changes nothing: whoever was first decides.
    _ = tracing_subscriber::registry().with(lines).try_init();
    Ok(Telemetry { log })
}

/// Who speaks, as the traces have it.
fn identity(config: &Otel) -> Identity {
    let said = |name: &str| {
        let mut said = config.resource.iter().rev();
        said.find(|(said, _)| *said == name)
            .map(|(_, value)| value.clone())
    };
    Identity {
        name: said("service.name").unwrap_or_else(|| Identity::default().name),
        environment: said("deployment.environment.name"),
        node: said("service.instance.id").or_else(|| said("k8s.pod.name")),
    }
}
