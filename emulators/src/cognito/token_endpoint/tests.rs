use super::super::Emulator;
use super::super::tests::{client, start, verify};
use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

async fn post(
    emulator: &Emulator,
    content_type: &str,
    authorization: Option<String>,
    body: String,
) -> reqwest::Response {
    let url = format!("{}/oauth2/token", emulator.endpoint());
    let mut request = client().post(url).header("content-type", content_type);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.body(body).send().await.unwrap()
}

async fn parse(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

fn basic_auth(id: &str, secret: &str) -> Option<String> {
    let pair = BASE64_STANDARD.encode(format!("{id}:{secret}"));
    Some(format!("Basic {pair}"))
}

#[tokio::test]
async fn issues_tokens_for_credentials_in_the_header_or_the_form() {
    let emulator = start().await;
    let client = emulator.client();
    let by_header = post(
        &emulator,
        FORM,
        basic_auth(&client.id, &client.secret),
        "grant_type=client_credentials".to_owned(),
    );
    let by_form = post(
        &emulator,
        "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
        None,
        format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=shoutback%2Fshout",
            client.id, client.secret
        ),
    );
    for response in [by_header.await, by_form.await] {
        let (status, body) = parse(response).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["expires_in"], 3600);
        assert_eq!(body["token_type"], "Bearer");
        let claims = verify(&emulator, body["access_token"].as_str().unwrap())
            .await
            .unwrap();
        assert_eq!(claims["client_id"], client.id.as_str());
    }
}

#[tokio::test]
async fn rejects_with_the_errors_of_cognito() {
    let emulator = start().await;
    let client = emulator.client();
    let valid = || basic_auth(&client.id, &client.secret);
    let grant = "grant_type=client_credentials";
    let cases = [
        ("application/json", valid(), grant.to_owned(), "invalid_request"),
        (FORM, valid(), String::new(), "invalid_request"),
        (FORM, valid(), "grant_type=".to_owned(), "invalid_request"),
        (FORM, valid(), format!("{grant}&{grant}"), "invalid_request"),
        (
            FORM,
            valid(),
            format!("{grant}&client_id=other"),
            "invalid_request",
        ),
        (FORM, None, grant.to_owned(), "invalid_request"),
        (
            FORM,
            valid(),
            "grant_type=password".to_owned(),
            "unsupported_grant_type",
        ),
        (
            FORM,
            valid(),
            "grant_type=refresh_token".to_owned(),
            "unauthorized_client",
        ),
        (
            FORM,
            basic_auth(&client.id, "wrong"),
            grant.to_owned(),
            "invalid_client",
        ),
        (
            FORM,
            basic_auth("other", &client.secret),
            grant.to_owned(),
            "invalid_client",
        ),
        (
            FORM,
            Some("Bearer token".to_owned()),
            grant.to_owned(),
            "invalid_client",
        ),
        (
            FORM,
            None,
            format!("{grant}&client_id={}", client.id),
            "invalid_client",
        ),
        (
            FORM,
            valid(),
            format!("{grant}&scope=shoutback/whisper"),
            "invalid_scope",
        ),
        (
            FORM,
            valid(),
            format!("{grant}&scope=shoutback/shout+shoutback/whisper"),
            "invalid_scope",
        ),
    ];
    for (content_type, authorization, body, error) in cases {
        let sent = body.clone();
        let response = post(&emulator, content_type, authorization, body).await;
        let expected = (400, json!({ "error": error }));
        assert_eq!(parse(response).await, expected, "{content_type} {sent}");
    }
}

#[tokio::test]
async fn only_post_is_allowed() {
    let emulator = start().await;
    let url = format!("{}/oauth2/token", emulator.endpoint());
    let response = client().get(url).send().await.unwrap();
    assert_eq!(response.status(), 405);
}
