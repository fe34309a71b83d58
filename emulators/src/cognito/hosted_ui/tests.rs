use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use url::Url;

use super::super::Emulator;
use super::super::tests::{start, verify};

const CALLBACK: &str = "http://127.0.0.1:5000/docs";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The verifier and the challenge of RFC 7636, appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    builder
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

fn authorize_query<'a>(
    emulator: &'a Emulator,
    change: &[(&'a str, Option<&'a str>)],
) -> Vec<(&'a str, &'a str)> {
    let mut query = vec![
        ("response_type", "code"),
        ("client_id", emulator.public_client_id()),
        ("redirect_uri", CALLBACK),
        ("scope", "openid shoutback/shout"),
        ("state", "a b&c"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in change {
        query.retain(|(other, _)| other != name);
        query.extend(value.map(|value| (*name, value)));
    }
    query
}

fn url(emulator: &Emulator, path: &str, query: &[(&str, &str)]) -> Url {
    let mut url = Url::parse(&emulator.endpoint()).unwrap();
    url.set_path(path);
    url.query_pairs_mut().extend_pairs(query);
    url
}

/// Returns the status and the header `location`.
async fn get(emulator: &Emulator, path: &str, query: &[(&str, &str)]) -> (u16, Option<String>) {
    let response = client().get(url(emulator, path, query)).send().await.unwrap();
    let location = response
        .headers()
        .get("location")
        .map(|to| to.to_str().unwrap().to_owned());
    (response.status().as_u16(), location)
}

/// Signs in and returns the authorization code.
async fn sign_in(emulator: &Emulator, username: &str) -> String {
    let request = authorize_query(emulator, &[]);
    let (status, login) = get(emulator, "/oauth2/authorize", &request).await;
    assert_eq!(status, 302);
    let login = format!("{}{}", emulator.endpoint(), login.unwrap());
    let page = client().get(&login).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(
        page.text()
            .await
            .unwrap()
            .contains(&format!("value=\"{username}\""))
    );
    let request = client()
        .post(&login)
        .header("content-type", "application/x-www-form-urlencoded");
    let back = request.body(format!("username={username}")).send().await.unwrap();
    assert_eq!(back.status(), 302);
    let back = Url::parse(back.headers()["location"].to_str().unwrap()).unwrap();
    assert!(back.as_str().starts_with(&format!("{CALLBACK}?")));
    let query: std::collections::HashMap<_, _> = back.query_pairs().into_owned().collect();
    assert_eq!(query["state"], "a b&c");
    query["code"].clone()
}

async fn redeem(emulator: &Emulator, form: &[(&str, &str)]) -> (u16, Value) {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    let response = client()
        .post(format!("{}/oauth2/token", emulator.endpoint()))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", "http://127.0.0.1:5000")
        .body(body.finish())
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&response.text().await.unwrap()).unwrap(),
    )
}

fn token_form<'a>(emulator: &'a Emulator, code: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", emulator.public_client_id()),
        ("redirect_uri", CALLBACK),
        ("code", code),
        ("code_verifier", VERIFIER),
    ]
}

#[tokio::test]
async fn a_user_gets_tokens_for_a_code() {
    let emulator = start().await;
    let code = sign_in(&emulator, "ada").await;
    let (status, tokens) = redeem(&emulator, &token_form(&emulator, &code)).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in"]),
        (&json!("Bearer"), &json!(3600))
    );
    let claims = verify(&emulator, tokens["access_token"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(claims["username"], "ada");
    assert_eq!(claims["cognito:groups"], json!(["admin"]));
    assert_eq!(claims["scope"], "openid shoutback/shout");
    assert_eq!(claims["token_use"], "access");
    assert_eq!(claims["client_id"], emulator.public_client_id());
    assert_ne!(claims["sub"], claims["client_id"]);
    assert_eq!(claims.get("aud"), None);
    let id_token = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let id: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(id_token).unwrap()).unwrap();
    assert_eq!(
        (&id["token_use"], &id["cognito:username"]),
        (&json!("id"), &json!("ada"))
    );

    let refresh = [
        ("grant_type", "refresh_token"),
        ("client_id", emulator.public_client_id()),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ];
    let (status, again) = redeem(&emulator, &refresh).await;
    assert_eq!(status, 200, "{again}");
    assert_eq!(again.get("refresh_token"), None);
    let fresh = verify(&emulator, again["access_token"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(fresh["sub"], claims["sub"]);
    assert_ne!(fresh["jti"], claims["jti"]);
}

#[tokio::test]
async fn a_user_without_the_scope_gets_a_token_without_it() {
    let emulator = start().await;
    let code = sign_in(&emulator, "grace").await;
    let (_, tokens) = redeem(&emulator, &token_form(&emulator, &code)).await;
    let claims = verify(&emulator, tokens["access_token"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(claims["scope"], "openid");
    assert_eq!(claims.get("cognito:groups"), None);
}

#[tokio::test]
async fn a_code_is_valid_once_and_for_its_client_only() {
    let emulator = start().await;
    let used = sign_in(&emulator, "alan").await;
    assert_eq!(redeem(&emulator, &token_form(&emulator, &used)).await.0, 200);
    let rejected = (400, json!({ "error": "invalid_grant" }));
    assert_eq!(
        redeem(&emulator, &token_form(&emulator, &used)).await,
        rejected,
        "used"
    );
    for (name, value) in [
        ("code_verifier", "another"),
        ("code_verifier", CHALLENGE),
        ("redirect_uri", "http://127.0.0.1:5001/docs"),
        ("code", "another"),
    ] {
        let code = sign_in(&emulator, "alan").await;
        let mut wrong = token_form(&emulator, &code);
        for pair in wrong.iter_mut().filter(|pair| pair.0 == name) {
            pair.1 = value;
        }
        assert_eq!(redeem(&emulator, &wrong).await, rejected, "{name} {value}");
        if name != "code" {
            let right = redeem(&emulator, &token_form(&emulator, &code)).await;
            assert_eq!(right, rejected, "{name}: a failed attempt uses up the code");
        }
    }
    let code = sign_in(&emulator, "alan").await;
    for (name, value, error) in [
        ("code_verifier", "", "invalid_request"),
        ("redirect_uri", "", "invalid_request"),
        ("code", "", "invalid_request"),
        ("client_id", "", "invalid_request"),
        ("client_id", "another", "invalid_client"),
        ("client_id", &emulator.client().id, "invalid_client"),
    ] {
        let mut wrong = token_form(&emulator, &code);
        for pair in wrong.iter_mut().filter(|pair| pair.0 == name) {
            pair.1 = value;
        }
        let rejected = (400, json!({ "error": error }));
        assert_eq!(redeem(&emulator, &wrong).await, rejected, "{name} {value:?}");
    }
    let unknown = [
        ("grant_type", "refresh_token"),
        ("client_id", emulator.public_client_id()),
        ("refresh_token", "another"),
    ];
    assert_eq!(redeem(&emulator, &unknown).await, rejected);
}

#[tokio::test]
async fn errors_of_a_known_client_are_redirected_to_it() {
    let emulator = start().await;
    for (name, value, error) in [
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", None, "unsupported_response_type"),
        ("scope", Some("openid shoutback/whisper"), "invalid_request"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
    ] {
        for path in ["/oauth2/authorize", "/login"] {
            let (status, back) = get(&emulator, path, &authorize_query(&emulator, &[(name, value)])).await;
            let back = back.unwrap_or_default();
            assert_eq!(status, 302, "{path} {name} {value:?}");
            assert!(back.starts_with(&format!("{CALLBACK}?error={error}&")), "{back}");
            assert!(back.ends_with("&state=a+b%26c"), "{back}");
        }
    }
}

#[tokio::test]
async fn unregistered_addresses_are_never_redirected_to() {
    let emulator = start().await;
    for (name, value) in [
        ("client_id", None),
        ("client_id", Some(emulator.client().id.as_str())),
        ("redirect_uri", None),
        ("redirect_uri", Some("https://evil.example/docs")),
    ] {
        for path in ["/oauth2/authorize", "/login"] {
            let answer = get(&emulator, path, &authorize_query(&emulator, &[(name, value)])).await;
            assert_eq!(answer, (400, None), "{path} {name} {value:?}");
        }
    }
    let people = ("client_id", emulator.public_client_id());
    for (to, expected) in [
        (CALLBACK, (302, Some(CALLBACK.to_owned()))),
        ("https://evil.example/docs", (400, None)),
    ] {
        assert_eq!(
            get(&emulator, "/logout", &[people, ("logout_uri", to)]).await,
            expected
        );
    }
    assert_eq!(
        get(&emulator, "/logout", &[("logout_uri", CALLBACK)]).await,
        (400, None)
    );
}
