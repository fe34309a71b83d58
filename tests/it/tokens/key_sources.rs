//! Keys: which ones of the set count, none that a token brings along, and how a token names one.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shoutback::auth::AuthError;

use super::{Gate, HEADER, KID, ecdsa, encode, sha256_info, sign};
use crate::support::jwt::{b64, compact, with_last};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY, PrivateKey};
use crate::support::{POOL_ID, changed};

#[tokio::test]
async fn keys_of_the_wrong_kind_size_or_use_are_skipped_and_the_good_ones_of_their_set_work() {
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
    let bad = vec![
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "ec", "x": x, "y": y}),
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "RS256", "kid": "ec as rs256", "x": x, "y": y}),
        json!({"kty": "oct", "use": "sig", "alg": "RS256", "kid": "oct", "k": b64([7; 32])}),
        json!({"kty": "oct", "alg": "HS256", "kid": "oct hs256", "k": b64([7; 32])}),
        short.jwk("1024 bits"),
        shortened.jwk("2032 bits"),
        mallory("for encryption", &[("use", json!("enc"))]),
        mallory("use in capitals", &[("use", json!("SIG"))]),
        mallory("use a list", &[("use", json!(["sig"]))]),
        mallory("for rs512", &[("alg", json!("RS512"))]),
        mallory("for ps256", &[("alg", json!("PS256"))]),
        mallory("alg a number", &[("alg", json!(256))]),
        mallory("kty in small letters", &[("kty", json!("rsa"))]),
        mallory("kty oct", &[("kty", json!("oct")), ("k", json!(b64([7; 32])))]),
        mallory("no kty", &[("kty", Value::Null)]),
        mallory("no n", &[("n", Value::Null)]),
        mallory("no e", &[("e", Value::Null)]),
        mallory("e of 1", &[("e", json!("AQ"))]),
        mallory("e of 0", &[("e", json!("AA"))]),
        mallory("e even", &[("e", json!("AQAA"))]),
        mallory("n of 0", &[("n", json!("AA"))]),
        mallory("n a number", &[("n", json!(15))]),
        mallory(
            "n padded",
            &[("n", json!(format!("{}==", b64(MALLORY.n.to_bytes_be()))))],
        ),
        mallory("1", &[("kid", json!(1))]),
        mallory("", &[]),
        json!(null),
        json!([MALLORY.jwk("in a list")]),
        json!("text"),
    ];
    let mut keys = bad.clone();
    keys.insert(3, ADA.jwk(KID));
    keys.push(long.jwk("3072 bits"));
    let bare =
        json!({"kty": "RSA", "kid": "bare", "n": BOB.jwk("")["n"], "e": "AQAB", "x5t": "?", "key_ops": 1});
    keys.push(bare);
    let gate = Gate::open_with(keys, &[]).await;
    assert_eq!(gate.app.metric("shoutback_jwks_keys", &[]).await, 3.0);

    let mut forged = Vec::new();
    for key in &bad {
        let Some(kid) = key["kid"].as_str().filter(|kid| !kid.is_empty()) else {
            continue;
        };
        let token = compact(
            json!({"kid": kid, "alg": "RS256"}).to_string(),
            gate.claims(),
            |message| match kid {
                "ec" | "ec as rs256" => ecdsa(&elliptic, message),
                "oct" | "oct hs256" | "kty oct" => {
                    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), message)
                        .as_ref()
                        .to_vec()
                }
                "1024 bits" => short.raw(&encode(&short, &sha256_info(message))),
                "2032 bits" => shortened.raw(&encode(&shortened, &sha256_info(message))),
                // Under the exponent 1 a signature is its own message.
                "e of 1" => encode(&MALLORY, &sha256_info(message)),
                _ => MALLORY.rs256(message),
            },
        );
        forged.push((kid, token));
    }
    forged.push((
        "a kid that is a number there",
        MALLORY.token("1", &gate.app.cognito.claims()),
    ));
    assert_eq!(forged.len(), 24);
    gate.refuses_all(&AuthError::UnknownKey, forged).await;
    for (kid, key) in [("3072 bits", &long), ("bare", &BOB)] {
        gate.accepts(kid, &key.token(kid, &gate.app.cognito.claims()))
            .await;
    }
}

#[tokio::test]
async fn keys_that_a_token_brings_along_count_for_nothing() {
    let gate = Gate::open(&[]).await;
    let attackers = KeyServer::start(KeyResponse::keys([MALLORY.jwk(KID), MALLORY.jwk("mallory")])).await;
    let jwks_url = format!("{}/{POOL_ID}/.well-known/jwks.json", attackers.url());
    let certificate = {
        let pkcs8 = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        STANDARD.encode(params.self_signed(&pkcs8).expect("a certificate").der())
    };
    let brought = [
        ("jwk", json!(MALLORY.jwk(KID))),
        ("jku", json!(jwks_url)),
        ("x5c", json!([certificate])),
        ("x5u", json!(jwks_url)),
        ("jwks", json!({"keys": [MALLORY.jwk(KID)]})),
    ];
    for (kid, refusal) in [(KID, AuthError::BadSignature), ("mallory", AuthError::UnknownKey)] {
        let cases = brought.clone().map(|(name, value)| {
            let mut header = json!({"kid": kid, "alg": "RS256"});
            header[name] = value;
            let token = compact(header.to_string(), gate.claims(), |message| {
                MALLORY.rs256(message)
            });
            (format!("{name} under the kid {kid}"), token)
        });
        gate.refuses_all(&refusal, cases).await;
    }
    let claimed = compact(
        HEADER,
        with_last(&gate.claims(), &format!(r#""jwk":{}"#, MALLORY.jwk(KID))),
        |message| MALLORY.rs256(message),
    );
    gate.refuses(&AuthError::BadSignature, "jwk among the claims", &claimed)
        .await;
    assert_eq!(
        attackers.requests_for_all(),
        0,
        "nothing is fetched where a token says"
    );
}

#[tokio::test]
async fn a_kid_is_a_string_of_1_to_256_characters_and_nothing_but_a_name() {
    let longest = "k".repeat(256);
    let longest_in_bytes = "é".repeat(256);
    let gate = Gate::open_with(
        vec![ADA.jwk(KID), BOB.jwk(&longest), MALLORY.jwk(&longest_in_bytes)],
        &[],
    )
    .await;
    let signed = |kid: &str| sign(format!(r#"{{"kid":{kid},"alg":"RS256"}}"#), gate.claims());
    let too_long = format!("\"{}\"", "k".repeat(257));
    let much_too_long = format!("\"{}\"", "k".repeat(5000));
    let too_long_in_bytes = format!("\"{}\"", "é".repeat(257));
    let mut cases: Vec<(String, String)> = [
        "1",
        "null",
        "true",
        "[]",
        r#"["AdaKey/0123+456789="]"#,
        "{}",
        r#""""#,
        &too_long,
        &too_long_in_bytes,
        &much_too_long,
    ]
    .into_iter()
    .map(|kid| (format!("kid {kid:.20}"), signed(kid)))
    .collect();
    cases.push(("no kid".to_owned(), sign(r#"{"alg":"RS256"}"#, gate.claims())));
    gate.refuses_all(&AuthError::UnacceptableHeader, cases).await;

    let strangers = [
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
    gate.refuses_all(
        &AuthError::UnknownKey,
        strangers.map(|kid| (format!("kid {}", kid.escape_debug()), signed(kid))),
    )
    .await;
    let claims = gate.app.cognito.claims();
    gate.accepts("256 characters", &BOB.token(&longest, &claims))
        .await;
    gate.accepts(
        "256 characters of two bytes",
        &MALLORY.token(&longest_in_bytes, &claims),
    )
    .await;
    gate.accepts("an escaped kid", &signed(r#""\u0041daKey\/0123+456789=""#))
        .await;
}
