//! Log lines: one JSON object each in the names of the Elastic Common Schema, or for people.

use std::fmt;
use std::io::IsTerminal as _;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Log, LogFormat};
use crate::version;

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "8.11.0";

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Where a container's log is collected.
    Stdout,
    /// Where they do not get in the way of what a command prints.
    Stderr,
}

/// Sends log lines of this process to `stream` from now on.
pub fn init(config: &Log, stream: Stream) {
    let filter = EnvFilter::builder().parse_lossy(&config.filter);
    let writer = move || -> Box<dyn std::io::Write> {
        match stream {
            Stream::Stdout => Box::new(std::io::stdout()),
            Stream::Stderr => Box::new(std::io::stderr()),
        }
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    log_panics();
    // A second call changes nothing: whoever was first decides.
    _ = match config.format {
        LogFormat::Ecs => lines.event_format(Ecs).try_init(),
        LogFormat::Pretty => {
            let is_terminal = match stream {
                Stream::Stdout => std::io::stdout().is_terminal(),
                Stream::Stderr => std::io::stderr().is_terminal(),
            };
            lines.with_ansi(is_terminal).with_target(false).try_init()
        }
    };
}

/// Logs where a panic happened and not what it says: a message such as "byte index 1 is not a char boundary" quotes the
/// text that it is about.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location();
        tracing::error!(
            event.action = "panic",
            log.origin.file.name = location.map(std::panic::Location::file),
            log.origin.file.line = location.map(std::panic::Location::line),
            "a panic; its message is left out, as it may quote a request"
        );
    }));
}

/// Writes an event as one ECS object.
struct Ecs;

impl<S, N> FormatEvent<S, N> for Ecs
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Map::new();
        let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let level = metadata.level().as_str().to_ascii_lowercase();
        for (name, value) in [
            ("@timestamp", now.as_str()),
            ("log.level", level.as_str()),
            ("log.logger", metadata.target()),
            ("ecs.version", ECS_VERSION),
            ("service.name", "shoutback"),
            ("service.version", version::VERSION),
        ] {
            line.insert(name.to_owned(), value.into());
        }
        event.record(&mut Members(&mut line));
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// An event's fields as an object's members.
struct Members<'a>(&'a mut Map<String, Value>);

impl Members<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0
            .insert(field.name().trim_start_matches("r#").to_owned(), value.into());
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}
