//! What is logged, and how.

use super::form::{Form, one_of};
use super::reader::Reader;

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Directives such as `info,shoutback::auth=debug`.
    pub filter: String,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, in the names of the Elastic Common Schema.
    Ecs,
    /// For people.
    Pretty,
}

impl Log {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            format: reader.value(
                "LOG_FORMAT",
                "ecs",
                one_of(&[("ecs", LogFormat::Ecs), ("pretty", LogFormat::Pretty)]),
                "How a log line looks: JSON in the names of the Elastic Common Schema, or for people.",
            ),
            filter: reader.value(
                "RUST_LOG",
                "info",
                filter(),
                "What is logged: a level, and others by module.",
            ),
        }
    }
}

fn filter() -> Form<String> {
    Form::new(
        "tracing directives, such as info or info,shoutback::auth=debug",
        |text| {
            let valid = tracing_subscriber::EnvFilter::builder().parse(text).is_ok();
            (valid && !text.is_empty()).then(|| text.to_owned())
        },
    )
}
