//! Claims: their types and values, the leeway, scopes and groups.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shoutback::auth::AuthError;

use super::{Gate, HEADER, sign};
use crate::support::POOL_ID;
use crate::support::jwt::with_last;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a year before the end of time")
}

#[tokio::test]
async fn every_claim_that_is_missing_or_of_the_wrong_type_is_refused() {
    let gate = Gate::open(&[("AUTH_ALLOWED_GROUPS", "loud,louder")]).await;
    let good = gate.claims_with(&[("cognito:groups", json!(["quiet", "loud"])), ("nbf", json!(0))]);
    gate.accepts("all claims", &sign(HEADER, &good)).await;
    let object: Value = serde_json::from_str(&good).expect("JSON");
    let issuer = gate.app.cognito.issuer();
    let client = &gate.app.cognito.client().id;
    let text = |value: &str| json!(value).to_string();
    let one_of = |value: &str| json!([value]).to_string();
    let no_scope = AuthError::MissingScope("shoutback/shout".to_owned());
    let table: [(&str, &AuthError, Vec<String>); 7] = [
        (
            "iss",
            &AuthError::UnknownIssuer,
            vec![
                one_of(&issuer),
                text(&format!("{issuer}/")),
                text(&format!(" {issuer}")),
                text(&format!("{issuer}\0")),
                text(&issuer.to_uppercase()),
                text(&issuer.replace("TestPool1", "TestPool2")),
                text(&issuer.replace(POOL_ID, "")),
                text(&issuer.replace("http:", "https:")),
                text(&issuer.replace("http://", "http://user@")),
                text(POOL_ID),
                text("https://cognito-idp.us-east-2.amazonaws.com/us-east-2_TestPool1"),
            ],
        ),
        (
            "token_use",
            &AuthError::NotAnAccessToken,
            vec![
                one_of("access"),
                text("id"),
                text("Access"),
                text("access "),
                text("refresh"),
            ],
        ),
        (
            "client_id",
            &AuthError::UnknownClient,
            vec![
                one_of(client),
                text("other"),
                text(&client.to_uppercase()),
                text(&format!("{client},")),
                text(&client[1..]),
            ],
        ),
        (
            "exp",
            &AuthError::Expired,
            vec![
                text("4000000000"),
                "[4000000000]".to_owned(),
                "-4000000000".to_owned(),
                "-1e300".to_owned(),
                "0.5".to_owned(),
            ],
        ),
        (
            "nbf",
            &AuthError::NotYetValid,
            vec![
                text("0"),
                "[0]".to_owned(),
                "4000000000".to_owned(),
                "1e300".to_owned(),
            ],
        ),
        (
            "scope",
            &no_scope,
            vec![
                one_of("shoutback/shout"),
                text("shoutback/shouts"),
                text("Shoutback/Shout"),
                text("shoutback"),
                text("shout"),
                text("shoutback/*"),
                text("openid profile"),
                text("openid,shoutback/shout"),
                text("openid\tshoutback/shout"),
                text("openid\u{a0}shoutback/shout"),
            ],
        ),
        (
            "cognito:groups",
            &AuthError::MissingGroup,
            vec![
                text("loud"),
                text("quiet loud"),
                one_of("quiet"),
                one_of("Loud"),
                one_of("loud,louder"),
                json!([["loud"]]).to_string(),
                json!({"loud": "loud"}).to_string(),
                "[]".to_owned(),
                json!([0, null]).to_string(),
            ],
        ),
    ];
    for (name, refusal, wrong) in table {
        let mut rest = object.as_object().expect("an object").clone();
        rest.remove(name);
        let rest = json!(rest).to_string();
        if name != "nbf" {
            gate.refuses(refusal, &format!("no {name}"), &sign(HEADER, &rest))
                .await;
        }
        let of_any_type = ["null", "true", "{}", r#""""#, "[]"].map(str::to_owned);
        for value in wrong.into_iter().chain(of_any_type) {
            let claims = with_last(&rest, &format!("\"{name}\":{value}"));
            let case = format!("{name} {}", value.escape_debug());
            gate.refuses(refusal, &case, &sign(HEADER, claims)).await;
        }
    }
    for (name, refusal) in [
        ("iss", &AuthError::UnknownIssuer),
        ("token_use", &AuthError::NotAnAccessToken),
        ("client_id", &AuthError::UnknownClient),
        ("scope", &no_scope),
        ("cognito:groups", &AuthError::MissingGroup),
    ] {
        let mut claims = object.clone();
        claims[name] = json!(1);
        gate.refuses(refusal, &format!("{name} 1"), &sign(HEADER, claims.to_string()))
            .await;
    }
    let mut without = object.as_object().expect("an object").clone();
    for name in ["nbf", "iat", "auth_time", "jti", "version", "sub"] {
        without.remove(name);
    }
    gate.accepts(
        "none that is not asked for",
        &sign(HEADER, json!(without).to_string()),
    )
    .await;
    assert_eq!(gate.keys.requests(), 1, "none of them needs a fetch");
}

#[tokio::test]
async fn the_right_of_another_client_is_no_right_of_this_one() {
    let gate = Gate::open(&[("COGNITO_CLIENT_IDS", "first,second")]).await;
    for client in ["first", "second"] {
        let claims = gate.claims_with(&[("client_id", json!(client))]);
        gate.accepts(client, &sign(HEADER, claims)).await;
    }
    for client in ["first,second", "third", &gate.app.cognito.client().id] {
        let claims = gate.claims_with(&[("client_id", json!(client)), ("aud", json!("first"))]);
        gate.refuses(&AuthError::UnknownClient, client, &sign(HEADER, claims))
            .await;
    }
}

#[tokio::test]
async fn the_leeway_ends_to_the_second() {
    // The clock goes on while the test runs: what is refused for `exp` stays refused, and what is accepted for `nbf` stays
    // accepted; the other two have a minute.
    for (leeway, seconds) in [("5m", 300), ("0ms", 0)] {
        let gate = Gate::open(&[("AUTH_CLOCK_LEEWAY", leeway)]).await;
        let with = |name, value: i64| sign(HEADER, gate.claims_with(&[(name, json!(value))]));
        for late in [0, 1, 60, 4_000_000_000] {
            let case = format!("{late} s late by a leeway of {leeway}");
            gate.refuses(&AuthError::Expired, &case, &with("exp", now() - seconds - late))
                .await;
        }
        let case = format!("a minute left of a leeway of {leeway}");
        gate.accepts(&case, &with("exp", now() - seconds + 60)).await;
        for early in [60, 4_000_000_000] {
            let case = format!("{early} s early by a leeway of {leeway}");
            gate.refuses(
                &AuthError::NotYetValid,
                &case,
                &with("nbf", now() + seconds + early),
            )
            .await;
        }
        let case = format!("exactly the leeway of {leeway} early");
        gate.accepts(&case, &with("nbf", now() + seconds)).await;
        let fraction = gate.claims_with(&[
            ("exp", json!(now() as f64 - seconds as f64 + 60.5)),
            ("nbf", json!(now() as f64 - 0.5)),
        ]);
        gate.accepts("fractions of a second", &sign(HEADER, fraction))
            .await;
        for exp in ["1e300", "18446744073709551615", "4E9"] {
            gate.accepts(exp, &sign(HEADER, gate.claims_with_text("exp", exp)))
                .await;
        }
    }
}

#[tokio::test]
async fn scopes_have_to_be_there_all_of_them_and_groups_one() {
    let gate = Gate::open(&[
        ("AUTH_REQUIRED_SCOPES", "a/read,a/write"),
        ("AUTH_ALLOWED_GROUPS", "loud,louder"),
    ])
    .await;
    let with = |scope: &str, groups: &[&str]| {
        sign(
            HEADER,
            gate.claims_with(&[("scope", json!(scope)), ("cognito:groups", json!(groups))]),
        )
    };
    for (scope, groups) in [
        ("a/read a/write", &["loud"][..]),
        ("a/write openid a/read", &["quiet", "louder"]),
    ] {
        gate.accepts(scope, &with(scope, groups)).await;
    }
    for (scope, missing) in [
        ("a/read", "a/write"),
        ("a/write", "a/read"),
        ("a/readwrite", "a/read"),
        ("", "a/read"),
    ] {
        let refusal = AuthError::MissingScope(missing.to_owned());
        let token = with(scope, &["loud"]);
        gate.refuses(&refusal, &format!("scope {scope}"), &token).await;
        let response = gate
            .app
            .shout_with(&token, scope)
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            response.headers()["www-authenticate"],
            "Bearer error=\"insufficient_scope\", scope=\"a/read a/write\""
        );
    }
    gate.refuses(&AuthError::MissingGroup, "no group", &with("a/read a/write", &[]))
        .await;

    let open = Gate::open(&[("AUTH_REQUIRED_SCOPES", "")]).await;
    let bare = open.claims_with(&[("scope", Value::Null)]);
    open.accepts("no scope is asked for", &sign(HEADER, bare)).await;
}
