use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::*;

const POOL: &str = "us-east-2_AbCdEfGhI";

pub(super) async fn start() -> Emulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Emulator::start(listener, POOL).unwrap()
}

pub(super) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub(super) async fn get_json(url: &str) -> (u16, Value) {
    let response = client().get(url).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let status = response.status().as_u16();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

pub(super) async fn published(emulator: &Emulator) -> Vec<Value> {
    let url = format!("{}/.well-known/jwks.json", emulator.issuer());
    let (status, mut body) = get_json(&url).await;
    assert_eq!(status, 200);
    body["keys"].take().as_array().unwrap().clone()
}

/// Returns the claims of `token` if the published key of its `kid` verifies it.
pub(super) async fn verify(emulator: &Emulator, token: &str) -> Option<Value> {
    let header = jsonwebtoken::decode_header(token).unwrap();
    let keys = published(emulator).await;
    let key = keys.iter().find(|key| key["kid"] == json!(header.kid))?;
    let text = |name: &str| key[name].as_str().unwrap();
    let key = DecodingKey::from_rsa_components(text("n"), text("e")).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[emulator.issuer()]);
    let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
    Some(decoded.claims)
}

fn decode_part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn tokens_have_cognitos_shape_and_verify_with_the_published_key() {
    let emulator = start().await;
    let token = emulator.token();
    let keys = published(&emulator).await;
    assert_eq!(keys.len(), 1);
    let kid = keys[0]["kid"].clone();
    assert_eq!(decode_part(&token, 0), json!({ "kid": kid, "alg": "RS256" }));
    let mut members: Vec<_> = keys[0].as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
    let fixed = ["alg", "e", "kty", "use"].map(|name| keys[0][name].as_str().unwrap());
    assert_eq!(fixed, ["RS256", "AQAB", "RSA", "sig"]);
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(keys[0]["n"].as_str().unwrap());
    assert_eq!(modulus.unwrap().len(), 256);

    let claims = verify(&emulator, &token).await.unwrap();
    let mut names: Vec<_> = claims.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "auth_time",
            "client_id",
            "exp",
            "iat",
            "iss",
            "jti",
            "scope",
            "sub",
            "token_use",
            "version"
        ]
    );
    assert_eq!(claims["iss"], format!("{}/{POOL}", emulator.endpoint()));
    assert_eq!(claims["sub"], claims["client_id"]);
    assert_eq!(claims["token_use"], "access");
    assert_eq!(claims["scope"], "shoutback/shout");
    assert_eq!(claims["version"], 2);
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        3600
    );
    let jti = uuid::Uuid::parse_str(claims["jti"].as_str().unwrap()).unwrap();
    assert_eq!(jti.get_version_num(), 4);
    assert_ne!(decode_part(&emulator.token(), 1)["jti"], claims["jti"]);
}

#[tokio::test]
async fn signs_any_claims() {
    let emulator = start().await;
    let mut claims = emulator.claims();
    claims.insert("token_use".to_owned(), json!("id"));
    claims.remove("scope");
    let token = emulator.sign(&claims);
    assert_eq!(decode_part(&token, 1), Value::Object(claims));
    assert!(verify(&emulator, &token).await.is_some());
}

#[tokio::test]
async fn rotation_retains_or_revokes_the_old_key() {
    let emulator = start().await;
    let first = emulator.token();
    emulator.rotate(true);
    let second = emulator.token();
    assert_ne!(decode_part(&first, 0)["kid"], decode_part(&second, 0)["kid"]);
    assert!(verify(&emulator, &first).await.is_some());
    assert!(verify(&emulator, &second).await.is_some());

    emulator.rotate(false);
    assert!(verify(&emulator, &first).await.is_some());
    assert!(verify(&emulator, &second).await.is_none());
    assert!(verify(&emulator, &emulator.token()).await.is_some());
}

#[tokio::test]
async fn rotates_over_http() {
    let emulator = start().await;
    let url = format!("{}/_emulator/rotate", emulator.endpoint());
    for (query, keys) in [("", 2), ("?keep=true", 3), ("?keep=false", 3)] {
        let response = client().post(format!("{url}{query}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body["kid"], decode_part(&emulator.token(), 0)["kid"]);
        assert_eq!(published(&emulator).await.len(), keys, "{query}");
    }
    for query in ["?keep=no", "?kept=false"] {
        let response = client().post(format!("{url}{query}")).send().await.unwrap();
        assert_eq!(response.status(), 400);
        assert!(response.text().await.unwrap().contains("keep=false"));
    }
}

#[tokio::test]
async fn neither_the_client_nor_the_emulator_prints_the_secret() {
    let emulator = start().await;
    let secret = &emulator.client().secret;
    assert_eq!(secret.len(), 52);
    assert!(!format!("{emulator:?} {:?}", emulator.client()).contains(secret));
}

#[tokio::test]
async fn rejects_a_pool_id_that_is_not_valid_in_a_url() {
    for id in ["", "us-east-2/x", "a b"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = Emulator::start(listener, id).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
