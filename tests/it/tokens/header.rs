//! The header of a request: one `Authorization` brings a token, of a length, and nothing else does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use shoutback::auth::AuthError;

use super::{Gate, HEADER, sign};
use crate::support::jwt::with_last;

#[tokio::test]
async fn a_token_of_8_kib_is_accepted_and_one_byte_more_is_not() {
    let gate = Gate::open(&[]).await;
    let of_length = |length: usize| {
        let claims = with_last(&gate.claims(), r#""pad":"""#);
        let encoded = |bytes: usize| (bytes * 4).div_ceil(3);
        let (spaces, filler) = (0..4)
            .flat_map(|spaces| (0..length).map(move |filler| (spaces, filler)))
            .find(|(spaces, filler)| {
                encoded(HEADER.len() + spaces) + encoded(claims.len() + filler) + 2 + 342 == length
            })
            .expect("some lengths add up");
        let header = format!("{HEADER}{}", " ".repeat(spaces));
        let token = sign(
            header,
            claims.replace(r#""pad":""#, &format!(r#""pad":"{}"#, "a".repeat(filler))),
        );
        assert_eq!(token.len(), length);
        token
    };
    gate.accepts("8191 bytes", &of_length(8191)).await;
    gate.accepts("8192 bytes", &of_length(8192)).await;
    for length in [8193, 8194, 8200] {
        let case = format!("{length} bytes");
        gate.refuses(&AuthError::MalformedHeader, &case, &of_length(length))
            .await;
    }
    let longest = "a".repeat(60_000);
    gate.refuses(&AuthError::MalformedHeader, "60,000 bytes", &longest)
        .await;
}

#[tokio::test]
async fn exactly_one_authorization_header_brings_a_token() {
    let gate = Gate::open(&[]).await;
    let good = gate.good();
    let request = |values: &[&str]| {
        values.iter().fold(
            gate.app.post().header("content-type", "text/plain").body("hi"),
            |request, value| request.header("authorization", *value),
        )
    };
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        // A text of its own, so that nothing that is remembered stands in for the call.
        let request = request(&[&format!("{scheme} {good}")]).body(scheme);
        gate.accepts_request(scheme, request).await;
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("user:{good}")));
    for value in [
        basic.as_str(),
        "Basic",
        "",
        &good,
        &format!("Bearer{good}"),
        "Bearer",
        "bearer ",
        "Bearer    ",
        &format!("Bearer:{good}"),
        &format!("Bearer={good}"),
        &format!("Token {good}"),
        &format!("JWT {good}"),
        &format!("DPoP {good}"),
        &format!("Bearer, {good}"),
        &format!("\"Bearer\" {good}"),
    ] {
        let case = format!("{value:.12}");
        gate.refuses_request(&AuthError::Missing, &case, request(&[value]))
            .await;
    }
    let bearer = format!("Bearer {good}");
    for values in [
        &[&*format!("Bearer  {good}")][..],
        &[&format!("Bearer\t{good}")],
        &[&format!("Bearer \t{good}")],
        &[&format!("Bearer\t {good}")],
        &[&bearer, &bearer],
        &[&bearer, "Basic dTpw"],
        &["Basic dTpw", &bearer],
        &["", &bearer],
    ] {
        let case = format!("{values:.12?}");
        gate.refuses_request(&AuthError::MalformedHeader, &case, request(values))
            .await;
    }
    for value in [
        format!("Bearer {bearer}"),
        format!("Bearer {good},"),
        format!("Bearer token={good}"),
        format!("Bearer {bearer}, {bearer}"),
    ] {
        let case = format!("{value:.16}");
        gate.refuses_request(&AuthError::MalformedToken, &case, request(&[&value]))
            .await;
    }
    let opaque = reqwest::header::HeaderValue::from_bytes(b"Bearer \xe9.\xe9.\xe9").expect("opaque bytes");
    gate.refuses_request(
        &AuthError::MalformedHeader,
        "bytes that are not ASCII",
        gate.app.post().header("authorization", opaque),
    )
    .await;
    gate.refuses_request(&AuthError::Missing, "no header", request(&[]))
        .await;
}

#[tokio::test]
async fn a_token_elsewhere_than_in_its_header_is_none() {
    let gate = Gate::open(&[]).await;
    let good = gate.good();
    let url = |query: &str| {
        gate.app
            .client
            .post(format!("http://{}/v1{query}", gate.app.public))
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
            format!("Bearer {good}"),
            format!("access_token={good}"),
            good.clone(),
        ] {
            gate.refuses_request(&AuthError::Missing, name, url("").header(name, value))
                .await;
        }
    }
    for query in [
        format!("?access_token={good}"),
        format!("?authorization=Bearer%20{good}"),
    ] {
        gate.refuses_request(&AuthError::Missing, "in the query", url(&query))
            .await;
    }
    let form = url("")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("access_token={good}"));
    gate.refuses_request(&AuthError::Missing, "in a form", form).await;
    let body = gate
        .app
        .post()
        .header("content-type", "application/json")
        .body(json!({"data": "hi", "access_token": good}).to_string());
    gate.refuses_request(&AuthError::Missing, "in the body", body)
        .await;
    gate.accepts("in its header", &good).await;
}
