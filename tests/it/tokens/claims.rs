//! Claims: types and values, leeway, scopes and groups.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shoutback::auth::AuthError;

use super::{HEADER, TokenTest, sign};
use crate::support::POOL_ID;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("seconds fit into i64")
}

#[tokio::test]
async fn missing_invalid_and_mistyped_claims_are_rejected() {
    let test = TokenTest::start(&[("AUTH_ALLOWED_GROUPS", "loud,louder")]).await;
    let valid = test.claims_with(&[("cognito:groups", json!(["quiet", "loud"])), ("nbf", json!(0))]);
    test.assert_accepted("all claims", &sign(HEADER, &valid)).await;
    let valid: Value = serde_json::from_str(&valid).expect("JSON");
    let issuer = test.app.cognito.issuer();
    let client = &test.app.cognito.client().id;
    let issuers = json!([
        [issuer],
        format!("{issuer}/"),
        format!(" {issuer}"),
        format!("{issuer}\0"),
        issuer.to_uppercase(),
        issuer.replace("TestPool1", "TestPool2"),
        issuer.replace(POOL_ID, ""),
        issuer.replace("http:", "https:"),
        issuer.replace("http://", "http://user@"),
        POOL_ID,
        "https://cognito-idp.us-east-2.amazonaws.com/us-east-2_TestPool1",
    ]);
    let clients = json!([
        [client],
        "other",
        client.to_uppercase(),
        format!("{client},"),
        client[1..]
    ]);
    let parsed = |values: &str| serde_json::from_str(values).expect("JSON");
    let table = [
        ("iss", AuthError::UnknownIssuer, issuers),
        (
            "token_use",
            AuthError::NotAnAccessToken,
            parsed(r#"[["access"], "id", "Access", "access ", "refresh"]"#),
        ),
        ("client_id", AuthError::UnknownClient, clients),
        (
            "exp",
            AuthError::Expired,
            parsed(r#"["4000000000", [4000000000], -4000000000, -1e300, 0.5]"#),
        ),
        (
            "nbf",
            AuthError::NotYetValid,
            parsed(r#"["0", [0], 4000000000, 1e300]"#),
        ),
        (
            "scope",
            AuthError::MissingScope("shoutback/shout".to_owned()),
            parsed(
                r#"[["shoutback/shout"], "shoutback/shouts", "Shoutback/Shout", "shoutback", "shout", "shoutback/*",
                "openid profile", "openid,shoutback/shout", "openid\tshoutback/shout", "openid\u00a0shoutback/shout"]"#,
            ),
        ),
        (
            "cognito:groups",
            AuthError::MissingGroup,
            parsed(
                r#"["loud", "quiet loud", ["quiet"], ["Loud"], ["loud,louder"], [["loud"]], {"loud": "loud"},
                [0, null]]"#,
            ),
        ),
    ];
    for (name, error, invalid) in table {
        let mut claims = valid.clone();
        if name != "nbf" {
            claims.as_object_mut().expect("an object").remove(name);
            test.assert_rejected(&error, &format!("no {name}"), &sign(HEADER, claims.to_string()))
                .await;
        }
        let mut values = invalid.as_array().expect("an array").clone();
        values.extend([json!(null), json!(true), json!({}), json!(""), json!([])]);
        if !matches!(name, "exp" | "nbf") {
            values.push(json!(1));
        }
        for value in values {
            let case = format!("{name} {}", value.to_string().escape_debug());
            claims[name] = value;
            test.assert_rejected(&error, &case, &sign(HEADER, claims.to_string()))
                .await;
        }
    }
    let mut claims = valid.clone();
    for name in ["nbf", "iat", "auth_time", "jti", "version", "sub"] {
        claims.as_object_mut().expect("an object").remove(name);
    }
    test.assert_accepted("no optional claims", &sign(HEADER, claims.to_string()))
        .await;
    assert_eq!(test.keys.requests(), 1, "none of them causes a fetch");
}

#[tokio::test]
async fn only_configured_clients_are_accepted() {
    let test = TokenTest::start(&[("COGNITO_CLIENT_IDS", "first,second")]).await;
    for client in ["first", "second"] {
        test.assert_accepted(client, &test.token_with(&[("client_id", json!(client))]))
            .await;
    }
    for client in ["first,second", "third", &test.app.cognito.client().id] {
        let token = test.token_with(&[("client_id", json!(client)), ("aud", json!("first"))]);
        test.assert_rejected(&AuthError::UnknownClient, client, &token)
            .await;
    }
}

#[tokio::test]
async fn leeway_is_exact_to_the_second() {
    // The clock advances during the test: rejections for `exp` and acceptances for `nbf` hold; the other two have a
    // margin of a minute.
    for (leeway, seconds) in [("5m", 300), ("0ms", 0)] {
        let test = TokenTest::start(&[("AUTH_CLOCK_LEEWAY", leeway)]).await;
        let with = |name, value: i64| test.token_with(&[(name, json!(value))]);
        for late in [0, 1, 60, 4_000_000_000] {
            let case = format!("exp {late} s after a leeway of {leeway}");
            test.assert_rejected(&AuthError::Expired, &case, &with("exp", now() - seconds - late))
                .await;
        }
        for early in [60, 4_000_000_000] {
            let case = format!("nbf {early} s before a leeway of {leeway}");
            let token = with("nbf", now() + seconds + early);
            test.assert_rejected(&AuthError::NotYetValid, &case, &token).await;
        }
        let fraction = test.token_with(&[
            ("exp", json!(now() as f64 - seconds as f64 + 60.5)),
            ("nbf", json!(now() as f64 - 0.5)),
        ]);
        for (case, token) in [
            ("exp a minute before", with("exp", now() - seconds + 60)),
            ("nbf exactly", with("nbf", now() + seconds)),
            ("fractions of a second", fraction),
        ] {
            test.assert_accepted(&format!("{case}, leeway {leeway}"), &token)
                .await;
        }
        for exp in ["1e300", "18446744073709551615", "4E9"] {
            test.assert_accepted(exp, &sign(HEADER, test.claims_with_text("exp", exp)))
                .await;
        }
    }
}

#[tokio::test]
async fn all_required_scopes_and_one_allowed_group_are_needed() {
    let test = TokenTest::start(&[
        ("AUTH_REQUIRED_SCOPES", "a/read,a/write"),
        ("AUTH_ALLOWED_GROUPS", "loud,louder"),
    ])
    .await;
    let with = |scope: &str, groups: &[&str]| {
        test.token_with(&[("scope", json!(scope)), ("cognito:groups", json!(groups))])
    };
    for (scope, groups) in [
        ("a/read a/write", &["loud"][..]),
        ("a/write openid a/read", &["quiet", "louder"]),
    ] {
        test.assert_accepted(scope, &with(scope, groups)).await;
    }
    for (scope, missing) in [
        ("a/read", "a/write"),
        ("a/write", "a/read"),
        ("a/readwrite", "a/read"),
        ("", "a/read"),
    ] {
        let error = AuthError::MissingScope(missing.to_owned());
        let token = with(scope, &["loud"]);
        test.assert_rejected(&error, &format!("scope {scope}"), &token)
            .await;
        let response = test.app.shout_with(&token, scope).send().await;
        assert_eq!(
            response.expect("a response").headers()["www-authenticate"],
            "Bearer error=\"insufficient_scope\", scope=\"a/read a/write\""
        );
    }
    test.assert_rejected(&AuthError::MissingGroup, "no group", &with("a/read a/write", &[]))
        .await;

    let without_scopes = TokenTest::start(&[("AUTH_REQUIRED_SCOPES", "")]).await;
    let token = without_scopes.token_with(&[("scope", Value::Null)]);
    without_scopes
        .assert_accepted("no scope is required", &token)
        .await;
}
