//! The environment variables that the configuration is read from.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use strsim::normalized_damerau_levenshtein;

use super::Documentation;

/// How the names of the service's variables start.
const PREFIXES: [&str; 19] = [
    "ADMIN_",
    "AUTH_",
    "BREAKER_",
    "CACHE_",
    "COGNITO_",
    "DOCS_",
    "HEADER_",
    "HTTP_",
    "IDLE_",
    "LOG_",
    "MAX_",
    "OTEL_BSP_",
    "OTEL_EXPORTER_OTLP_",
    "OTEL_TRACES_",
    "RATE_LIMIT_",
    "REQUEST_",
    "SHOUTCLOUD_",
    "SHUTDOWN_",
    "VALKEY_",
];
/// Variables of other programs that may be set for every process of a host. The service ignores proxies, and does not export
/// logs, metrics or profiles over OTLP.
const IGNORED_PREFIXES: [&str; 5] = [
    "HTTP_PROXY",
    "OTEL_BLRP_",
    "OTEL_EXPORTER_OTLP_LOGS_",
    "OTEL_EXPORTER_OTLP_METRICS_",
    "OTEL_EXPORTER_OTLP_PROFILES_",
];

/// A set of environment variables: those of the process, or those of a test.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Returns the variables of this process. Variables whose names are not Unicode are ignored.
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place that reads the environment"
    )]
    pub fn from_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
        )
    }

    /// Sets `name` unless it is already set.
    pub fn set_default(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.entry(name.to_owned()).or_insert_with(|| value.into());
    }

    /// Sets `name`, replacing any previous value.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Returns whether `name` is set.
    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    /// Returns a warning for each variable that starts like one of the service's but is not declared.
    pub(super) fn unknown_variables(&self, documentation: &[Documentation]) -> Vec<String> {
        let names: Vec<_> = documentation.iter().map(|variable| variable.name).collect();
        self.0
            .keys()
            .filter(|name| !names.contains(&name.as_str()))
            .filter(|name| !IGNORED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            .filter_map(|name| {
                let prefix = PREFIXES.iter().find(|prefix| name.starts_with(*prefix));
                let advice = match (closest(name, &names, prefix.copied()), prefix) {
                    (Some(known), _) => format!("did you mean {known}?"),
                    (None, Some(_)) => "see shoutback --help".to_owned(),
                    (None, None) => return None,
                };
                Some(format!(
                    "{name} is set, but shoutback has no variable of that name: {advice}"
                ))
            })
            .collect()
    }
}

/// Returns the variable that `name` is probably a misspelling of: the one with the same prefix whose rest is most similar.
fn closest<'a>(name: &str, names: &[&'a str], prefix: Option<&str>) -> Option<&'a str> {
    let (prefix, min_similarity) = match prefix {
        Some(prefix) => (prefix, 0.55),
        // OpenTelemetry has many variables that the service does not read.
        None => ("OTEL_", 0.85),
    };
    let rest = name.strip_prefix(prefix)?;
    names
        .iter()
        .filter_map(|known| Some((*known, known.strip_prefix(prefix)?)))
        .map(|(known, known_rest)| (known, normalized_damerau_levenshtein(rest, known_rest)))
        .filter(|(_, similarity)| *similarity >= min_similarity)
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(known, _)| known)
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        )
    }
}
