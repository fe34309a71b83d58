//! A line for people: time, level, and what happened.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

use super::escape::{Escaped, Into};
use super::level_name;

/// Writes events for people.
pub(super) struct Pretty {
    pub(super) is_coloured: bool,
}

const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

impl Pretty {
    /// Appends one line, its end included.
    pub(super) fn write(
        &self,
        line: &mut String,
        now: SystemTime,
        metadata: &Metadata<'_>,
        event: &Event<'_>,
    ) {
        let mut said = Said::default();
        event.record(&mut said);
        let level = *metadata.level();
        self.in_colour(line, DIM, humantime::format_rfc3339_millis(now));
        line.push(' ');
        let name = level_name(level);
        self.in_colour(line, colour(level), format_args!("{name:>5}"));
        if said.value("event.action") == Some("request") {
            write_request(line, &said);
        } else {
            _ = write!(line, " {}", said.value("message").unwrap_or_default());
            for (name, value) in &said.0 {
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
            write!(line, "{colour}{text}{PLAIN}")
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

/// `POST /v1 200 1.2 ms ada cache 0192…`: what is not known is left out.
fn write_request(line: &mut String, said: &Said) {
    for name in [
        "http.request.method",
        "shoutback.route",
        "http.response.status_code",
        "error.type",
    ] {
        if let Some(value) = said.value(name) {
            _ = write!(line, " {value}");
        }
    }
    let took = said.value("event.duration").and_then(|value| value.parse().ok());
    if let Some(took) = took.map(Duration::from_nanos) {
        _ = write!(line, " {:.1} ms", took.as_secs_f64() * 1e3);
    }
    for name in ["client.user.id", "shoutback.source", "http.request.id"] {
        if let Some(value) = said.value(name) {
            _ = write!(line, " {value}");
        }
    }
}

/// An event's fields, escaped.
#[derive(Default)]
struct Said(Vec<(&'static str, String)>);

impl Said {
    fn value(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(known, _)| *known == name);
        field.map(|(_, value)| value.as_str())
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        _ = write!(Escaped::new(&mut text, Into::Plain), "{value:?}");
        self.0.push((field.name(), text));
    }
}
