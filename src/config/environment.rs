//! The environment variables that the configuration is read from.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::Documentation;

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

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    /// Returns a warning for each variable that starts like one of the service's but is not declared.
    pub(super) fn unknown_variables(&self, documentation: &[Documentation]) -> Vec<String> {
        /// How the names of the service's variables start.
        const PREFIXES: [&str; 18] = [
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
        ];
        /// Variables of other programs that may be set for every process of a host. The service ignores proxies, and does
        /// not export logs, metrics or profiles over OTLP.
        const IGNORED_PREFIXES: [&str; 4] = [
            "HTTP_PROXY",
            "OTEL_EXPORTER_OTLP_LOGS_",
            "OTEL_EXPORTER_OTLP_METRICS_",
            "OTEL_EXPORTER_OTLP_PROFILES_",
        ];
        self.0
            .keys()
            .filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|name| !IGNORED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|name| !documentation.iter().any(|known| known.name == *name))
            .map(|name| {
                format!("{name} is set, but shoutback has no variable of that name: see shoutback --help")
            })
            .collect()
    }
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
