//! Configuration from environment variables.
//!
//! One struct per area, each in its own file. Reading an area declares its variables: name, default, accepted values and
//! description. `shoutback --help` prints these declarations, so documentation and code cannot differ. All problems are
//! collected and reported together. A message names the variable, what it accepts and what was read, except values that may be
//! secret.

mod auth;
mod breaker;
mod docs;
mod environment;
mod http;
mod log;
mod otel;
mod reader;
mod shout;
mod shoutcloud;
mod url;
mod valkey;
mod value_parser;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;

pub use self::auth::{Auth, Cognito, Pool, RateLimit};
pub use self::breaker::Breaker;
pub use self::docs::SignIn;
pub use self::environment::Environment;
pub use self::http::{Http, Lifecycle};
pub use self::log::{Log, LogFormat};
pub use self::otel::{Exporter, Otel, Propagator, Protocol};
pub use self::reader::{Documentation, Problem};
pub use self::shout::{Cache, Fallback, Shout};
pub use self::shoutcloud::Shoutcloud;
pub use self::url::UpstreamUrl;
pub use self::valkey::{Valkey, ValkeyUrl};
pub use self::value_parser::Ratio;

use self::reader::Reader;

/// The configuration of the service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners and limits of the two HTTP servers.
    pub http: Http,
    /// Graceful shutdown.
    pub lifecycle: Lifecycle,
    /// Authentication.
    pub auth: Auth,
    /// Rate limit per client; `None` disables it.
    pub rate_limit: Option<RateLimit>,
    /// The state that replicas share; `None` if each has its own.
    pub valkey: Option<Valkey>,
    /// The upstream.
    pub shoutcloud: Shoutcloud,
    /// The cache of upstream responses, and the fallback while the upstream is unavailable.
    pub shout: Shout,
    /// Logging.
    pub log: Log,
    /// Sign-in on `/docs`; `None` disables it.
    pub sign_in: Option<SignIn>,
    /// Tracing.
    pub otel: Otel,
}

/// A valid configuration, with warnings for the operator.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// One per variable whose name starts like one of the service's but is unknown.
    pub warnings: Vec<String>,
}

/// All problems of a configuration, in the order in which `--help` lists the variables.
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
    /// Reads and validates the whole configuration.
    pub fn load(environment: &Environment) -> Result<Loaded, Problems> {
        let mut reader = Reader::new(environment);
        let config = Self::read(&mut reader);
        let (problems, documentation) = reader.finish();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Loaded {
            config,
            warnings: environment.unknown_variables(&documentation),
        })
    }

    /// Reads the configuration with its defaults instead of invalid values, for a command that does not run the service.
    pub fn with_defaults(environment: &Environment) -> Self {
        Self::read(&mut Reader::new(environment))
    }

    /// Returns the address of the admin listener, ignoring problems with other variables.
    pub fn admin_addr(environment: &Environment) -> Result<SocketAddr, Problem> {
        let mut reader = Reader::new(environment);
        let http = Http::read(&mut reader);
        let mut problems = reader.finish().0.into_iter();
        problems
            .find(|problem| problem.variable == "ADMIN_ADDR")
            .map_or(Ok(http.admin_addr), Err)
    }

    /// Returns every variable, in the order in which they are read.
    pub fn documentation() -> Vec<Documentation> {
        let empty = Environment::default();
        let mut reader = Reader::new(&empty);
        Self::read(&mut reader);
        reader.finish().1
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        let http = Http::read(reader);
        let lifecycle = Lifecycle::read(reader);
        let auth = Auth::read(reader);
        let rate_limit = RateLimit::read(reader);
        let valkey = Valkey::read(reader);
        let shoutcloud = Shoutcloud::read(reader);
        let shout = Shout::read(reader);
        let log = Log::read(reader);
        let sign_in = SignIn::read(reader, &auth);
        let otel = Otel::read(reader);
        reader.conflict(
            ["SHOUTCLOUD_DEADLINE", "REQUEST_TIMEOUT"],
            shoutcloud.deadline >= http.request_timeout,
            "must be shorter than REQUEST_TIMEOUT, or the deadline never takes effect",
        );
        reader.conflict(
            ["CACHE_SHARED", "CACHE_CAPACITY"],
            valkey.as_ref().is_some_and(|valkey| valkey.shares_cache) && shout.cache.capacity == 0,
            "needs a CACHE_CAPACITY above 0, which disables all caching",
        );
        Self {
            http,
            lifecycle,
            auth,
            rate_limit,
            valkey,
            shoutcloud,
            shout,
            log,
            sign_in,
            otel,
        }
    }
}
