//! The state that replicas share, in Valkey or another server of the Redis protocol.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::reader::{Reader, UNSET};
use super::value_parser::{ValueParser, absolute_path, duration, one_of};

const DEFAULT_PORT: u16 = 6379;

/// The connection to Valkey, and what is shared through it.
#[derive(Debug, Clone)]
pub struct Valkey {
    /// The server.
    pub url: ValkeyUrl,
    /// The file with the password, if it is not part of the URL.
    pub password_file: Option<PathBuf>,
    /// Time limit of one command.
    pub timeout: Duration,
    /// Whether cached responses are shared, besides the quotas.
    pub shares_cache: bool,
}

/// The URL of Valkey. It may contain a password, so `Debug` prints only the address.
#[derive(Clone, PartialEq, Eq)]
pub struct ValkeyUrl {
    /// The host name or address, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// The number of the database.
    pub database: i64,
    /// The user; `None` is the default user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl fmt::Debug for ValkeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}:{}/…", self.host, self.port)
    }
}

impl Valkey {
    /// Returns `None` if `VALKEY_URL` is unset.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.optional(
            "VALKEY_URL",
            UNSET,
            valkey_url(),
            "Valkey or Redis, in which the replicas share their state; rediss: verifies the server. Each environment needs a server or a database of its own, because keys do not name it.",
        );
        let password_file = reader.optional(
            "VALKEY_PASSWORD_FILE",
            UNSET,
            absolute_path("/run/secrets/valkey"),
            "File with the password of VALKEY_URL; it is read for each connection, so that a rotated password needs no restart.",
        );
        let timeout = reader.value(
            "VALKEY_TIMEOUT",
            "20ms",
            duration("1ms", "1s"),
            "Time limit of one command, and the longest that a request waits for Valkey before it continues without.",
        );
        let shares_cache = reader.value(
            "CACHE_SHARED",
            "off",
            one_of(&[("off", false), ("on", true)]),
            "Whether cached responses are shared through Valkey; texts then leave the process.",
        );
        reader.conflict(
            ["CACHE_SHARED", "VALKEY_URL"],
            shares_cache && url.is_none(),
            "must not be on without VALKEY_URL",
        );
        reader.conflict(
            ["VALKEY_PASSWORD_FILE", "VALKEY_URL"],
            password_file.is_some() && url.as_ref().is_none_or(|url| url.password.is_some()),
            "must not be set without a VALKEY_URL that has no password",
        );
        url.map(|url| Self {
            url,
            password_file,
            timeout,
            shares_cache,
        })
    }
}

fn valkey_url() -> ValueParser<ValkeyUrl> {
    ValueParser::new(
        "a redis: or rediss: (TLS) URL with a host, and optionally a user, a password, a port and the number of a database, such as rediss://cache.example.com:6379",
        parse,
    )
    .secret()
}

fn parse(text: &str) -> Option<ValkeyUrl> {
    let url = Url::parse(text).ok()?;
    let tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        _ => return None,
    };
    if url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        number => i64::from(number.parse::<u16>().ok()?),
    };
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let user = match url.username() {
        "" => None,
        user => Some(decoded(user)?),
    };
    let password = match url.password() {
        None => None,
        Some(password) => Some(decoded(password)?),
    };
    Some(ValkeyUrl {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(DEFAULT_PORT),
        tls,
        database,
        user,
        password,
    })
}

#[cfg(test)]
mod tests {
    use super::{ValkeyUrl, valkey_url};

    #[test]
    fn every_part_of_a_url_is_read() {
        let parse = valkey_url().parse;
        let plain = ValkeyUrl {
            host: "cache".to_owned(),
            port: 6379,
            tls: false,
            database: 0,
            user: None,
            password: None,
        };
        assert_eq!(parse("redis://cache"), Some(plain.clone()));
        assert_eq!(parse("redis://cache:6379/0"), Some(plain));
        assert_eq!(
            parse("rediss://app:p%40ss%2F@[::1]:7000/3"),
            Some(ValkeyUrl {
                host: "::1".to_owned(),
                port: 7000,
                tls: true,
                database: 3,
                user: Some("app".to_owned()),
                password: Some("p@ss/".to_owned()),
            })
        );
        let default_user = parse("redis://:s3cret@cache").expect("a URL");
        assert_eq!(
            (default_user.user.as_deref(), default_user.password.as_deref()),
            (None, Some("s3cret"))
        );
    }

    #[test]
    fn other_urls_are_rejected() {
        for text in [
            "",
            "cache:6379",
            "http://cache",
            "redis://",
            "redis:///0",
            "redis://cache/x",
            "redis://cache/-1",
            "redis://cache/1/2",
            "redis://cache?password=s3cret",
            "redis://cache#x",
            "rediss://cache/#insecure",
            "redis://a:%ff@cache",
            "unix:///run/valkey.sock",
        ] {
            assert_eq!((valkey_url().parse)(text), None, "{text}");
        }
    }

    #[test]
    fn debug_contains_no_secret() {
        let url = (valkey_url().parse)("rediss://app:s3cret@cache:7000/1").expect("a URL");
        assert_eq!(format!("{url:?}"), "rediss://cache:7000/…");
    }
}
