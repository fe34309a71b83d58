//! Configuration from environment variables.
//!
//! One small struct an area, each in a file of its own. Reading an area declares its variables: name, default, what is
//! accepted, meaning. `shoutback --help` prints those declarations, so what is documented is what is read. Every problem
//! is collected and reported at once; a message names the variable and what it accepts and never repeats the value.

mod auth;
mod breaker;
mod docs;
mod form;
mod http;
mod log;
mod otel;
mod reader;
mod shout;
mod shoutcloud;
mod url;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;

pub use self::auth::{Auth, Cognito, Pool, RateLimit};
pub use self::breaker::Breaker;
pub use self::docs::SignIn;
pub use self::form::Share;
pub use self::http::{Http, Lifecycle};
pub use self::log::{Log, LogFormat};
pub use self::otel::{Exporter, Otel, Propagator, Protocol, Sampler};
pub use self::reader::{Documentation, Problem};
pub use self::shout::{Cache, Fallback, Shout};
pub use self::shoutcloud::Shoutcloud;
pub use self::url::UpstreamUrl;

use self::reader::Reader;

/// Everything the service can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners and limits of the two HTTP servers.
    pub http: Http,
    /// How the process stops.
    pub lifecycle: Lifecycle,
    /// Who may call.
    pub auth: Auth,
    /// How often a client may call; `None` when off.
    pub rate_limit: Option<RateLimit>,
    /// The upstream.
    pub shoutcloud: Shoutcloud,
    /// What is kept of its answers, and what is done without one.
    pub shout: Shout,
    /// What is logged, and how.
    pub log: Log,
    /// Where readers of `/docs` sign in; `None` if nowhere.
    pub sign_in: Option<SignIn>,
    /// What is traced, and where that goes.
    pub otel: Otel,
}

/// A configuration that can be run, and what the operator should be told about it all the same.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Variables that look like ours and are not.
    pub warnings: Vec<String>,
}

/// Every problem of a configuration, in the order in which `--help` lists the variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads and checks the whole configuration.
    pub fn load(environment: &Environment) -> Result<Loaded, Problems> {
        let mut reader = Reader::new(environment);
        let config = Self::read(&mut reader);
        let (problems, documentation) = reader.finish();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Loaded {
            config,
            warnings: environment.unknown(&documentation),
        })
    }

    /// Where the admin listener of a service with this environment is, whatever else is wrong with it.
    pub fn admin_addr(environment: &Environment) -> Result<SocketAddr, Problem> {
        let mut reader = Reader::new(environment);
        let http = Http::read(&mut reader);
        let mut problems = reader.finish().0.into_iter();
        problems
            .find(|problem| problem.variable == "ADMIN_ADDR")
            .map_or(Ok(http.admin_addr), Err)
    }

    /// Every variable, in the order in which it is read.
    pub fn documentation() -> Vec<Documentation> {
        let nothing_set = Environment::default();
        let mut reader = Reader::new(&nothing_set);
        Self::read(&mut reader);
        reader.finish().1
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        let http = Http::read(reader);
        let lifecycle = Lifecycle::read(reader);
        let auth = Auth::read(reader);
        let rate_limit = RateLimit::read(reader);
        let shoutcloud = Shoutcloud::read(reader);
        let shout = Shout::read(reader);
        let log = Log::read(reader);
        let sign_in = SignIn::read(reader, &auth);
        let otel = Otel::read(reader);
        reader.contradiction(
            ["SHOUTCLOUD_DEADLINE", "REQUEST_TIMEOUT"],
            shoutcloud.deadline >= http.request_timeout,
            "must be shorter than REQUEST_TIMEOUT, or no request ever sees the deadline",
        );
        Self {
            http,
            lifecycle,
            auth,
            rate_limit,
            shoutcloud,
            shout,
            log,
            sign_in,
            otel,
        }
    }
}

/// Where variables come from: the process, or a test.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The variables of this process. One whose name is not Unicode cannot be ours.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
        )
    }

    /// Sets `name` unless it is set already.
    pub fn set_default(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.entry(name.to_owned()).or_insert_with(|| value.into());
    }

    /// Sets `name`, whatever it was.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn unknown(&self, documentation: &[Documentation]) -> Vec<String> {
        /// What the names of our variables begin with.
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
        /// Other programs read the first; we do not, and proxies are ignored. The others are OpenTelemetry's, for signals that
        /// are not sent this way, and may be set for all that runs somewhere.
        const NOT_OURS: [&str; 4] = [
            "HTTP_PROXY",
            "OTEL_EXPORTER_OTLP_LOGS_",
            "OTEL_EXPORTER_OTLP_METRICS_",
            "OTEL_EXPORTER_OTLP_PROFILES_",
        ];
        self.0
            .keys()
            .filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|name| !NOT_OURS.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|name| !documentation.iter().any(|known| known.name == *name))
            .map(|name| {
                format!("{name} is set, and no variable of shoutback has that name: see shoutback --help")
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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::{Config, Environment, Loaded};

    const COGNITO: [(&str, &str); 2] = [
        ("COGNITO_USER_POOL_IDS", "us-east-2_AbCdEfGhI"),
        ("COGNITO_CLIENT_IDS", "app1"),
    ];

    fn load(more: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
        let mut environment = Environment::from(COGNITO);
        for (name, value) in more {
            environment.set(name, value);
        }
        Config::load(&environment).map_err(|problems| problems.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_set_names_both_missing_variables() {
        let problems = Config::load(&Environment::default())
            .expect_err("Cognito is required")
            .to_string();
        assert_eq!(problems.lines().count(), 2, "{problems}");
        assert!(
            problems.contains("COGNITO_USER_POOL_IDS: is required"),
            "{problems}"
        );
        assert!(problems.contains("COGNITO_CLIENT_IDS: is required"), "{problems}");
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = load(&[]).expect("the minimum").config;
        assert_eq!(config.http.http_addr.to_string(), "0.0.0.0:5000");
        assert_eq!(config.http.max_body_bytes, 65_536);
        assert_eq!(config.shoutcloud.deadline.as_secs(), 5);
        let super::Auth::Cognito(cognito) = config.auth else {
            panic!("Cognito is the default")
        };
        assert_eq!(
            cognito.pools[0].issuer,
            "https://cognito-idp.us-east-2.amazonaws.com/us-east-2_AbCdEfGhI"
        );
        assert_eq!(cognito.required_scopes, ["shoutback/shout"]);
    }

    #[test]
    fn every_problem_is_reported_at_once_and_no_value_repeated() {
        let problems = load(&[
            ("HTTP_ADDR", "s3cret"),
            ("REQUEST_TIMEOUT", "s3cret"),
            ("MAX_BODY_BYTES", "-1"),
            ("AUTH_MODE", "s3cret"),
            ("COGNITO_USER_POOL_IDS", "s3cret"),
            ("COGNITO_ENDPOINT", "http://s3cret.example"),
            ("SHOUTCLOUD_URL", "ftp://s3cret"),
            ("RATE_LIMIT_PER_CLIENT", "s3cret"),
            ("LOG_FORMAT", "s3cret"),
        ])
        .expect_err("nine problems");
        assert_eq!(problems.len(), 9, "{problems:#?}");
        assert!(!problems.concat().contains("s3cret"), "{problems:#?}");
        assert!(
            problems.iter().all(|problem| problem.contains("must be")),
            "{problems:#?}"
        );
    }

    #[test]
    fn contradictions_are_problems() {
        for (variables, named) in [
            (
                &[("SHOUTCLOUD_ATTEMPT_TIMEOUT", "6s")][..],
                "SHOUTCLOUD_ATTEMPT_TIMEOUT",
            ),
            (&[("SHOUTCLOUD_DEADLINE", "30s")], "SHOUTCLOUD_DEADLINE"),
            (&[("BREAKER_SLOW_CALL", "2001ms")], "BREAKER_SLOW_CALL"),
            (
                &[
                    ("BREAKER_SLOW_CALL", "1s"),
                    ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "999ms"),
                ],
                "BREAKER_SLOW_CALL",
            ),
            (&[("HTTP_ADDR", "127.0.0.1:9090")], "ADMIN_ADDR"),
            (&[("COGNITO_JWKS_MAX_STALE", "5m")], "COGNITO_JWKS_MAX_STALE"),
            (&[("DOCS_CLIENT_ID", "app1")], "DOCS_COGNITO_DOMAIN"),
            (&[("DOCS_COGNITO_DOMAIN", "auth.example.com")], "DOCS_CLIENT_ID"),
            (
                &[
                    ("DOCS_COGNITO_DOMAIN", "auth.example.com"),
                    ("DOCS_CLIENT_ID", "app2"),
                ],
                "DOCS_CLIENT_ID",
            ),
        ] {
            let problems = load(variables).expect_err(named);
            assert_eq!(problems.len(), 1, "{problems:#?}");
            assert!(problems[0].starts_with(named), "{problems:#?}");
        }
        let problems =
            load(&[("SHOUTCLOUD_DEADLINE", "x"), ("REQUEST_TIMEOUT", "1s")]).expect_err("one bad value");
        assert_eq!(
            problems.len(),
            1,
            "a contradiction with a value that nobody gave: {problems:#?}"
        );
    }

    #[test]
    fn the_slow_rule_is_off_at_the_attempt_timeout_and_its_default_contradicts_nothing() {
        for (variables, slow_call) in [
            (&[][..], None),
            (&[("SHOUTCLOUD_ATTEMPT_TIMEOUT", "500ms")], None),
            (&[("SHOUTCLOUD_ATTEMPT_TIMEOUT", "3s")], Some(2_000)),
            (&[("BREAKER_SLOW_CALL", "1999ms")], Some(1_999)),
            (&[("BREAKER_SLOW_CALL", "2s")], None),
        ] {
            let config = load(variables).expect("valid").config;
            let slow_call = slow_call.map(std::time::Duration::from_millis);
            assert_eq!(config.shoutcloud.breaker.slow_call, slow_call, "{variables:?}");
        }
    }

    #[test]
    fn signing_in_takes_a_domain_and_a_client() {
        assert_eq!(load(&[]).expect("the minimum").config.sign_in, None);
        let config = load(&[
            ("DOCS_COGNITO_DOMAIN", "auth.example.com"),
            ("DOCS_CLIENT_ID", "app1"),
        ]);
        let sign_in = config.expect("valid").config.sign_in.expect("both are set");
        assert_eq!(sign_in.origin, "https://auth.example.com");
        assert_eq!(sign_in.client_id, "app1");
    }

    #[test]
    fn disabled_authentication_needs_no_cognito() {
        let environment = Environment::from([("AUTH_MODE", "disabled")]);
        assert!(matches!(
            Config::load(&environment).expect("allowed").config.auth,
            super::Auth::Disabled
        ));
    }

    #[test]
    fn an_empty_value_is_a_problem_unless_nothing_is_a_meaning() {
        assert!(load(&[("AUTH_REQUIRED_SCOPES", ""), ("AUTH_ALLOWED_GROUPS", "")]).is_ok());
        assert!(load(&[("REQUEST_TIMEOUT", "")]).is_err());
        assert!(load(&[("COGNITO_CLIENT_IDS", " , ")]).is_err());
    }

    #[test]
    fn what_is_not_unicode_is_a_problem() {
        let mut environment = Environment::from(COGNITO);
        environment.set("HTTP_ADDR", OsString::from_vec(vec![0xff]));
        assert!(Config::load(&environment).is_err());
    }

    #[test]
    fn unknown_variables_with_our_prefixes_are_warned_about() {
        let loaded =
            load(&[("COGNITO_CLIENT_ID", "x"), ("HTTP_PROXY", "x"), ("PATH", "x")]).expect("only warnings");
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].contains("COGNITO_CLIENT_ID "));
    }

    #[test]
    fn the_page_has_every_variable_and_no_other() {
        let page = include_str!("../docs/configuration.md");
        let row = |v: &super::Documentation| {
            format!(
                "| `{}` | `{}` | {} Accepts {}. |",
                v.name, v.default, v.meaning, v.accepts
            )
        };
        let expected: Vec<_> = Config::documentation().iter().map(row).collect();
        let found: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("| `") && line.contains("Accepts"))
            .collect();
        assert_eq!(found, expected, "the table should be:\n{}", expected.join("\n"));
    }

    #[test]
    fn every_variable_is_documented_once() {
        let documentation = Config::documentation();
        for (index, variable) in documentation.iter().enumerate() {
            assert!(
                documentation[..index]
                    .iter()
                    .all(|other| other.name != variable.name),
                "{}",
                variable.name
            );
            assert!(
                !variable.meaning.is_empty() && !variable.accepts.is_empty(),
                "{}",
                variable.name
            );
        }
    }
}
