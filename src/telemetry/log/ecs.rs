//! A line as a JSON object in the names of the Elastic Common Schema, dotted and flat.
//!
//! Written straight into the line: a map of values for every request would cost more than all the rest of it.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};

use super::escape::{Escaped, Into};
use super::{Identity, is_ours, level_name};
use crate::telemetry::trace;
use crate::version;

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "8.11.0";

/// Lists in the schema, of which our events have one item.
const LISTS: [&str; 2] = ["event.category", "event.type"];

/// Writes events as ECS objects.
pub(super) struct Ecs {
    /// What every line ends in.
    constant: String,
}

impl Ecs {
    pub(super) fn new(identity: &Identity) -> Self {
        let mut constant = String::new();
        for (name, value) in [
            ("event.dataset", Some("shoutback.log")),
            ("service.name", Some(identity.name.as_str())),
            ("service.version", Some(version::VERSION)),
            ("service.environment", identity.environment.as_deref()),
            ("service.node.name", identity.node.as_deref()),
            ("ecs.version", Some(ECS_VERSION)),
        ] {
            if let Some(value) = value {
                member(&mut constant, name);
                string(&mut constant, value);
            }
        }
        constant.push_str("}\n");
        Self { constant }
    }

    /// Appends one line, its end included.
    pub(super) fn write(
        &self,
        line: &mut String,
        now: SystemTime,
        metadata: &Metadata<'_>,
        event: &Event<'_>,
    ) {
        let (now, level) = (
            humantime::format_rfc3339_micros(now),
            level_name(*metadata.level()),
        );
        _ = write!(line, "{{\"@timestamp\":\"{now}\",\"log.level\":\"{level}\"");
        if let Some((trace, span)) = trace::current_ids() {
            _ = write!(line, ",\"trace.id\":\"{trace}\",\"span.id\":\"{span}\"");
        }
        if is_ours(metadata) {
            event.record(&mut Members(line));
        } else {
            line.push_str(",\"message\":\"");
            event.record(&mut Words::new(line, Into::Json));
            line.push('"');
        }
        member(line, "log.logger");
        string(line, metadata.target());
        line.push_str(&self.constant);
    }
}

fn member(line: &mut String, name: &str) {
    // Names are our own, and need no escape.
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":");
}

fn string(line: &mut String, value: impl fmt::Display) {
    line.push('"');
    _ = write!(Escaped::new(line, Into::Json), "{value}");
    line.push('"');
}

/// The fields of an event of ours as an object's members.
struct Members<'a>(&'a mut String);

impl Members<'_> {
    fn number(&mut self, field: &Field, value: impl fmt::Display) {
        member(self.0, field.name());
        _ = write!(self.0, "{value}");
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has neither infinities nor NaN.
        if value.is_finite() {
            self.number(field, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        member(self.0, field.name());
        if LISTS.contains(&field.name()) {
            self.0.push('[');
            string(self.0, value);
            self.0.push(']');
        } else {
            string(self.0, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        member(self.0, field.name());
        string(self.0, format_args!("{value:?}"));
    }
}

/// The fields of an event in one text: a library's own names would grow the index without end.
pub(super) struct Words<'a> {
    text: Escaped<'a>,
    is_first: bool,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a mut String, into: Into) -> Self {
        Self {
            text: Escaped::new(line, into),
            is_first: true,
        }
    }
}

impl Visit for Words<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // Where the `log` crate's records keep what stands in the metadata already.
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
