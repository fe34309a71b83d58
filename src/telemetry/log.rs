//! Log lines: JSON objects with the field names of the Elastic Common Schema (ECS), or human-readable text.
//!
//! A thread that logs only appends to a buffer; dedicated threads write to stdout and to the file (`line_queue`). A
//! slow reader or a full disk therefore blocks no request: lines that cannot be written are dropped and counted.
//! `docs/logging.md` documents the fields and what is never logged.

mod ecs;
mod escape;
mod file;
mod line_queue;
mod pretty;
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
use crate::telemetry::metrics::DroppedLines;
use crate::version;

pub use self::stream::Stream;

use self::ecs::EcsFormat;
use self::file::RotatingFile;
use self::line_queue::LineQueue;
use self::pretty::PrettyFormat;

/// Longer lines are dropped, so that each fits into one file.
const MAX_LINE: usize = 16 << 10;
/// Part of the three seconds that a shutdown reserves for telemetry.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The service's identity, repeated in each line.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `service.name`.
    pub name: String,
    /// `service.version`.
    pub version: String,
    /// `service.environment`.
    pub environment: Option<String>,
    /// `service.node.name`.
    pub node: Option<String>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            name: "shoutback".to_owned(),
            version: version::RELEASE.to_owned(),
            environment: None,
            node: None,
        }
    }
}

/// The log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write LOG_FILE ({}): {source}; create its directory, allow this user to write to it, or set LOG_FILE to another file",
    path.display()
)]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

/// Starts the writer threads. Returns the layer that formats events as lines, and the guard that flushes them on drop.
pub fn layer<S>(
    config: &Log,
    identity: &Identity,
    stream: Stream,
) -> Result<(impl Layer<S> + use<S>, FlushGuard), OpenError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let dropped = DroppedLines::default();
    let file = match &config.file {
        Some(path) => {
            let file =
                RotatingFile::open(path.clone(), config.file_max_bytes).map_err(|source| OpenError {
                    path: path.clone(),
                    source,
                })?;
            Some(LineQueue::start("file", file, dropped.clone()))
        }
        None => None,
    };
    let stream_format = match config.format {
        LogFormat::Ecs => OutputFormat::Ecs,
        LogFormat::Pretty => OutputFormat::Pretty(PrettyFormat {
            is_coloured: stream.is_terminal(),
        }),
    };
    let stream = LineQueue::start(stream.name(), stream.open(), dropped.clone());
    let guard = FlushGuard {
        queues: [Some(stream.clone()), file.clone()]
            .into_iter()
            .flatten()
            .collect(),
        dropped,
    };
    let layer = LogLayer {
        ecs: EcsFormat::new(identity),
        stream_format,
        stream,
        file,
    };
    // The configuration has validated it; `info` is never used.
    let filter = EnvFilter::builder()
        .parse(&config.filter)
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = filter.and(filter_fn(is_safe_to_log));
    Ok((layer.with_filter(filter), guard))
}

/// Limits libraries to `info`, whatever the configured filter, because below that they may quote what is sent and
/// received. OpenTelemetry's crates are excluded at every level: they quote request headers.
fn is_safe_to_log(metadata: &Metadata<'_>) -> bool {
    let is_opentelemetry = metadata.target().starts_with("opentelemetry");
    is_own_event(metadata) || *metadata.level() <= Level::INFO && !is_opentelemetry
}

fn is_own_event(metadata: &Metadata<'_>) -> bool {
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

/// The format of lines on the stream. The file is always in ECS.
enum OutputFormat {
    Ecs,
    Pretty(PrettyFormat),
}

/// Formats events and pushes the lines to the queues.
struct LogLayer {
    ecs: EcsFormat,
    stream_format: OutputFormat,
    stream: LineQueue,
    file: Option<LineQueue>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = SystemTime::now();
        // Events from the `log` crate carry their metadata in fields.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        with_buffer(|line| match &self.stream_format {
            OutputFormat::Ecs => {
                self.ecs.write(line, now, metadata, event);
                self.stream.push(line.as_bytes());
                if let Some(file) = &self.file {
                    file.push(line.as_bytes());
                }
            }
            OutputFormat::Pretty(pretty) => {
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

/// Calls `write` with this thread's buffer, empty. The buffer is moved out during the call, so that a `Debug`
/// implementation which logs gets another one.
fn with_buffer(write: impl FnOnce(&mut String)) {
    thread_local! {
        static BUFFER: Cell<String> = const { Cell::new(String::new()) };
    }
    let mut line = BUFFER.try_with(Cell::take).unwrap_or_default();
    line.clear();
    write(&mut line);
    // Do not retain the capacity that an unusually long line needed.
    line.shrink_to(MAX_LINE);
    _ = BUFFER.try_with(|buffer| buffer.set(line));
}

/// Flushes the queues on drop, for `FLUSH_TIMEOUT` at most.
pub struct FlushGuard {
    queues: Vec<LineQueue>,
    dropped: DroppedLines,
}

impl FlushGuard {
    /// Returns the count of dropped lines, of the stream and the file together.
    pub fn dropped(&self) -> DroppedLines {
        self.dropped.clone()
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.close();
        }
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        for queue in &self.queues {
            queue.wait_until_finished(deadline);
        }
    }
}

/// Installs a panic hook that logs the location and not the message: one such as "byte index 1 is not a char boundary"
/// quotes the text it is about.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(|panic| {
        let location = panic.location();
        tracing::error!(
            event.action = "panic",
            event.kind = "event",
            log.origin.file.name = location.map(panic::Location::file),
            log.origin.file.line = location.map(panic::Location::line),
            "panic; the message is omitted because it may quote a request"
        );
    }));
}

#[cfg(test)]
mod tests;
