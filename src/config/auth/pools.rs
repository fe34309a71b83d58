//! User pools: their issuers and key sets, in AWS or at another endpoint.

/// One Cognito user pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The pool id, such as `us-east-2_AbCdEfGhI`.
    pub id: String,
    /// The first `iss` of its tokens, which names the pool in logs and readiness reasons.
    pub issuer: String,
    /// Further accepted values of `iss`.
    pub other_issuers: Vec<String>,
    /// The URL of its key set, which verifies the tokens of all issuers.
    pub jwks_url: String,
}

/// A group of AWS regions with their own domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    name: &'static str,
    /// What the names of its regions start with, before `-WORD-NUMBER`.
    regions: &'static [&'static str],
    domain_suffix: &'static str,
}

const PARTITIONS: [Partition; 8] = [
    Partition {
        name: "aws",
        regions: &["af", "ap", "ca", "eu", "il", "me", "mx", "sa", "us"],
        domain_suffix: "amazonaws.com",
    },
    Partition {
        name: "aws-cn",
        regions: &["cn"],
        domain_suffix: "amazonaws.com.cn",
    },
    Partition {
        name: "aws-us-gov",
        regions: &["us-gov"],
        domain_suffix: "amazonaws.com",
    },
    Partition {
        name: "aws-eusc",
        regions: &["eusc-de"],
        domain_suffix: "amazonaws.eu",
    },
    Partition {
        name: "aws-iso",
        regions: &["us-iso"],
        domain_suffix: "c2s.ic.gov",
    },
    Partition {
        name: "aws-iso-b",
        regions: &["us-isob"],
        domain_suffix: "sc2s.sgov.gov",
    },
    Partition {
        name: "aws-iso-e",
        regions: &["eu-isoe"],
        domain_suffix: "cloud.adc-e.uk",
    },
    Partition {
        name: "aws-iso-f",
        regions: &["us-isof"],
        domain_suffix: "csp.hci.ic.gov",
    },
];

impl Partition {
    /// Returns the partition of an AWS region, or `None` if `region` is not named like a region of a known partition.
    pub(super) fn of(region: &str) -> Option<Self> {
        let mut parts = region.rsplitn(3, '-');
        let (number, word, start) = (parts.next()?, parts.next()?, parts.next()?);
        let is_region = !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_lowercase());
        PARTITIONS
            .into_iter()
            .find(|partition| is_region && partition.regions.contains(&start))
    }
}

impl Pool {
    /// Creates a pool of AWS. It has two issuers in its own region and in each of `additional_regions`, which are the other regions
    /// of a replicated pool, under the same pool id. Returns `None` if its region belongs to no known partition.
    pub(super) fn in_aws(id: &str, keys: Option<&str>, additional_regions: &[String]) -> Option<Self> {
        let region = region(id);
        let partition = Partition::of(region)?;
        let endpoint = |region: &str, prefix: &str| {
            let suffix = partition.domain_suffix;
            format!("https://{prefix}cognito-idp.{region}.{suffix}")
        };
        let other_regions = additional_regions
            .iter()
            .map(String::as_str)
            .filter(|other| *other != region && Partition::of(other) == Some(partition));
        let regions = std::iter::once(region).chain(other_regions);
        let mut issuers = regions
            .flat_map(|region| ["", "issuer-"].map(|prefix| format!("{}/{id}", endpoint(region, prefix))));
        let original = endpoint(region, "");
        Some(Self {
            id: id.to_owned(),
            issuer: issuers.next()?,
            other_issuers: issuers.collect(),
            // AWS serves the same keys at the second issuer, but responds with 403 there until the pool has switched to it.
            jwks_url: jwks_url(keys.unwrap_or(&original), id),
        })
    }

    /// Creates a pool whose only issuer is at `endpoint`.
    pub(super) fn at(id: &str, endpoint: &str, keys: &str) -> Self {
        Self {
            id: id.to_owned(),
            issuer: format!("{endpoint}/{id}"),
            other_issuers: Vec::new(),
            jwks_url: jwks_url(keys, id),
        }
    }
}

fn jwks_url(endpoint: &str, id: &str) -> String {
    format!("{endpoint}/{id}/.well-known/jwks.json")
}

/// Returns the region in a pool id.
pub(super) fn region(id: &str) -> &str {
    id.split_once('_').map_or(id, |(region, _)| region)
}

/// Returns whether `id` can be a pool id. AWS's pattern is `[\w-]+_[0-9a-zA-Z]+`, at most 55 characters.
pub(super) fn is_pool_id(id: &str) -> bool {
    let is_region = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    id.len() <= 55
        && id.split_once('_').is_some_and(|(region, name)| {
            !region.is_empty()
                && region.chars().all(is_region)
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    use super::{Partition, Pool, is_pool_id};

    #[test]
    fn a_pool_in_aws_has_two_issuers_and_the_keys_of_the_first() {
        let pool = Pool::in_aws("eu-west-1_a", None, &[]).expect("a known region");
        assert_eq!(
            pool.issuer,
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_a"
        );
        assert_eq!(
            pool.other_issuers,
            ["https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_a"]
        );
        assert_eq!(pool.jwks_url, format!("{}/.well-known/jwks.json", pool.issuer));
    }

    #[test]
    fn additional_regions_add_both_issuers_once_and_only_within_the_partition() {
        let regions = ["us-east-1", "eu-west-1", "us-gov-west-1", "cn-north-1"].map(str::to_owned);
        let pool = Pool::in_aws("eu-west-1_a", Some("https://keys"), &regions).expect("a known region");
        assert_eq!(
            pool.other_issuers,
            [
                "https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_a",
                "https://cognito-idp.us-east-1.amazonaws.com/eu-west-1_a",
                "https://issuer-cognito-idp.us-east-1.amazonaws.com/eu-west-1_a",
            ]
        );
        assert_eq!(pool.jwks_url, "https://keys/eu-west-1_a/.well-known/jwks.json");
    }

    #[test]
    fn partitions_have_their_own_domains() {
        for (region, name, suffix) in [
            ("us-east-1", "aws", "amazonaws.com"),
            ("ap-southeast-7", "aws", "amazonaws.com"),
            ("mx-central-1", "aws", "amazonaws.com"),
            ("cn-northwest-1", "aws-cn", "amazonaws.com.cn"),
            ("us-gov-east-1", "aws-us-gov", "amazonaws.com"),
            ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
            ("us-iso-west-1", "aws-iso", "c2s.ic.gov"),
            ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
            ("eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk"),
            ("us-isof-south-1", "aws-iso-f", "csp.hci.ic.gov"),
        ] {
            let partition = Partition::of(region).expect(region);
            assert_eq!(
                (partition.name, partition.domain_suffix),
                (name, suffix),
                "{region}"
            );
        }
        for region in [
            "",
            "local",
            "us-east",
            "us-east-x",
            "us--1",
            "us-east-",
            "xx-east-1",
            "eusc-fr-west-1",
            "us-gov-east-1-2",
            "us-new-east-1",
            "-us-east-1",
        ] {
            assert_eq!(Partition::of(region), None, "{region}");
        }
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
