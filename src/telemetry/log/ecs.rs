//! Lines as JSON objects with the field names of the Elastic Common Schema, dotted and flat.
//!
//! Members are written directly into the line. Building a map of values first would cost more than the rest of logging.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};

use super::escape::{EscapeMode, EscapingWriter};
use super::{Identity, is_own_event, level_name};
use crate::telemetry::trace;

/// The version of the schema.
const ECS_VERSION: &str = "8.11.0";

/// Fields that are arrays in the schema; the items of our events are separated by commas.
const ARRAY_FIELDS: [&str; 2] = ["event.category", "event.type"];

/// Returns `event.category` and `event.type` of an event that does not set them, by its `event.action`. The schema allows only
/// certain types in each category.
fn class(action: &str) -> Option<(&'static str, &'static str)> {
    Some(match action {
        "breaker" | "key-refresh" | "traces" | "valkey" => ("network", "info"),
        "accept" => ("network", "denied"),
        "configuration" => ("configuration", "info"),
        "start" => ("process", "start"),
        "stop" => ("process", "end"),
        "log" => ("file", "info"),
        "panic" => ("process", "info"),
        _ => return None,
    })
}

/// Formats events as ECS objects.
pub(super) struct EcsFormat {
    /// The end of every line.
    suffix: String,
}

impl EcsFormat {
    pub(super) fn new(identity: &Identity) -> Self {
        let mut suffix = String::new();
        for (name, value) in [
            ("event.dataset", Some("shoutback.log")),
            ("service.name", Some(identity.name.as_str())),
            ("service.version", Some(identity.version.as_str())),
            ("service.environment", identity.environment.as_deref()),
            ("service.node.name", identity.node.as_deref()),
            ("ecs.version", Some(ECS_VERSION)),
        ] {
            if let Some(value) = value {
                write_key(&mut suffix, name);
                write_string(&mut suffix, value);
            }
        }
        suffix.push_str("}\n");
        Self { suffix }
    }

    /// Appends one line, including its newline.
    pub(super) fn write(
        &self,
        line: &mut String,
        now: SystemTime,
        metadata: &Metadata<'_>,
        event: &Event<'_>,
    ) {
        line.push_str("{\"@timestamp\":\"");
        write_timestamp(line, now);
        line.push('"');
        write_key(line, "log.level");
        write_string(line, level_name(*metadata.level()));
        if let Some((trace, span)) = trace::current_ids() {
            line.push_str(",\"trace.id\":\"");
            trace::write_hex(line, &trace.to_bytes());
            line.push_str("\",\"span.id\":\"");
            trace::write_hex(line, &span.to_bytes());
            line.push('"');
        }
        if is_own_event(metadata) {
            let mut visitor = JsonVisitor { line, class: None };
            event.record(&mut visitor);
            if let Some((category, event_type)) = visitor.class {
                _ = write!(
                    line,
                    ",\"event.category\":[\"{category}\"],\"event.type\":[\"{event_type}\"]"
                );
            }
        } else {
            line.push_str(",\"message\":\"");
            event.record(&mut MessageVisitor::new(line, EscapeMode::Json));
            line.push('"');
        }
        write_key(line, "log.logger");
        write_string(line, metadata.target());
        line.push_str(&self.suffix);
    }
}

/// Writes `now` in RFC 3339 with microseconds. Each thread formats date and time once per second.
fn write_timestamp(line: &mut String, now: SystemTime) {
    thread_local! {
        /// A second since the epoch, and the timestamp up to its seconds.
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since_epoch.as_secs() {
            *second = since_epoch.as_secs();
            *text = humantime::format_rfc3339_seconds(now).to_string();
            text.truncate("2026-01-01T00:00:00".len());
        }
        line.push_str(text);
    });
    // The first digit is replaced by the point.
    let micros = 1_000_000 + since_epoch.subsec_micros();
    line.push('.');
    line.push_str(&itoa::Buffer::new().format(micros)[1..]);
    line.push('Z');
}

fn write_key(line: &mut String, name: &str) {
    // Field names are literals in our code and need no escaping.
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":");
}

fn write_string(line: &mut String, value: &str) {
    line.push('"');
    // Without `format_args!`, whose padding of strings costs more than the scan.
    _ = EscapingWriter::new(line, EscapeMode::Json).write_str(value);
    line.push('"');
}

/// Writes the fields of events of this crate as members of the object.
struct JsonVisitor<'a> {
    line: &'a mut String,
    /// Category and type that the event's action implies and the event does not set.
    class: Option<(&'static str, &'static str)>,
}

impl JsonVisitor<'_> {
    fn record_integer(&mut self, field: &Field, value: impl itoa::Integer) {
        write_key(self.line, field.name());
        self.line.push_str(itoa::Buffer::new().format(value));
    }
}

impl Visit for JsonVisitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinities and no NaN.
        if value.is_finite() {
            write_key(self.line, field.name());
            _ = write!(self.line, "{value}");
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_integer(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_integer(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        write_key(self.line, field.name());
        self.line.push_str(if value { "true" } else { "false" });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write_key(self.line, field.name());
        if ARRAY_FIELDS.contains(&field.name()) {
            for (index, item) in value.split(',').enumerate() {
                self.line.push(if index == 0 { '[' } else { ',' });
                write_string(self.line, item);
            }
            self.line.push(']');
        } else {
            write_string(self.line, value);
        }
        if field.name() == "event.action" {
            self.class = class(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write_key(self.line, field.name());
        self.line.push('"');
        _ = write!(EscapingWriter::new(self.line, EscapeMode::Json), "{value:?}");
        self.line.push('"');
    }
}

/// Writes all fields of an event into one message: field names of libraries would grow the search index without bound.
pub(super) struct MessageVisitor<'a> {
    text: EscapingWriter<'a>,
    is_first: bool,
}

impl<'a> MessageVisitor<'a> {
    pub(super) fn new(line: &'a mut String, mode: EscapeMode) -> Self {
        Self {
            text: EscapingWriter::new(line, mode),
            is_first: true,
        }
    }
}

impl Visit for MessageVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // Records of the `log` crate repeat their metadata in these fields.
        if name.starts_with("log.") {
            return;
        }
        let space = if std::mem::take(&mut self.is_first) {
            ""
        } else {
            " "
        };
        _ = match name {
            "message" => write!(self.text, "{space}{value:?}"),
            _ => write!(self.text, "{space}{name}={value:?}"),
        };
    }
}
