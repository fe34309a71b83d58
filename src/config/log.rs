//! Logging: format, filter, and the log file.

use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use super::reader::{Reader, UNSET};
use super::value_parser::{ValueParser, absolute_path, one_of, size};

/// Settings of the log.
#[derive(Debug, Clone)]
pub struct Log {
    /// Format of the lines on stdout.
    pub format: LogFormat,
    /// Filter directives such as `info,shoutback::auth=debug`.
    pub filter: String,
    /// A file to which every line is written as well.
    pub file: Option<PathBuf>,
    /// Maximum total size of that file and its rotated predecessors.
    pub file_max_bytes: u64,
}

/// Format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line, with the field names of the Elastic Common Schema.
    Ecs,
    /// Human-readable text.
    Pretty,
}

impl Log {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            format: reader.value(
                "LOG_FORMAT",
                "ecs",
                one_of(&[("ecs", LogFormat::Ecs), ("pretty", LogFormat::Pretty)]),
                "Format of log lines on stdout: JSON of the Elastic Common Schema (ecs), or human-readable text (pretty).",
            ),
            filter: reader.value(
                "RUST_LOG",
                "info",
                filter(),
                "Log level, optionally with other levels per module. Libraries log at most at level info.",
            ),
            file: reader.optional(
                "LOG_FILE",
                UNSET,
                absolute_path("/var/log/shoutback/shoutback.log"),
                "A file to which every line is written as well, as JSON; rotated files end in .1 to .3.",
            ),
            file_max_bytes: reader.value(
                "LOG_FILE_MAX_BYTES",
                "64MiB",
                size("64KiB", "64GiB"),
                "Maximum total size of the log file and the rotated files; beyond it the oldest is deleted.",
            ) as u64,
        }
    }
}

fn filter() -> ValueParser<String> {
    ValueParser::new(
        "tracing directives, such as info or info,shoutback::auth=debug",
        |text| {
            let valid = tracing_subscriber::EnvFilter::builder().parse(text).is_ok();
            (valid && !text.is_empty() && text.split(',').all(is_valid_directive)).then(|| text.to_owned())
        },
    )
}

/// Returns whether `directive` means what it looks like. `EnvFilter` reads a misspelt level as the name of a module of which
/// everything is logged, and nothing of any other; and it reads `module=` as the level trace.
fn is_valid_directive(directive: &str) -> bool {
    if directive.ends_with('=') {
        return false;
    }
    let is_word = !directive.contains(['=', '[']);
    !is_word || directive.parse::<LevelFilter>().is_ok() || directive.starts_with("shoutback")
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_misspelt_level_is_rejected() {
        let parse = filter().parse;
        for text in [
            "info",
            "WARN",
            "off",
            "3",
            "shoutback=debug",
            "shoutback::auth",
            "warn,shoutback::auth=debug",
            "info,hyper=warn",
            "[request]=debug",
        ] {
            assert!(parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "inof",
            "info,dbug",
            "shoutback=inof",
            "info,shoutback::auth=",
            "a\"b",
            "info;debug",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
