//! Authentication and rate limiting of clients.

mod pools;

use std::num::NonZeroU32;
use std::time::Duration;

pub use self::pools::Pool;

use self::pools::{Partition, is_pool_id, region};
use super::reader::{Reader, UNSET};
use super::url::{Endpoint, endpoint};
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
    /// Values of which `aud` must contain one, if a token has it; if empty, tokens with `aud` are rejected.
    pub audiences: Vec<String>,
    /// Tolerated clock difference between Cognito and this host.
    pub leeway: Duration,
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
        let endpoint_of_all = reader.optional(
            "COGNITO_ENDPOINT",
            UNSET,
            endpoint(),
            "Base URL of Cognito, if not AWS's: the only issuer of a pool is {this}/{pool id}.",
        );
        let keys = reader.optional(
            "COGNITO_JWKS_ENDPOINT",
            "COGNITO_ENDPOINT",
            endpoint(),
            "Base URL of the key server, if not the issuer: key sets are fetched from {this}/{pool id}/.well-known/jwks.json.",
        );
        let additional_regions = reader.optional(
            "COGNITO_ADDITIONAL_REGIONS",
            UNSET,
            list(true, "AWS regions such as eu-west-1", |region| {
                Partition::of(region).is_some()
            }),
            "Other regions of replicated user pools, whose issuers are accepted too.",
        );
        let pool_ids = pool_ids.unwrap_or_default();
        let additional_regions = additional_regions.unwrap_or_default();
        if endpoint_of_all.is_none() {
            check_regions(reader, &pool_ids, &additional_regions);
        }
        reader.conflict(
            ["COGNITO_ADDITIONAL_REGIONS", "COGNITO_ENDPOINT"],
            endpoint_of_all.is_some() && !additional_regions.is_empty(),
            "must not be set together with COGNITO_ENDPOINT, which is then the only issuer",
        );
        let keys = keys.as_ref().map(Endpoint::as_str);
        let pools = pool_ids
            .iter()
            .filter_map(|id| match endpoint_of_all.as_ref().map(Endpoint::as_str) {
                Some(endpoint) => Some(Pool::at(id, endpoint, keys.unwrap_or(endpoint))),
                None => Pool::in_aws(id, keys, &additional_regions),
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
                    UNSET,
                    list(true, "group names", |group| (1..=128).contains(&group.len())),
                    "Groups of which a token must have at least one in `cognito:groups`; if empty, no group is required.",
                )
                .unwrap_or_default(),
            audiences: reader
                .optional(
                    "AUTH_AUDIENCES",
                    UNSET,
                    list(true, "audiences such as https://api.example.com", is_audience),
                    "Names of this API in the `aud` of tokens that are bound to a resource; if empty, a token with `aud` is rejected.",
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

/// Reports pools and additional regions whose issuers in AWS are unknown.
fn check_regions(reader: &mut Reader<'_>, pool_ids: &[String], additional_regions: &[String]) {
    let partition_of_pool = |id: &String| Partition::of(region(id));
    reader.conflict(
        ["COGNITO_USER_POOL_IDS", "COGNITO_ENDPOINT"],
        pool_ids.iter().any(|id| partition_of_pool(id).is_none()),
        "must be pools in regions of known AWS partitions, or COGNITO_ENDPOINT must be set to their issuer",
    );
    reader.conflict(
        ["COGNITO_ADDITIONAL_REGIONS", "COGNITO_USER_POOL_IDS"],
        !pool_ids.is_empty()
            && additional_regions.iter().any(|additional| {
                let partition = Partition::of(additional);
                !pool_ids.iter().any(|id| partition_of_pool(id) == partition)
            }),
        "must be in the AWS partition of a pool of COGNITO_USER_POOL_IDS",
    );
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

/// Returns whether `audience` can be a `StringOrURI` (RFC 7519 section 2) that is written in a list.
fn is_audience(audience: &str) -> bool {
    (1..=256).contains(&audience.len()) && !audience.chars().any(|c| c.is_whitespace() || c.is_control())
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
            "Sustained request rate per client, and per replica without VALKEY_URL; per client id and user if the token belongs to a user.",
        );
        let burst = reader.value(
            "RATE_LIMIT_BURST",
            "200",
            count(1_000_000),
            "Maximum burst of requests per client, and per replica without VALKEY_URL.",
        );
        rate.map(|rate| Self {
            replenish_one: rate.every / rate.number.get(),
            burst,
        })
    }
}
