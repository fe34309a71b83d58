//! Who may call, and how often.

use std::num::NonZeroU32;
use std::time::Duration;

use super::form::{count, duration, list, one_of, rate_or_off};
use super::reader::Reader;
use super::url::endpoint;

/// Who may call.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Holders of a Cognito access token.
    Cognito(Cognito),
    /// Everybody, as the client `anonymous`.
    Disabled,
}

/// Which Cognito access tokens are accepted.
#[derive(Debug, Clone)]
pub struct Cognito {
    /// The pools whose tokens are accepted.
    pub pools: Vec<Pool>,
    /// The app clients whose tokens are accepted.
    pub client_ids: Vec<String>,
    /// Time between two fetches of a pool's keys.
    pub refresh: Duration,
    /// How long known keys survive without a successful fetch.
    pub max_stale: Duration,
    /// Scopes a token must have, all of them.
    pub required_scopes: Vec<String>,
    /// Groups of which a token must have one; empty: no group is asked for.
    pub allowed_groups: Vec<String>,
    /// How far the pool's clock and ours may differ.
    pub leeway: Duration,
}

/// One Cognito user pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Such as `us-east-2_AbCdEfGhI`.
    pub id: String,
    /// What its tokens carry as `iss`.
    pub issuer: String,
    /// Where its keys are published.
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
            "Who may call: holders of a Cognito access token, or (disabled) everybody, as the client `anonymous`.",
        );
        // Whoever misspelt `disabled` is not to be asked for pools.
        let needed = matches!(mode, Mode::Cognito) && reader.is_readable("AUTH_MODE");
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
            "The user pools whose access tokens are accepted; the region is read from the id.",
        );
        let client_ids = reader.required(
            "COGNITO_CLIENT_IDS",
            needed,
            list(false, "app client ids", is_client_id),
            "The app clients whose access tokens are accepted.",
        );
        let issuers = reader.optional(
            "COGNITO_ENDPOINT",
            "AWS's",
            endpoint(),
            "Where the pools are, if not at AWS: a pool's issuer is this, a slash and the pool's id.",
        );
        let keys = reader.optional(
            "COGNITO_JWKS_ENDPOINT",
            "COGNITO_ENDPOINT",
            endpoint(),
            "Where the pools' keys are fetched, if not at the issuer: {this}/{pool id}/.well-known/jwks.json.",
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
                "Time between two fetches of a pool's keys: while they can be fetched, a revoked key works no longer than this.",
            ),
            max_stale: reader.value(
                "COGNITO_JWKS_MAX_STALE",
                "24h",
                duration("100ms", "30d"),
                "How long known keys are used while the key server cannot be reached.",
            ),
            required_scopes: reader.value(
                "AUTH_REQUIRED_SCOPES",
                "shoutback/shout",
                list(true, "scopes", is_scope),
                "Scopes a token must have, all of them.",
            ),
            allowed_groups: reader
                .optional(
                    "AUTH_ALLOWED_GROUPS",
                    "none",
                    list(true, "group names", |group| (1..=128).contains(&group.len())),
                    "Groups of which a token must have one in `cognito:groups`; none: no group is asked for.",
                )
                .unwrap_or_default(),
            leeway: reader.value(
                "AUTH_CLOCK_LEEWAY",
                "30s",
                duration("0ms", "5m"),
                "How far the pool's clock and this machine's may differ when `exp` and `nbf` are checked.",
            ),
        };
        reader.contradiction(
            ["COGNITO_JWKS_MAX_STALE", "COGNITO_JWKS_REFRESH"],
            cognito.max_stale < cognito.refresh,
            "must not be shorter than COGNITO_JWKS_REFRESH, or keys expire before they are fetched again",
        );
        cognito
    }
}

/// AWS's endpoint of the region in a pool's id; China is a partition with a domain of its own.
fn aws_endpoint(pool_id: &str) -> String {
    let region = pool_id.split_once('_').map_or(pool_id, |(region, _)| region);
    let suffix = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://cognito-idp.{region}.{suffix}")
}

/// AWS's own pattern is `[\w-]+_[0-9a-zA-Z]+`, at most 55 characters.
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
    (1..=128).contains(&id.len()) && id.chars().all(is_word)
}

/// AWS's pattern of an app client's id is `[\w+]+`; a hyphen is let in for emulators that use UUIDs.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-')
}

/// A `scope-token` of RFC 6749 section 3.3.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// How often one client may call: a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Time after which one more request is allowed.
    pub replenish_one: Duration,
    /// Requests a client that was quiet may make at once.
    pub burst: NonZeroU32,
}

impl RateLimit {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let rate = reader.value(
            "RATE_LIMIT_PER_CLIENT",
            "100/s",
            rate_or_off(),
            "Lasting rate of one client on one replica: by client id, and by person where the token belongs to one.",
        );
        let burst = reader.value(
            "RATE_LIMIT_BURST",
            "200",
            count(1_000_000),
            "Requests that a client which was quiet may make at once.",
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
