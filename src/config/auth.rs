//! Authentication and rate limiting of clients.

use std::num::NonZeroU32;
use std::time::Duration;

use super::reader::Reader;
use super::url::endpoint;
use super::value_parser::{count, duration, list, one_of, rate_or_off};

/// How requests are authenticated.
#[derive(Debug, Clone)]
pub enum Auth {
    /// By a Cognito access token.
    Cognito(Cognito),
    /// Not at all: every request belongs to the client `anonymous`.
    Disabled,
}

/// Which Cognito access tokens are accepted.
#[derive(Debug, Clone)]
pub struct Cognito {
    /// User pools whose tokens are accepted.
    pub pools: Vec<Pool>,
    /// App clients whose tokens are accepted.
    pub client_ids: Vec<String>,
    /// Interval between two fetches of a pool's key set.
    pub refresh: Duration,
    /// How long keys are used after the last successful fetch.
    pub max_stale: Duration,
    /// Scopes that a token must have; all are required.
    pub required_scopes: Vec<String>,
    /// Groups of which a token must have at least one; if empty, no group is required.
    pub allowed_groups: Vec<String>,
    /// Tolerated clock difference between Cognito and this host.
    pub leeway: Duration,
}

/// One Cognito user pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The pool id, such as `us-east-2_AbCdEfGhI`.
    pub id: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The URL of its key set.
    pub jwks_url: String,
}

#[derive(Clone, Copy)]
enum Mode {
    Cognito,
    Disabled,
}

impl Auth {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mode = reader.value(
            "AUTH_MODE",
            "cognito",
            one_of(&[("cognito", Mode::Cognito), ("disabled", Mode::Disabled)]),
            "How requests are authenticated: by a Cognito access token (cognito), or not at all, as the client `anonymous` (disabled).",
        );
        // With a misspelt `disabled`, missing pools are not worth reporting.
        let needed = matches!(mode, Mode::Cognito) && reader.is_valid("AUTH_MODE");
        let cognito = Cognito::read(reader, needed);
        match mode {
            Mode::Cognito => Self::Cognito(cognito),
            Mode::Disabled => Self::Disabled,
        }
    }
}

impl Cognito {
    fn read(reader: &mut Reader<'_>, needed: bool) -> Self {
        let pool_ids = reader.required(
            "COGNITO_USER_POOL_IDS",
            needed,
            list(false, "user pool ids such as us-east-2_AbCdEfGhI", is_pool_id),
            "User pools whose access tokens are accepted; the AWS region is part of the id.",
        );
        let client_ids = reader.required(
            "COGNITO_CLIENT_IDS",
            needed,
            list(false, "app client ids", is_client_id),
            "App clients whose access tokens are accepted.",
        );
        let issuers = reader.optional(
            "COGNITO_ENDPOINT",
            "AWS's",
            endpoint(),
            "Base URL of Cognito, if not AWS's: the issuer of a pool is {this}/{pool id}.",
        );
        let keys = reader.optional(
            "COGNITO_JWKS_ENDPOINT",
            "COGNITO_ENDPOINT",
            endpoint(),
            "Base URL of the key server, if not the issuer: key sets are fetched from {this}/{pool id}/.well-known/jwks.json.",
        );
        let pools = pool_ids
            .unwrap_or_default()
            .into_iter()
            .map(|id| {
                let issuers = issuers
                    .as_ref()
                    .map_or_else(|| aws_endpoint(&id), |at| at.as_str().to_owned());
                let keys = keys.as_ref().map_or(issuers.as_str(), |at| at.as_str());
                Pool {
                    issuer: format!("{issuers}/{id}"),
                    jwks_url: format!("{keys}/{id}/.well-known/jwks.json"),
                    id,
                }
            })
            .collect();
        let cognito = Self {
            pools,
            client_ids: client_ids.unwrap_or_default(),
            refresh: reader.value(
                "COGNITO_JWKS_REFRESH",
                "10m",
                duration("100ms", "24h"),
                "Interval between two fetches of a pool's key set; while fetches succeed, a revoked key is accepted for at most this long.",
            ),
            max_stale: reader.value(
                "COGNITO_JWKS_MAX_STALE",
                "24h",
                duration("100ms", "30d"),
                "How long keys are used after the last successful fetch, if the key server is unavailable.",
            ),
            required_scopes: reader.value(
                "AUTH_REQUIRED_SCOPES",
                "shoutback/shout",
                list(true, "scopes", is_scope),
                "Scopes that a token must have; all are required.",
            ),
            allowed_groups: reader
                .optional(
                    "AUTH_ALLOWED_GROUPS",
                    "none",
                    list(true, "group names", |group| (1..=128).contains(&group.len())),
                    "Groups of which a token must have at least one in `cognito:groups`; if empty, no group is required.",
                )
                .unwrap_or_default(),
            leeway: reader.value(
                "AUTH_CLOCK_LEEWAY",
                "30s",
                duration("0ms", "5m"),
                "Tolerated clock difference between Cognito and this host when `exp` and `nbf` are checked.",
            ),
        };
        reader.conflict(
            ["COGNITO_JWKS_MAX_STALE", "COGNITO_JWKS_REFRESH"],
            cognito.max_stale < cognito.refresh,
            "must not be shorter than COGNITO_JWKS_REFRESH, or keys expire before they are fetched again",
        );
        cognito
    }
}

/// Returns AWS's endpoint in the region of `pool_id`. China is a partition with its own domain.
fn aws_endpoint(pool_id: &str) -> String {
    let region = pool_id.split_once('_').map_or(pool_id, |(region, _)| region);
    let suffix = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://cognito-idp.{region}.{suffix}")
}

/// Returns whether `id` can be a pool id. AWS's pattern is `[\w-]+_[0-9a-zA-Z]+`, at most 55 characters.
fn is_pool_id(id: &str) -> bool {
    let is_region = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    id.len() <= 55
        && id.split_once('_').is_some_and(|(region, name)| {
            !region.is_empty()
                && region.chars().all(is_region)
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric())
        })
}

pub(super) fn is_client_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.chars().all(is_client_id_char)
}

/// AWS's pattern for app client ids is `[\w+]+`. Hyphens are accepted too, for emulators that use UUIDs.
fn is_client_id_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-')
}

/// Returns whether `scope` is a `scope-token` (RFC 6749 section 3.3).
fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// A token bucket per client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Interval at which one request is added to the bucket.
    pub replenish_one: Duration,
    /// Capacity of the bucket.
    pub burst: NonZeroU32,
}

impl RateLimit {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let rate = reader.value(
            "RATE_LIMIT_PER_CLIENT",
            "100/s",
            rate_or_off(),
            "Sustained request rate per client and replica; per client id and user if the token belongs to a user.",
        );
        let burst = reader.value(
            "RATE_LIMIT_BURST",
            "200",
            count(1_000_000),
            "Maximum burst of requests per client and replica.",
        );
        rate.map(|rate| Self {
            replenish_one: rate.every / rate.number.get(),
            burst,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{aws_endpoint, is_pool_id};

    #[test]
    fn the_region_is_read_from_the_pool_id() {
        assert_eq!(
            aws_endpoint("eu-west-1_a"),
            "https://cognito-idp.eu-west-1.amazonaws.com"
        );
        assert_eq!(
            aws_endpoint("cn-north-1_a"),
            "https://cognito-idp.cn-north-1.amazonaws.com.cn"
        );
    }

    #[test]
    fn pool_ids() {
        assert!(is_pool_id("us-east-2_AbCdEfGhI"));
        for id in [
            "",
            "us-east-2",
            "_a",
            "us-east-2_",
            "us-east-2_a/b",
            "us-east-2_a_b",
            "us.east_a",
            "US-EAST-2_a",
        ] {
            assert!(!is_pool_id(id), "{id}");
        }
    }
}
