//! What is logged, and how.

use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use super::form::{Form, one_of, size};
use super::reader::Reader;

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Directives such as `info,shoutback::auth=debug`.
    pub filter: String,
    /// A file that gets every line too.
    pub file: Option<PathBuf>,
    /// For that file and the older ones beside it, together.
    pub file_max_bytes: u64,
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
                "How a log line on stdout looks: JSON in the names of the Elastic Common Schema, or for people.",
            ),
            filter: reader.value(
                "RUST_LOG",
                "info",
                filter(),
                "What is logged: a level, and others by module. Libraries log no more than info.",
            ),
            file: reader.optional(
                "LOG_FILE",
                "none",
                absolute_path(),
                "A file that gets every line too, as JSON; older ones beside it end in .1 to .3.",
            ),
            file_max_bytes: reader.value(
                "LOG_FILE_MAX_BYTES",
                "64MiB",
                size("64KiB", "64GiB"),
                "What that file and the older ones may take together; then the oldest goes.",
            ) as u64,
        }
    }
}

fn filter() -> Form<String> {
    Form::new(
        "tracing directives, such as info or info,shoutback::auth=debug",
        |text| {
            let valid = tracing_subscriber::EnvFilter::builder().parse(text).is_ok();
            (valid && !text.is_empty() && text.split(',').all(says_how_much)).then(|| text.to_owned())
        },
    )
}

/// A word alone is a module of which everything is logged, and of all others nothing: a level that is misspelt, that is. And
/// after an equals sign, nothing is everything.
fn says_how_much(directive: &str) -> bool {
    if directive.ends_with('=') {
        return false;
    }
    let is_word = !directive.contains(['=', '[']);
    !is_word || directive.parse::<LevelFilter>().is_ok() || directive.starts_with("shoutback")
}

/// Relative to what would depend on who starts the process.
fn absolute_path() -> Form<PathBuf> {
    Form::new(
        "an absolute path of a file, such as /var/log/shoutback/shoutback.log",
        |text| {
            let is_file = text.starts_with('/') && !text.ends_with(['/', '.']) && !text.contains('\0');
            is_file.then(|| text.into())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{absolute_path, filter};

    #[test]
    fn a_misspelt_level_is_no_directive() {
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

    #[test]
    fn a_log_file_is_named_from_the_root() {
        let parse = absolute_path().parse;
        assert!(parse("/var/log/shoutback.log").is_some());
        for text in [
            "",
            "shoutback.log",
            "./shoutback.log",
            "/",
            "/var/log/",
            "/var/log/.",
            "/var/log/..",
            "/a\0b",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
