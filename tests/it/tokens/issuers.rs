//! The issuers of a user pool in AWS: two formats, the suffix of its partition, and the other regions of a replicated pool.

use serde_json::json;
use shoutback::auth::AuthError;

use super::{KID, TokenTest};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, MALLORY};
use crate::support::{App, POOL_ID, UNSET};

/// Starts an application that accepts AWS's issuers of `pool`, with its keys at a local key server.
async fn test_in_aws(pool: &str, variables: &[(&str, &str)]) -> TokenTest {
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk(KID)])).await;
    keys.set_for(pool, KeyResponse::keys([ADA.jwk(KID)]));
    let url = keys.url();
    let mut all = vec![
        ("COGNITO_USER_POOL_IDS", pool),
        ("COGNITO_ENDPOINT", UNSET),
        ("COGNITO_JWKS_ENDPOINT", &url),
        ("CACHE_CAPACITY", "0"),
    ];
    all.extend(variables);
    let app = App::start(&all).await;
    TokenTest { app, keys }
}

fn token_from(test: &TokenTest, issuer: &str) -> String {
    test.token_with(&[("iss", json!(issuer))])
}

async fn assert_issuer_accepted(test: &TokenTest, issuer: &str) {
    test.assert_accepted(issuer, &token_from(test, issuer)).await;
}

async fn assert_issuer_rejected(test: &TokenTest, issuer: &str) {
    test.assert_rejected(&AuthError::UnknownIssuer, issuer, &token_from(test, issuer))
        .await;
}

#[tokio::test]
async fn a_pool_has_both_of_awss_issuers_and_one_key_set() {
    let test = test_in_aws(POOL_ID, &[]).await;
    let original = format!("https://cognito-idp.us-east-2.amazonaws.com/{POOL_ID}");
    let updated = format!("https://issuer-cognito-idp.us-east-2.amazonaws.com/{POOL_ID}");
    assert_issuer_accepted(&test, &original).await;
    assert_issuer_accepted(&test, &updated).await;
    assert_eq!(test.keys.requests(), 1);

    // Both issuers share the fetch for an unknown key, and its cool-down.
    for issuer in [&updated, &original] {
        let claims = test.claims_with(&[("iss", json!(issuer))]);
        let claims = serde_json::from_str(&claims).expect("an object");
        let token = MALLORY.token("unknown", &claims);
        test.assert_rejected(&AuthError::UnknownKey, issuer, &token).await;
        assert_eq!(test.keys.requests(), 2, "{issuer}");
    }

    for issuer in [
        format!("{original}/"),
        format!("{updated}/"),
        updated.replace("https:", "http:"),
        updated.replace("us-east-2", "us-west-2"),
        updated.replace("amazonaws.com", "amazonaws.com.cn"),
        updated.replace("amazonaws.com", "amazonaws.com.example"),
        updated.replace("issuer-", "issuer."),
        updated.replace("issuer-", "ISSUER-"),
        updated.replace("issuer-", "issuer-issuer-"),
        updated.replace("TestPool1", "TestPool2"),
        format!("https://cognito-idp.us-east-2.amazonaws.com:443/{POOL_ID}"),
        test.app.cognito.issuer(),
    ] {
        assert_issuer_rejected(&test, &issuer).await;
    }
    assert_eq!(
        test.keys.requests_for_all(),
        2,
        "an unknown issuer causes no fetch"
    );
}

#[tokio::test]
async fn the_suffix_is_that_of_the_partition() {
    for (region, suffix) in [
        ("eu-west-1", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("eusc-de-east-1", "amazonaws.eu"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
    ] {
        let pool = format!("{region}_AbCdEfGhI");
        let test = test_in_aws(&pool, &[]).await;
        for name in ["cognito-idp", "issuer-cognito-idp"] {
            assert_issuer_accepted(&test, &format!("https://{name}.{region}.{suffix}/{pool}")).await;
        }
    }
}

#[tokio::test]
async fn additional_regions_add_the_issuers_of_a_replicated_pool() {
    let test = test_in_aws(POOL_ID, &[("COGNITO_ADDITIONAL_REGIONS", "us-west-2, eu-west-1")]).await;
    for region in ["us-east-2", "us-west-2", "eu-west-1"] {
        for name in ["cognito-idp", "issuer-cognito-idp"] {
            assert_issuer_accepted(&test, &format!("https://{name}.{region}.amazonaws.com/{POOL_ID}")).await;
        }
    }
    assert_eq!(test.keys.requests(), 1);
    assert_issuer_rejected(
        &test,
        &format!("https://cognito-idp.us-west-1.amazonaws.com/{POOL_ID}"),
    )
    .await;
    let other = POOL_ID.replace("us-east-2", "us-west-2");
    assert_issuer_rejected(
        &test,
        &format!("https://cognito-idp.us-west-2.amazonaws.com/{other}"),
    )
    .await;
}

#[tokio::test]
async fn the_configured_endpoint_is_the_only_issuer() {
    let test = TokenTest::start(&[]).await;
    assert_issuer_accepted(&test, &test.app.cognito.issuer()).await;
    for name in ["cognito-idp", "issuer-cognito-idp"] {
        assert_issuer_rejected(
            &test,
            &format!("https://{name}.us-east-2.amazonaws.com/{POOL_ID}"),
        )
        .await;
    }
}
