//! The `authorization` header: only it carries the token, once, and up to a maximum length.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use shoutback::auth::AuthError;

use super::{HEADER, TokenTest, sign};
use crate::support::jwt::with_last;

#[tokio::test]
async fn tokens_of_up_to_8_kib_are_accepted() {
    let test = TokenTest::start(&[]).await;
    let of_length = |length: usize| {
        let claims = with_last(&test.claims(), r#""pad":"""#);
        let encoded = |bytes: usize| (bytes * 4).div_ceil(3);
        let (spaces, filler) = (0..4)
            .flat_map(|spaces| (0..length).map(move |filler| (spaces, filler)))
            .find(|(spaces, filler)| {
                encoded(HEADER.len() + spaces) + encoded(claims.len() + filler) + 2 + 342 == length
            })
            .expect("lengths that add up");
        let header = format!("{HEADER}{}", " ".repeat(spaces));
        let token = sign(
            header,
            claims.replace(r#""pad":""#, &format!(r#""pad":"{}"#, "a".repeat(filler))),
        );
        assert_eq!(token.len(), length);
        token
    };
    test.assert_accepted("8191 bytes", &of_length(8191)).await;
    test.assert_accepted("8192 bytes", &of_length(8192)).await;
    for length in [8193, 8194, 8200] {
        let case = format!("{length} bytes");
        test.assert_rejected(&AuthError::MalformedHeader, &case, &of_length(length))
            .await;
    }
    let longest = "a".repeat(60_000);
    test.assert_rejected(&AuthError::MalformedHeader, "60,000 bytes", &longest)
        .await;
}

#[tokio::test]
async fn exactly_one_bearer_header_is_accepted() {
    let test = TokenTest::start(&[]).await;
    let valid = test.valid_token();
    let request = |values: &[&str]| {
        values.iter().fold(
            test.app.post().header("content-type", "text/plain").body("hi"),
            |request, value| request.header("authorization", *value),
        )
    };
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let request = request(&[&format!("{scheme} {valid}")]).body(scheme);
        test.assert_request_accepted(scheme, request).await;
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("user:{valid}")));
    for value in [
        basic.as_str(),
        "Basic",
        "",
        &valid,
        &format!("Bearer{valid}"),
        "Bearer",
        "bearer ",
        "Bearer    ",
        &format!("Bearer:{valid}"),
        &format!("Bearer={valid}"),
        &format!("Token {valid}"),
        &format!("JWT {valid}"),
        &format!("DPoP {valid}"),
        &format!("Bearer, {valid}"),
        &format!("\"Bearer\" {valid}"),
    ] {
        let case = format!("{value:.12}");
        test.assert_request_rejected(&AuthError::Missing, &case, request(&[value]))
            .await;
    }
    let bearer = format!("Bearer {valid}");
    for values in [
        &[&*format!("Bearer  {valid}")][..],
        &[&format!("Bearer\t{valid}")],
        &[&format!("Bearer \t{valid}")],
        &[&format!("Bearer\t {valid}")],
        &[&bearer, &bearer],
        &[&bearer, "Basic dTpw"],
        &["Basic dTpw", &bearer],
        &["", &bearer],
    ] {
        let case = format!("{values:.12?}");
        test.assert_request_rejected(&AuthError::MalformedHeader, &case, request(values))
            .await;
    }
    for value in [
        format!("Bearer {bearer}"),
        format!("Bearer {valid},"),
        format!("Bearer token={valid}"),
        format!("Bearer {bearer}, {bearer}"),
    ] {
        let case = format!("{value:.16}");
        test.assert_request_rejected(&AuthError::MalformedToken, &case, request(&[&value]))
            .await;
    }
    let opaque = reqwest::header::HeaderValue::from_bytes(b"Bearer \xe9.\xe9.\xe9").expect("opaque bytes");
    test.assert_request_rejected(
        &AuthError::MalformedHeader,
        "bytes that are not ASCII",
        test.app.post().header("authorization", opaque),
    )
    .await;
    test.assert_request_rejected(&AuthError::Missing, "no header", request(&[]))
        .await;
}

#[tokio::test]
async fn tokens_outside_the_authorization_header_are_ignored() {
    let test = TokenTest::start(&[]).await;
    let valid = test.valid_token();
    let url = |query: &str| {
        test.app
            .client
            .post(format!("http://{}/v1{query}", test.app.public))
            .header("content-type", "text/plain")
            .body("hi")
    };
    for name in [
        "cookie",
        "x-authorization",
        "proxy-authorization",
        "x-amzn-oidc-accesstoken",
        "x-access-token",
    ] {
        for value in [
            format!("Bearer {valid}"),
            format!("access_token={valid}"),
            valid.clone(),
        ] {
            test.assert_request_rejected(&AuthError::Missing, name, url("").header(name, value))
                .await;
        }
    }
    for query in [
        format!("?access_token={valid}"),
        format!("?authorization=Bearer%20{valid}"),
    ] {
        test.assert_request_rejected(&AuthError::Missing, "in the query", url(&query))
            .await;
    }
    let form = url("")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("access_token={valid}"));
    test.assert_request_rejected(&AuthError::Missing, "in a form", form)
        .await;
    let body = test
        .app
        .post()
        .header("content-type", "application/json")
        .body(json!({"data": "hi", "access_token": valid}).to_string());
    test.assert_request_rejected(&AuthError::Missing, "in the body", body)
        .await;
    test.assert_accepted("in the authorization header", &valid).await;
}
