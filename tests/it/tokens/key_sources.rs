//! Keys: which keys of a key set are usable, keys that tokens carry themselves, and `kid`.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shoutback::auth::AuthError;

use super::{HEADER, KID, TokenTest, ecdsa, encode, sha256_info, sign};
use crate::support::jwt::{b64, compact, with_last};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY, PrivateKey};
use crate::support::{POOL_ID, changed};

#[tokio::test]
async fn unusable_keys_are_skipped_and_the_rest_of_their_set_works() {
    let elliptic = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let point = &elliptic.public_key().as_ref()[1..];
    let (x, y) = (b64(&point[..32]), b64(&point[32..]));
    let short = PrivateKey::generate(1024);
    let shortened = PrivateKey::generate(2032);
    let long = PrivateKey::generate(3072);
    let mallory = |kid: &str, change: &[(&str, Value)]| {
        let key = MALLORY.jwk(kid);
        json!(changed(key.as_object().expect("an object").clone(), change))
    };
    let mut alg_null = MALLORY.jwk("alg null");
    alg_null["alg"] = Value::Null;
    let unusable = vec![
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "ec", "x": x, "y": y}),
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "RS256", "kid": "ec as rs256", "x": x, "y": y}),
        json!({"kty": "oct", "use": "sig", "alg": "RS256", "kid": "oct", "k": b64([7; 32])}),
        json!({"kty": "oct", "alg": "HS256", "kid": "oct hs256", "k": b64([7; 32])}),
        short.jwk("1024 bits"),
        shortened.jwk("2032 bits"),
        mallory("for encryption", &[("use", json!("enc"))]),
        mallory("use in upper case", &[("use", json!("SIG"))]),
        mallory("use a list", &[("use", json!(["sig"]))]),
        mallory("for rs512", &[("alg", json!("RS512"))]),
        mallory("for ps256", &[("alg", json!("PS256"))]),
        mallory("alg a number", &[("alg", json!(256))]),
        mallory("kty in lower case", &[("kty", json!("rsa"))]),
        mallory("kty oct", &[("kty", json!("oct")), ("k", json!(b64([7; 32])))]),
        alg_null,
        mallory("no kty", &[("kty", Value::Null)]),
        mallory("no n", &[("n", Value::Null)]),
        mallory("no e", &[("e", Value::Null)]),
        mallory("e of 1", &[("e", json!("AQ"))]),
        mallory("e of 0", &[("e", json!("AA"))]),
        mallory("e even", &[("e", json!("AQAA"))]),
        mallory("e empty", &[("e", json!(""))]),
        mallory("e of 6 bytes", &[("e", json!("AQAAAAAB"))]),
        mallory("n even", &[("n", json!(b64((&MALLORY.n - 1u8).to_bytes_be())))]),
        mallory("n not base64", &[("n", json!("!"))]),
        mallory("n of 0", &[("n", json!("AA"))]),
        mallory("n a number", &[("n", json!(15))]),
        mallory(
            "n padded",
            &[("n", json!(format!("{}==", b64(MALLORY.n.to_bytes_be()))))],
        ),
        mallory("1", &[("kid", json!(1))]),
        mallory("", &[]),
        json!(null),
        json!(1),
        json!({}),
        json!([MALLORY.jwk("in a list")]),
        json!("text"),
    ];
    let mut keys = unusable.clone();
    keys.insert(3, ADA.jwk(KID));
    keys.push(MALLORY.jwk(KID));
    keys.push(long.jwk("3072 bits"));
    let bare =
        json!({"kty": "RSA", "kid": "bare", "n": BOB.jwk("")["n"], "e": "AQAB", "x5t": "?", "key_ops": 1});
    keys.push(bare);
    let test = TokenTest::with_keys(keys, &[]).await;
    assert_eq!(test.app.metric("shoutback_jwks_keys", &[]).await, 3.0);

    let mut forged = Vec::new();
    for key in &unusable {
        let Some(kid) = key["kid"].as_str().filter(|kid| !kid.is_empty()) else {
            continue;
        };
        let token = compact(
            json!({"kid": kid, "alg": "RS256"}).to_string(),
            test.claims(),
            |message| match kid {
                "ec" | "ec as rs256" => ecdsa(&elliptic, message),
                "oct" | "oct hs256" | "kty oct" => {
                    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), message)
                        .as_ref()
                        .to_vec()
                }
                "1024 bits" => short.raw(&encode(&short, &sha256_info(message))),
                "2032 bits" => shortened.raw(&encode(&shortened, &sha256_info(message))),
                // With the exponent 1 a signature equals the encoded message.
                "e of 1" => encode(&MALLORY, &sha256_info(message)),
                _ => MALLORY.rs256(message),
            },
        );
        forged.push((kid, token));
    }
    let claims = test.app.cognito.claims();
    forged.push(("a kid that is a number in the set", MALLORY.token("1", &claims)));
    assert_eq!(forged.len(), 29);
    test.assert_all_rejected(AuthError::UnknownKey, forged).await;
    let duplicate = MALLORY.token(KID, &claims);
    test.assert_rejected(
        &AuthError::BadSignature,
        "a later key with the same kid",
        &duplicate,
    )
    .await;
    for (kid, key) in [("3072 bits", &long), ("bare", &BOB)] {
        test.assert_accepted(kid, &key.token(kid, &claims)).await;
    }
}

#[tokio::test]
async fn keys_in_tokens_are_ignored() {
    let test = TokenTest::start(&[]).await;
    let attacker = KeyServer::start(KeyResponse::keys([MALLORY.jwk(KID), MALLORY.jwk("mallory")])).await;
    let jwks_url = format!("{}/{POOL_ID}/.well-known/jwks.json", attacker.url());
    let certificate = {
        let pkcs8 = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        STANDARD.encode(params.self_signed(&pkcs8).expect("a certificate").der())
    };
    let carried = [
        ("jwk", json!(MALLORY.jwk(KID))),
        ("jku", json!(jwks_url)),
        ("x5c", json!([certificate])),
        ("x5u", json!(jwks_url)),
        ("jwks", json!({"keys": [MALLORY.jwk(KID)]})),
    ];
    for (kid, error) in [(KID, AuthError::BadSignature), ("mallory", AuthError::UnknownKey)] {
        let cases = carried.clone().map(|(name, value)| {
            let mut header = json!({"kid": kid, "alg": "RS256"});
            header[name] = value;
            let token = compact(header.to_string(), test.claims(), |message| {
                MALLORY.rs256(message)
            });
            (format!("{name} with the kid {kid}"), token)
        });
        test.assert_all_rejected(error, cases).await;
    }
    let claimed = compact(
        HEADER,
        with_last(&test.claims(), &format!(r#""jwk":{}"#, MALLORY.jwk(KID))),
        |message| MALLORY.rs256(message),
    );
    test.assert_rejected(&AuthError::BadSignature, "jwk in the claims", &claimed)
        .await;
    assert_eq!(attacker.requests_for_all(), 0, "no URL of a token is fetched");
}

#[tokio::test]
async fn a_kid_is_a_string_of_1_to_256_characters_compared_exactly() {
    let longest = "k".repeat(256);
    let longest_in_bytes = "é".repeat(256);
    let test = TokenTest::with_keys(
        vec![ADA.jwk(KID), BOB.jwk(&longest), MALLORY.jwk(&longest_in_bytes)],
        &[],
    )
    .await;
    let signed = |kid: &str| sign(format!(r#"{{"kid":{kid},"alg":"RS256"}}"#), test.claims());
    let too_long = [("k", 257), ("k", 5000), ("é", 257)];
    let too_long = too_long.map(|(character, length)| json!(character.repeat(length)).to_string());
    let invalid = r#"1 null true [] ["AdaKey/0123+456789="] {} """#.split(' ');
    let mut cases: Vec<(String, String)> = invalid
        .chain(too_long.iter().map(String::as_str))
        .map(|kid| (format!("kid {kid:.20}"), signed(kid)))
        .collect();
    cases.push(("no kid".to_owned(), sign(r#"{"alg":"RS256"}"#, test.claims())));
    test.assert_all_rejected(AuthError::UnacceptableHeader, cases)
        .await;

    let unknown = [
        r#""../../../../dev/null""#,
        r#""..\\..\\windows\\win.ini""#,
        r#""/proc/self/environ""#,
        r#""http://127.0.0.1/keys""#,
        r#""AdaKey/0123+456789=\u0000""#,
        r#""\u0000""#,
        r#""AdaKey%2F0123%2B456789%3D""#,
        r#""adakey/0123+456789=""#,
        r#"" AdaKey/0123+456789=""#,
        r#""AdaKey/0123+456789= ""#,
        r#""' OR 1=1 --""#,
        r#""*""#,
        r#""$(sleep 9)""#,
        r#""\r\nx: y""#,
        r#""1""#,
    ];
    test.assert_all_rejected(
        AuthError::UnknownKey,
        unknown.map(|kid| (format!("kid {}", kid.escape_debug()), signed(kid))),
    )
    .await;
    let claims = test.app.cognito.claims();
    for (case, token) in [
        ("256 characters", BOB.token(&longest, &claims)),
        (
            "256 characters of two bytes",
            MALLORY.token(&longest_in_bytes, &claims),
        ),
        ("an escaped kid", signed(r#""\u0041daKey\/0123+456789=""#)),
    ] {
        test.assert_accepted(case, &token).await;
    }
}
