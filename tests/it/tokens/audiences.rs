//! `aud`: Cognito adds it to a token that was requested for a resource, and no other API may accept that token.

use serde_json::{Value, json};
use shoutback::auth::AuthError;

use super::{HEADER, TokenTest, sign};

const OURS: &str = "https://shoutback.example.com";
const ALSO_OURS: &str = "shoutback";
const THEIRS: &str = "https://payments.example.com";

fn bound_to(test: &TokenTest, aud: &Value) -> String {
    // `claims_with` removes a claim whose value is null, which is one of the cases.
    sign(HEADER, test.claims_with_text("aud", &aud.to_string()))
}

#[tokio::test]
async fn a_token_with_aud_must_name_a_configured_audience() {
    let audiences = format!("{OURS}, {ALSO_OURS}");
    let test = TokenTest::start(&[("AUTH_AUDIENCES", &audiences)]).await;
    for aud in [
        json!(OURS),
        json!(ALSO_OURS),
        json!([OURS]),
        json!([THEIRS, ALSO_OURS]),
        json!([1, OURS]),
    ] {
        test.assert_accepted(&aud.to_string(), &bound_to(&test, &aud))
            .await;
    }
    let wrong = [
        json!(THEIRS),
        json!([THEIRS]),
        json!([]),
        json!(""),
        json!([[OURS]]),
        json!({OURS: true}),
        json!(null),
        json!(true),
        json!(1),
        json!(format!("{OURS}/")),
        json!(OURS.to_uppercase()),
        json!(format!("{OURS} {ALSO_OURS}")),
        json!(format!("{OURS},{ALSO_OURS}")),
    ];
    // A good token, which has no `aud`, is accepted before and after these.
    let cases = wrong.map(|aud| (format!("aud {aud}"), bound_to(&test, &aud)));
    test.assert_all_rejected(AuthError::WrongAudience, cases).await;
}

#[tokio::test]
async fn a_token_with_aud_is_rejected_where_no_audience_is_configured() {
    for variables in [&[][..], &[("AUTH_AUDIENCES", "")]] {
        let test = TokenTest::start(variables).await;
        let client = test.app.cognito.client().id.clone();
        let cases = [
            json!(THEIRS),
            json!([THEIRS]),
            json!(client),
            json!([]),
            json!(null),
        ]
        .map(|aud| (format!("aud {aud}"), bound_to(&test, &aud)));
        test.assert_all_rejected(AuthError::WrongAudience, cases).await;
    }
}

#[tokio::test]
async fn the_client_is_checked_before_aud_and_exp_after_it() {
    let test = TokenTest::start(&[]).await;
    let aud = ("aud", json!(THEIRS));
    test.assert_rejected(
        &AuthError::UnknownClient,
        "another client and aud",
        &test.token_with(&[aud.clone(), ("client_id", json!("other"))]),
    )
    .await;
    test.assert_rejected(
        &AuthError::WrongAudience,
        "aud and expired",
        &test.token_with(&[aud, ("exp", json!(0))]),
    )
    .await;
}
