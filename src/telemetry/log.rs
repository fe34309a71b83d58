//! Log lines: one JSON object each in the names of the Elastic Common Schema, or for people.
//!
//! A line is written to memory by whoever has something to say and to stdout and a file by threads of their own
//! (`queue`), so that a slow reader, a full disk or a missing one holds up no request: what cannot be written is dropped and
//! counted. What the fields mean, and what never gets in: `docs/logging.md`.

mod ecs;
mod escape;
mod file;
mod pretty;
mod queue;
mod stream;

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use std::{io, panic};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Log, LogFormat};

pub use self::queue::Dropped;
pub use self::stream::Stream;

use self::ecs::Ecs;
use self::file::Files;
use self::pretty::Pretty;
use self::queue::Queue;

/// Longer lines are dropped: no file has to hold more than this.
const MAX_LINE: usize = 16 << 10;
/// Within the three seconds that a stop leaves for telemetry.
const FLUSH: Duration = Duration::from_secs(1);

/// Who speaks.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `service.name`.
    pub name: String,
    /// `service.environment`.
    pub environment: Option<String>,
    /// `service.node.name`.
    pub node: Option<String>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            name: "shoutback".to_owned(),
            environment: None,
            node: None,
        }
    }
}

/// The log file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write LOG_FILE ({}): {source}; create its directory, let this user write there, or set LOG_FILE to another file",
    path.display()
)]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

/// The layer that turns events into lines, and what writes them.
pub fn layer<S>(
    config: &Log,
    identity: &Identity,
    stream: Stream,
) -> Result<(impl Layer<S> + use<S>, Guard), OpenError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let dropped = Dropped::default();
    let file = match &config.file {
        Some(path) => {
            let files = Files::open(path.clone(), config.file_max_bytes).map_err(|source| OpenError {
                path: path.clone(),
                source,
            })?;
            Some(Queue::start("file", files, dropped.clone()))
        }
        None => None,
    };
    let look = match config.format {
        LogFormat::Ecs => Look::Ecs,
        LogFormat::Pretty => Look::Pretty(Pretty {
            is_coloured: stream.is_terminal(),
        }),
    };
    let stream = Queue::start(stream.name(), stream.open(), dropped.clone());
    let guard = Guard {
        queues: [Some(stream.clone()), file.clone()]
            .into_iter()
            .flatten()
            .collect(),
        dropped,
    };
    let lines = Lines {
        ecs: Ecs::new(identity),
        look,
        stream,
        file,
    };
    // Checked when the configuration was read.
    let wanted = EnvFilter::builder()
        .parse(&config.filter)
        .unwrap_or_else(|_| EnvFilter::new("info"));
    Ok((lines.with_filter(wanted.and(filter_fn(is_fit_to_log))), guard))
}

/// Whatever is asked for, libraries say no more than `info`: below that they are free to quote what is sent and received.
/// OpenTelemetry's quote callers' headers at any level.
fn is_fit_to_log(metadata: &Metadata<'_>) -> bool {
    let quotes = metadata.target().starts_with("opentelemetry");
    is_ours(metadata) || *metadata.level() <= Level::INFO && !quotes
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata
        .target()
        .strip_prefix(env!("CARGO_CRATE_NAME"))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// How lines on the stream look; in the file they are always ECS.
enum Look {
    Ecs,
    Pretty(Pretty),
}

/// The layer.
struct Lines {
    ecs: Ecs,
    look: Look,
    stream: Queue,
    file: Option<Queue>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = SystemTime::now();
        // What came by the `log` crate carries its metadata in fields.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        with_buffer(|line| match &self.look {
            Look::Ecs => {
                self.ecs.write(line, now, metadata, event);
                self.stream.push(line.as_bytes());
                if let Some(file) = &self.file {
                    file.push(line.as_bytes());
                }
            }
            Look::Pretty(pretty) => {
                pretty.write(line, now, metadata, event);
                self.stream.push(line.as_bytes());
                if let Some(file) = &self.file {
                    line.clear();
                    self.ecs.write(line, now, metadata, event);
                    file.push(line.as_bytes());
                }
            }
        });
    }
}

/// Lends an empty buffer of this thread. It is taken out meanwhile: a `Debug` that logs, or panics, gets another.
fn with_buffer(write: impl FnOnce(&mut String)) {
    thread_local! {
        static BUFFER: Cell<String> = const { Cell::new(String::new()) };
    }
    let mut line = BUFFER.try_with(Cell::take).unwrap_or_default();
    line.clear();
    write(&mut line);
    // A line that was much longer than most is not kept room for.
    line.shrink_to(MAX_LINE);
    _ = BUFFER.try_with(|buffer| buffer.set(line));
}

/// What writes the lines. Dropped, it waits until they are written, but not for long.
pub struct Guard {
    queues: Vec<Queue>,
    dropped: Dropped,
}

impl Guard {
    /// Counts lines that were lost, whoever lost them.
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.close();
        }
        let deadline = Instant::now() + FLUSH;
        for queue in &self.queues {
            queue.ended_by(deadline);
        }
    }
}

/// Logs where a panic happened and not what it says: a message such as "byte index 1 is not a char boundary" quotes the
/// text that it is about.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let location = panic.location();
        tracing::error!(
            event.action = "panic",
            event.kind = "event",
            log.origin.file.name = location.map(panic::Location::file),
            log.origin.file.line = location.map(panic::Location::line),
            "a panic; its message is left out, as it may quote a request"
        );
    }));
}

#[cfg(test)]
mod tests;
