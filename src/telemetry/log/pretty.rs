//! Human-readable lines: time, level, message and fields.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

use super::escape::{EscapeMode, EscapingWriter};
use super::level_name;

/// Formats events as human-readable lines.
pub(super) struct PrettyFormat {
    pub(super) is_coloured: bool,
}

const DIM: &str = "\u{1b}[2m";
const RESET: &str = "\u{1b}[0m";

impl PrettyFormat {
    /// Appends one line, including its newline.
    pub(super) fn write(
        &self,
        line: &mut String,
        now: SystemTime,
        metadata: &Metadata<'_>,
        event: &Event<'_>,
    ) {
        let mut fields = FieldCollector::default();
        event.record(&mut fields);
        let level = *metadata.level();
        self.in_colour(line, DIM, humantime::format_rfc3339_millis(now));
        line.push(' ');
        let name = level_name(level);
        self.in_colour(line, colour(level), format_args!("{name:>5}"));
        if fields.value("event.action") == Some("request") {
            write_request(line, &fields);
        } else {
            _ = write!(line, " {}", fields.value("message").unwrap_or_default());
            for (name, value) in &fields.0 {
                if !matches!(*name, "message" | "event.action" | "event.kind") && !name.starts_with("log.") {
                    line.push(' ');
                    self.in_colour(line, DIM, format_args!("{name}="));
                    line.push_str(value);
                }
            }
        }
        line.push('\n');
    }

    fn in_colour(&self, line: &mut String, colour: &str, text: impl fmt::Display) {
        _ = if self.is_coloured {
            write!(line, "{colour}{text}{RESET}")
        } else {
            write!(line, "{text}")
        };
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[34m",
    }
}

/// Writes `POST /v1 200 1.2 ms ada cache 0192…`, without the fields that the event lacks.
fn write_request(line: &mut String, fields: &FieldCollector) {
    for name in [
        "http.request.method",
        "shoutback.route",
        "http.response.status_code",
        "error.type",
    ] {
        if let Some(value) = fields.value(name) {
            _ = write!(line, " {value}");
        }
    }
    let duration = fields
        .value("event.duration")
        .and_then(|value| value.parse().ok());
    if let Some(duration) = duration.map(Duration::from_nanos) {
        _ = write!(line, " {:.1} ms", duration.as_secs_f64() * 1e3);
    }
    for name in ["client.user.id", "shoutback.source", "http.request.id"] {
        if let Some(value) = fields.value(name) {
            _ = write!(line, " {value}");
        }
    }
}

/// Collects the fields of an event, escaped.
#[derive(Default)]
struct FieldCollector(Vec<(&'static str, String)>);

impl FieldCollector {
    fn value(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(field, _)| *field == name);
        field.map(|(_, value)| value.as_str())
    }
}

impl Visit for FieldCollector {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        _ = write!(EscapingWriter::new(&mut text, EscapeMode::Plain), "{value:?}");
        self.0.push((field.name(), text));
    }
}
