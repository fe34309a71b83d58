//! Hostile tokens: each is wrong in one respect alone, is refused for that, and reaches nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use shoutback::auth::Refusal;

use crate::support::jwt::{b64, compact, seal, with_first, with_last};
use crate::support::key_server::{Answer, KeyServer};
use crate::support::rsa::{ADA, BOB, MALLORY, PrivateKey};
use crate::support::{App, POOL_ID, assert_problem, changed};

/// Cognito's are base64 too, slashes and all.
const KID: &str = "AdaKey/0123+456789=";
const HEADER: &str = r#"{"kid":"AdaKey/0123+456789=","alg":"RS256"}"#;

/// The application with a pool whose private key the test holds.
struct Gate {
    app: App,
    keys: KeyServer,
}

impl Gate {
    async fn open(variables: &[(&str, &str)]) -> Self {
        Self::open_with(vec![ADA.jwk(KID)], variables).await
    }

    async fn open_with(keys: Vec<Value>, variables: &[(&str, &str)]) -> Self {
        let keys = KeyServer::start(Answer::keys(keys)).await;
        let url = keys.url();
        let mut all = vec![("COGNITO_JWKS_ENDPOINT", url.as_str())];
        all.extend(variables);
        let app = App::start(&all).await;
        Self { app, keys }
    }

    /// The claims of a good token.
    fn claims(&self) -> String {
        self.claims_with(&[])
    }

    /// These changed; `Value::Null` removes one.
    fn claims_with(&self, change: &[(&str, Value)]) -> String {
        json!(changed(self.app.cognito.claims(), change)).to_string()
    }

    /// One claim with this text for its value, whatever that is.
    fn claims_with_text(&self, name: &str, value: &str) -> String {
        with_last(
            &self.claims_with(&[(name, Value::Null)]),
            &format!("\"{name}\":{value}"),
        )
    }

    fn good(&self) -> String {
        sign(HEADER, self.claims())
    }

    async fn accepts(&self, case: &str, token: &str) {
        self.accepts_request(case, self.app.shout_with(token, case)).await;
    }

    async fn accepts_request(&self, case: &str, request: RequestBuilder) {
        let calls = self.app.shoutcloud.calls();
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{case}");
        assert_eq!(self.app.shoutcloud.calls(), calls + 1, "{case}");
    }

    async fn refuses(&self, refusal: &Refusal, case: &str, token: &str) {
        self.refuses_request(refusal, case, self.app.shout_with(token, case))
            .await;
    }

    async fn refuses_request(&self, refusal: &Refusal, case: &str, request: RequestBuilder) {
        let calls = self.app.shoutcloud.calls();
        let response = request.send().await.expect("an answer");
        let (status, name, challenge) = match refusal {
            Refusal::MissingScope(_) | Refusal::MissingGroup => {
                (403, "forbidden", "Bearer error=\"insufficient_scope\"")
            }
            Refusal::Missing => (401, "unauthenticated", "Bearer"),
            _ => (401, "unauthenticated", "Bearer error=\"invalid_token\""),
        };
        assert_eq!(response.status(), status, "{case}");
        let sent = response.headers()["www-authenticate"].to_str().expect("ASCII");
        if status == 403 {
            assert!(sent.starts_with(challenge), "{case}: {sent}");
        } else {
            assert_eq!(sent, challenge, "{case}");
        }
        let problem = assert_problem(response, status, name).await;
        assert_eq!(problem["detail"], refusal.to_string(), "{case}");
        assert_eq!(
            self.app.shoutcloud.calls(),
            calls,
            "{case} has reached the upstream"
        );
    }

    /// All of these for the same reason; a good token gets in before and after.
    async fn refuses_all<N: Into<String>>(
        &self,
        refusal: &Refusal,
        cases: impl IntoIterator<Item = (N, String)>,
    ) {
        self.accepts("a good token before", &self.good()).await;
        for (case, token) in cases {
            self.refuses(refusal, &case.into(), &token).await;
        }
        self.accepts("a good token after", &self.good()).await;
    }
}

/// A token of these two texts, signed by the pool's key.
fn sign(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    compact(header, claims, |message| ADA.rs256(message))
}

fn header_with_alg(alg: &str) -> String {
    json!({"kid": KID, "alg": alg}).to_string()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a year before the end of time")
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused_however_none_is_spelt() {
    let gate = Gate::open(&[]).await;
    let mut cases = Vec::new();
    for alg in [
        r#""none""#,
        r#""None""#,
        r#""NONE""#,
        r#""nOnE""#,
        r#""""#,
        r#"" none""#,
        r#""none\u0000""#,
        r#""n\u006fne""#,
        "null",
        "0",
        "false",
        r#"["none"]"#,
        r#"["RS256"]"#,
        r#"{"alg":"RS256"}"#,
        r#""RS256 ""#,
        r#""rs256""#,
        r#""RS256\u0000""#,
    ] {
        let header = format!(r#"{{"kid":"{KID}","alg":{alg}}}"#);
        cases.push((
            format!("{alg} unsigned"),
            compact(&header, gate.claims(), |_| vec![]),
        ));
        cases.push((format!("{alg} signed"), sign(&header, gate.claims())));
    }
    let without = format!(r#"{{"kid":"{KID}"}}"#);
    cases.push((
        "no alg, unsigned".to_owned(),
        compact(&without, gate.claims(), |_| vec![]),
    ));
    cases.push(("no alg, signed".to_owned(), sign(&without, gate.claims())));
    gate.refuses_all(&Refusal::UnacceptableHeader, cases).await;

    let unsigned = compact(HEADER, gate.claims(), |_| vec![]);
    gate.refuses(&Refusal::BadSignature, "RS256 unsigned", &unsigned)
        .await;
}

#[tokio::test]
async fn a_public_key_is_nobodys_shared_secret() {
    let gate = Gate::open(&[]).await;
    let public = ADA.pair().public_key();
    let pkcs1 = public.as_ref().to_vec();
    let spki = public.as_der().expect("DER").as_ref().to_vec();
    let pem = |label: &str, der: &[u8]| {
        let lines: Vec<String> = STANDARD
            .encode(der)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----",
            lines.join("\n")
        )
    };
    let spki_pem = pem("PUBLIC KEY", &spki);
    let pkcs1_pem = pem("RSA PUBLIC KEY", &pkcs1);
    let secrets = [
        ("SPKI", spki),
        ("SPKI as PEM and a line end", format!("{spki_pem}\n").into_bytes()),
        ("SPKI as PEM", spki_pem.into_bytes()),
        ("PKCS#1", pkcs1),
        (
            "PKCS#1 as PEM and a line end",
            format!("{pkcs1_pem}\n").into_bytes(),
        ),
        ("PKCS#1 as PEM", pkcs1_pem.into_bytes()),
        ("the modulus", ADA.n.to_bytes_be()),
        (
            "the modulus as in the key set",
            b64(ADA.n.to_bytes_be()).into_bytes(),
        ),
        ("the key as in the key set", ADA.jwk(KID).to_string().into_bytes()),
        ("nothing", vec![]),
    ];
    let algorithms = [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ];
    let forge = |alg: &str, algorithm, secret: &[u8]| {
        compact(header_with_alg(alg), gate.claims(), |message| {
            hmac::sign(&hmac::Key::new(algorithm, secret), message)
                .as_ref()
                .to_vec()
        })
    };
    let (mut honest, mut disguised) = (Vec::new(), Vec::new());
    for (alg, algorithm) in algorithms {
        for (name, secret) in &secrets {
            honest.push((format!("{alg} with {name}"), forge(alg, algorithm, secret)));
            disguised.push((
                format!("{alg} called RS256 with {name}"),
                forge("RS256", algorithm, secret),
            ));
        }
    }
    gate.refuses_all(&Refusal::UnacceptableHeader, honest).await;
    gate.refuses_all(&Refusal::BadSignature, disguised).await;
}

#[tokio::test]
async fn the_pools_own_key_counts_with_rs256_alone() {
    let gate = Gate::open(&[]).await;
    let encodings: [(&str, &'static dyn RsaEncoding); 3] = [
        ("PS256", &RSA_PSS_SHA256),
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
    ];
    let signed = |alg: &str, encoding| {
        compact(header_with_alg(alg), gate.claims(), |message| {
            ADA.sign(encoding, message)
        })
    };
    gate.refuses_all(
        &Refusal::UnacceptableHeader,
        encodings.map(|(alg, encoding)| (alg, signed(alg, encoding))),
    )
    .await;
    gate.refuses_all(
        &Refusal::UnacceptableHeader,
        encodings.map(|(alg, _)| (format!("RS256 called {alg}"), signed(alg, &RSA_PKCS1_SHA256))),
    )
    .await;
    gate.refuses_all(
        &Refusal::BadSignature,
        encodings.map(|(alg, encoding)| (format!("{alg} called RS256"), signed("RS256", encoding))),
    )
    .await;

    let elliptic = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let es256 = |alg: &str| {
        compact(header_with_alg(alg), gate.claims(), |message| {
            ecdsa(&elliptic, message)
        })
    };
    gate.refuses(&Refusal::UnacceptableHeader, "ES256", &es256("ES256"))
        .await;
    gate.refuses(&Refusal::BadSignature, "ES256 called RS256", &es256("RS256"))
        .await;
}

fn ecdsa(key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    let signature = key.sign(&SystemRandom::new(), message).expect("a signature");
    signature.as_ref().to_vec()
}

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
    gate.refuses_all(&Refusal::UnknownKey, forged).await;
    for (kid, key) in [("3072 bits", &long), ("bare", &BOB)] {
        gate.accepts(kid, &key.token(kid, &gate.app.cognito.claims()))
            .await;
    }
}

#[tokio::test]
async fn keys_that_a_token_brings_along_count_for_nothing() {
    let gate = Gate::open(&[]).await;
    let attackers = KeyServer::start(Answer::keys([MALLORY.jwk(KID), MALLORY.jwk("mallory")])).await;
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
    for (kid, refusal) in [(KID, Refusal::BadSignature), ("mallory", Refusal::UnknownKey)] {
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
    gate.refuses(&Refusal::BadSignature, "jwk among the claims", &claimed)
        .await;
    assert_eq!(
        attackers.requests_for_all(),
        0,
        "nothing is fetched where a token says"
    );
}

#[tokio::test]
async fn critical_extensions_are_refused_all_of_them() {
    let gate = Gate::open(&[]).await;
    let cases = [
        r#"["b64"]"#,
        r#"["exp"]"#,
        r#"["x"]"#,
        "[]",
        "null",
        "false",
        r#""""#,
    ]
    .map(|crit| {
        let header = with_last(HEADER, &format!(r#""crit":{crit},"b64":true,"x":1"#));
        (format!("crit {crit}"), sign(header, gate.claims()))
    });
    gate.refuses_all(&Refusal::UnacceptableHeader, cases).await;
    let unknown = with_last(HEADER, r#""typ":"JWT","x":[1,{"y":null}]"#);
    gate.accepts("unknown header members", &sign(unknown, gate.claims()))
        .await;
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
    gate.refuses_all(&Refusal::UnacceptableHeader, cases).await;

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
        &Refusal::UnknownKey,
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

#[tokio::test]
async fn no_name_occurs_twice() {
    let gate = Gate::open(&[]).await;
    let mut cases = Vec::new();
    for member in [
        r#""alg":"none""#,
        r#""alg":"RS256""#,
        r#""\u0061lg":"RS256""#,
        r#""\u0061\u006c\u0067":"HS256""#,
        r#""kid":"AdaKey/0123+456789=""#,
        r#""k\u0069d":"other""#,
        r#""x":1,"x":1"#,
        r#""x":1,"\u0078":2"#,
        r#""crit":[],"crit":[]"#,
    ] {
        for (place, header) in [
            ("first", with_first(HEADER, member)),
            ("last", with_last(HEADER, member)),
        ] {
            cases.push((
                format!("header {} {place}", member.escape_debug()),
                sign(header, gate.claims()),
            ));
        }
    }
    let issuer = gate.app.cognito.issuer();
    let client = &gate.app.cognito.client().id;
    let claims = with_last(&gate.claims(), r#""nbf":0,"cognito:groups":["g"]"#);
    for member in [
        format!(r#""iss":"{issuer}""#),
        r#""iss":"https://evil.example""#.to_owned(),
        format!(r#""\u0069ss":"{issuer}""#),
        r#""token_use":"access""#.to_owned(),
        r#""token_use":"id""#.to_owned(),
        r#""token\u005fuse":"access""#.to_owned(),
        format!(r#""client_id":"{client}""#),
        r#""client_id":"other""#.to_owned(),
        r#""exp":4000000000"#.to_owned(),
        r#""exp":0"#.to_owned(),
        r#""\u0065xp":4000000000"#.to_owned(),
        r#""nbf":0"#.to_owned(),
        r#""scope":"shoutback/shout""#.to_owned(),
        r#""cognito:groups":["g"]"#.to_owned(),
        r#""cognito\u003agroups":["g"]"#.to_owned(),
        r#""sub":"somebody else""#.to_owned(),
        r#""x":1,"x":1"#.to_owned(),
        r#""x":1,"\u0078":1"#.to_owned(),
    ] {
        for (place, claims) in [
            ("first", with_first(&claims, &member)),
            ("last", with_last(&claims, &member)),
        ] {
            cases.push((
                format!("claim {} {place}", member.escape_debug()),
                sign(HEADER, claims),
            ));
        }
    }
    gate.refuses_all(&Refusal::MalformedToken, cases).await;
    gate.accepts("each of them once", &sign(HEADER, claims)).await;
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
    let no_scope = Refusal::MissingScope("shoutback/shout".to_owned());
    let table: [(&str, &Refusal, Vec<String>); 7] = [
        (
            "iss",
            &Refusal::UnknownIssuer,
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
            &Refusal::NotAnAccessToken,
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
            &Refusal::UnknownClient,
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
            &Refusal::Expired,
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
            &Refusal::NotYetValid,
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
            &Refusal::MissingGroup,
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
        ("iss", &Refusal::UnknownIssuer),
        ("token_use", &Refusal::NotAnAccessToken),
        ("client_id", &Refusal::UnknownClient),
        ("scope", &no_scope),
        ("cognito:groups", &Refusal::MissingGroup),
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
        gate.refuses(&Refusal::UnknownClient, client, &sign(HEADER, claims))
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
            gate.refuses(&Refusal::Expired, &case, &with("exp", now() - seconds - late))
                .await;
        }
        let case = format!("a minute left of a leeway of {leeway}");
        gate.accepts(&case, &with("exp", now() - seconds + 60)).await;
        for early in [60, 4_000_000_000] {
            let case = format!("{early} s early by a leeway of {leeway}");
            gate.refuses(
                &Refusal::NotYetValid,
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
        let refusal = Refusal::MissingScope(missing.to_owned());
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
    gate.refuses(&Refusal::MissingGroup, "no group", &with("a/read a/write", &[]))
        .await;

    let open = Gate::open(&[("AUTH_REQUIRED_SCOPES", "")]).await;
    let bare = open.claims_with(&[("scope", Value::Null)]);
    open.accepts("no scope is asked for", &sign(HEADER, bare)).await;
}

#[tokio::test]
async fn header_and_claims_are_json_objects_in_utf_8() {
    let gate = Gate::open(&[]).await;
    let broken = |good: &str| -> Vec<(&str, Vec<u8>)> {
        let bytes = |text: String| text.into_bytes();
        let bent = |member: &str| bytes(with_last(good, member));
        let mut bad_utf8 = bent(r#""x":"?""#);
        let at = bad_utf8
            .iter()
            .rposition(|byte| *byte == b'?')
            .expect("it was put in");
        bad_utf8[at] = 0xFF;
        let mut overlong = bent(r#""x":"??""#);
        let at = overlong
            .iter()
            .rposition(|byte| *byte == b'?')
            .expect("it was put in");
        overlong[at - 1..=at].copy_from_slice(&[0xC0, 0xAF]);
        vec![
            ("an array of it", bytes(format!("[{good}]"))),
            (
                "an array of its values",
                bytes(r#"["RS256","AdaKey/0123+456789="]"#.to_owned()),
            ),
            ("a string", bytes(json!(good).to_string())),
            ("null", bytes("null".to_owned())),
            ("a number", bytes("1".to_owned())),
            ("nothing", vec![]),
            ("a byte order mark", bytes(format!("\u{feff}{good}"))),
            ("two objects", bytes(format!("{good}{good}"))),
            ("more after it", bytes(format!("{good}x"))),
            ("a NUL after it", bytes(format!("{good}\0"))),
            ("cut off", bytes(good[..good.len() - 1].to_owned())),
            ("a comma too many", bytes(good.replace('}', ",}"))),
            ("a comment", bytes(format!("/**/{good}"))),
            ("single quotes", bytes(good.replace('"', "'"))),
            ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("bad UTF-8", bad_utf8),
            ("an overlong slash", overlong),
            ("a lone surrogate", bent(r#""x":"\ud800""#)),
            ("a lone surrogate in a name", bent(r#""\udc00":1"#)),
            ("surrogates in the wrong order", bent(r#""x":"\udc00\ud800""#)),
            ("a raw line end in a string", bent("\"x\":\"\n\"")),
            ("not a number", bent(r#""x":NaN"#)),
            ("infinity", bent(r#""x":-Infinity"#)),
            ("a leading zero", bent(r#""x":01"#)),
        ]
    };
    let claims = gate.claims();
    let mut cases = Vec::new();
    for (name, header) in broken(HEADER) {
        cases.push((format!("header: {name}"), sign(header, &claims)));
    }
    for (name, claims) in broken(&claims) {
        cases.push((format!("claims: {name}"), sign(HEADER, claims)));
    }
    let deep = format!("{}1{}", "[".repeat(2500), "]".repeat(2500));
    let claims_too_deep = gate.claims_with_text("scope", &deep);
    cases.push(("scope nested deep".to_owned(), sign(HEADER, claims_too_deep)));
    for exp in [
        "1e400",
        "Infinity",
        "NaN",
        "0x7fffffff",
        "+4000000000",
        "4000000000.",
    ] {
        let claims = gate.claims_with_text("exp", exp);
        cases.push((format!("exp {exp}"), sign(HEADER, claims)));
    }
    gate.refuses_all(&Refusal::MalformedToken, cases).await;

    let spaced = format!(" \r\n\t{HEADER}\n");
    let odd = with_last(&claims, r#""x":"\ud83d\ude00 é 😀","y":[{"x":1},{"x":1}]"#);
    gate.accepts(
        "white space, pairs of surrogates, other letters",
        &sign(spaced, odd),
    )
    .await;
    let deep = with_last(&claims, &format!(r#""x":{deep}"#));
    gate.accepts("what nobody reads nested deep", &sign(HEADER, deep))
        .await;
}

#[tokio::test]
async fn a_part_has_one_spelling_in_base64url() {
    let gate = Gate::open(&[]).await;
    // One byte more than a multiple of three leaves four bits over; the question marks bring a character that the other
    // alphabet has not.
    let pad = |text: String| text.clone() + &" ".repeat((4 - text.len() % 3) % 3);
    let header = b64(pad(with_last(HEADER, r#""x":"????""#)));
    let claims = b64(pad(with_last(&gate.claims(), r#""x":"????""#)));
    let sealed = |header: &str, claims: &str| seal(header, claims, |message| ADA.rs256(message));
    let signature = |token: &str| token.rsplit('.').next().expect("three parts").to_owned();
    let good = (0..1000)
        .map(|_| sealed(&header, &b64(pad(with_last(&gate.claims(), r#""x":"????""#)))))
        .find(|token| signature(token).contains(['-', '_']))
        .expect("most signatures have one of them");
    gate.accepts("one of this form", &good).await;
    let sound = signature(&good);
    let message = good.strip_suffix(&sound).expect("it ends so");

    let other_alphabet = |part: &str| {
        assert!(part.contains(['-', '_']), "{part}");
        part.replace('-', "+").replace('_', "/")
    };
    let stray = |part: &str, by: u8| {
        let (rest, last) = part.split_at(part.len() - 1);
        let last = last.as_bytes()[0];
        assert!(b"AQgw".contains(&last), "four bits of {part} are free");
        format!("{rest}{}", char::from(last + by))
    };
    type Bend<'a> = &'a dyn Fn(&str) -> String;
    let bends: [(&str, Bend<'_>); 14] = [
        ("padded", &|part| format!("{part}==")),
        ("half padded", &|part| format!("{part}=")),
        ("padded twice", &|part| format!("{part}====")),
        ("in the other alphabet", &other_alphabet),
        ("with one stray bit", &|part| stray(part, 1)),
        ("with four stray bits", &|part| stray(part, 7)),
        ("with a space before", &|part| format!(" {part}")),
        ("with a space inside", &|part| {
            format!("{} {}", &part[..8], &part[8..])
        }),
        ("with a tab inside", &|part| {
            format!("{}\t{}", &part[..8], &part[8..])
        }),
        ("with a character left over", &|part| format!("{part}AAA")),
        ("percent-encoded", &|part| {
            format!("%{:02x}{}", part.as_bytes()[0], &part[1..])
        }),
        ("with a foreign character", &|part| format!("{part}!A")),
        ("with padding inside", &|part| {
            format!("{}=={}", &part[..8], &part[8..])
        }),
        ("empty", &|_| String::new()),
    ];
    let mut cases = Vec::new();
    for (how, bend) in bends {
        if how != "with a space before" {
            cases.push((format!("header {how}"), sealed(&bend(&header), &claims)));
        }
        cases.push((format!("claims {how}"), sealed(&header, &bend(&claims))));
        if how != "empty" {
            cases.push((format!("signature {how}"), format!("{message}{}", bend(&sound))));
        }
    }
    gate.refuses_all(&Refusal::MalformedToken, cases).await;
}

#[tokio::test]
async fn a_token_has_three_parts() {
    let gate = Gate::open(&[]).await;
    let good = gate.good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts");
    };
    let encrypted = b64(r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"AdaKey/0123+456789="}"#);
    let cases = [
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("two parts, claims first", format!("{claims}.{signature}")),
        ("four parts", format!("{good}.{signature}")),
        ("an empty fourth part", format!("{good}.")),
        ("an empty part before", format!(".{good}")),
        ("an empty part within", format!("{header}..{claims}.{signature}")),
        ("claims left out", format!("{header}..{signature}")),
        ("header left out", format!(".{claims}.{signature}")),
        ("dots alone", "..".to_owned()),
        ("a dot", ".".to_owned()),
        ("many dots", ".".repeat(8000)),
        ("a word", "token".to_owned()),
        (
            "JWE",
            format!("{encrypted}.{header}.{claims}.{signature}.{header}"),
        ),
        (
            "JWE with a good header",
            format!("{header}.{header}.{claims}.{signature}.{header}"),
        ),
        (
            "JSON serialization",
            json!({"payload": claims, "signatures": [{"protected": header, "signature": signature}]})
                .to_string(),
        ),
        ("quoted", format!("\"{good}\"")),
        ("two tokens", format!("{good},{good}")),
        ("two tokens with a space", format!("{good} {good}")),
    ];
    gate.refuses_all(&Refusal::MalformedToken, cases).await;
    gate.refuses_all(
        &Refusal::BadSignature,
        [
            ("no signature", format!("{header}.{claims}.")),
            ("the signature of another token", {
                let other = gate.good();
                let signature = other.rsplit('.').next().expect("three parts");
                format!("{header}.{claims}.{signature}")
            }),
            ("another's claims", {
                let claims = b64(gate.claims_with(&[("sub", json!("somebody else"))]));
                format!("{header}.{claims}.{signature}")
            }),
        ],
    )
    .await;
}

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
        gate.refuses(&Refusal::MalformedHeader, &case, &of_length(length))
            .await;
    }
    let longest = "a".repeat(60_000);
    gate.refuses(&Refusal::MalformedHeader, "60,000 bytes", &longest)
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
        gate.refuses_request(&Refusal::Missing, &case, request(&[value]))
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
        gate.refuses_request(&Refusal::MalformedHeader, &case, request(values))
            .await;
    }
    for value in [
        format!("Bearer {bearer}"),
        format!("Bearer {good},"),
        format!("Bearer token={good}"),
        format!("Bearer {bearer}, {bearer}"),
    ] {
        let case = format!("{value:.16}");
        gate.refuses_request(&Refusal::MalformedToken, &case, request(&[&value]))
            .await;
    }
    let opaque = reqwest::header::HeaderValue::from_bytes(b"Bearer \xe9.\xe9.\xe9").expect("opaque bytes");
    gate.refuses_request(
        &Refusal::MalformedHeader,
        "bytes that are not ASCII",
        gate.app.post().header("authorization", opaque),
    )
    .await;
    gate.refuses_request(&Refusal::Missing, "no header", request(&[]))
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
            gate.refuses_request(&Refusal::Missing, name, url("").header(name, value))
                .await;
        }
    }
    for query in [
        format!("?access_token={good}"),
        format!("?authorization=Bearer%20{good}"),
    ] {
        gate.refuses_request(&Refusal::Missing, "in the query", url(&query))
            .await;
    }
    let form = url("")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("access_token={good}"));
    gate.refuses_request(&Refusal::Missing, "in a form", form).await;
    let body = gate
        .app
        .post()
        .header("content-type", "application/json")
        .body(json!({"data": "hi", "access_token": good}).to_string());
    gate.refuses_request(&Refusal::Missing, "in the body", body).await;
    gate.accepts("in its header", &good).await;
}

/// The `DigestInfo` of SHA-256 without the digest: SEQUENCE of an AlgorithmIdentifier with NULL parameters and 32 octets.
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

fn sha256(message: &[u8]) -> Vec<u8> {
    digest(&digest::SHA256, message).as_ref().to_vec()
}

fn sha256_info(message: &[u8]) -> Vec<u8> {
    [&SHA256_INFO[..], &sha256(message)].concat()
}

/// EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) of `info` for `key`.
fn encode(key: &PrivateKey, info: &[u8]) -> Vec<u8> {
    padded(key.size() - info.len() - 3, &[&[0], info])
}

/// 00 01, as many bytes FF, and `tail`.
fn padded(filler: usize, tail: &[&[u8]]) -> Vec<u8> {
    [&[0, 1], &vec![0xFF; filler][..], &tail.concat()].concat()
}

/// An encoded message of 256 bytes that ends with `tail`, as much padding before it as fits.
fn ending_in(tail: &[&[u8]]) -> Vec<u8> {
    padded(254 - tail.concat().len(), tail)
}

#[tokio::test]
async fn only_the_one_right_padding_makes_a_signature() {
    let gate = Gate::open(&[]).await;
    let message = format!("{}.{}", b64(HEADER), b64(gate.claims()));
    let digest_of = |algorithm| digest(algorithm, message.as_bytes()).as_ref().to_vec();
    let hash = digest_of(&digest::SHA256);
    let (sha1, sha512) = (
        digest_of(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        digest_of(&digest::SHA512),
    );
    let info = [&SHA256_INFO[..], &hash].concat();
    let right = encode(&ADA, &info);
    let signed = |encoded: &[u8]| {
        assert_eq!(encoded.len(), ADA.size());
        format!("{message}.{}", b64(ADA.raw(encoded)))
    };
    gate.accepts("signed by hand", &signed(&right)).await;

    let garbage = [0xA5u8; 256];
    let (oid, octets) = (&SHA256_INFO[4..15], [0x04, 0x20]);
    let replaced = |at: usize, byte: u8| {
        let mut encoded = right.clone();
        encoded[at] = byte;
        encoded
    };
    let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
    let info_with = |changes: &[(usize, u8)], digest: &[u8]| {
        let mut head = SHA256_INFO;
        for (at, byte) in changes {
            head[*at] = *byte;
        }
        ending_in(&[&[0], &head, digest])
    };
    let sha1_info = |length: u8, octets: u8, digest: &[u8]| {
        let head = [
            0x30, length, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04,
        ];
        ending_in(&[&[0], &head, &[octets], digest])
    };
    let algorithm_with =
        |head: &[u8], parameters: &[u8]| ending_in(&[&[0], head, oid, parameters, &octets, &hash]);
    let random_padding = [&[0, 2], &garbage[..202], &[0], &info].concat();
    let mut backwards = reversed(&right);
    // It begins with the digest now, which may make it larger than the modulus.
    backwards[0] &= 0x7F;

    let lead = [
        ("block type 2", replaced(1, 2)),
        ("block type 2 with its random padding", random_padding),
        ("block type 0", replaced(1, 0)),
        ("01 01 in front", replaced(0, 1)),
    ];
    let padding = [
        ("another byte first in the padding", replaced(2, 0xFE)),
        ("another byte within the padding", replaced(100, 0x7F)),
        ("another byte last in the padding", replaced(203, 0xFE)),
        ("a zero within the padding", replaced(100, 0)),
        ("a separator of 01", replaced(204, 1)),
        ("a separator of FF", replaced(204, 0xFF)),
        ("no separator", ending_in(&[&info])),
        ("two separators", ending_in(&[&[0, 0], &info])),
        (
            "8 of padding, garbage, digest",
            padded(8, &[&garbage[..194], &[0], &info]),
        ),
        ("right-aligned without padding", [&[0; 205][..], &info].concat()),
        ("a bare digest, right-aligned", [&[0; 224][..], &hash].concat()),
    ];
    let trailing = [
        (
            "7 of padding, digest, garbage",
            padded(7, &[&[0], &info, &garbage[..195]]),
        ),
        (
            "8 of padding, digest, garbage",
            padded(8, &[&[0], &info, &garbage[..194]]),
        ),
        (
            "8 of padding, digest, zeros",
            padded(8, &[&[0], &info, &[0; 194]]),
        ),
        (
            "no padding, digest, garbage",
            padded(0, &[&[0], &info, &garbage[..202]]),
        ),
        ("one byte after the digest", ending_in(&[&[0], &info, &[0]])),
        (
            "100 bytes after the digest",
            ending_in(&[&[0], &info, &garbage[..100]]),
        ),
        ("the digest twice", ending_in(&[&[0], &info, &hash])),
    ];
    let algorithm = [
        ("SHA-1", sha1_info(0x21, 0x14, &sha1)),
        ("SHA-1's name over SHA-256's digest", sha1_info(0x2d, 0x20, &hash)),
        ("SHA-512", info_with(&[(1, 0x51), (14, 3), (18, 0x40)], &sha512)),
        (
            "SHA-512's name over SHA-256's digest",
            info_with(&[(14, 3)], &hash),
        ),
        (
            "SHA-384's name over SHA-256's digest",
            info_with(&[(14, 2)], &hash),
        ),
        (
            "SHA-256's name over SHA-512's digest",
            info_with(&[(1, 0x51), (18, 0x40)], &sha512),
        ),
        ("no DigestInfo", ending_in(&[&[0], &hash])),
        ("no algorithm", ending_in(&[&[0], &octets, &hash])),
        ("no parameters", algorithm_with(&[0x30, 0x2f, 0x30, 0x0b], &[])),
        (
            "parameters that are a sequence",
            algorithm_with(&[0x30, 0x31, 0x30, 0x0d], &[0x30, 0x00]),
        ),
        (
            "a NULL with content",
            algorithm_with(&[0x30, 0x32, 0x30, 0x0e], &[0x05, 0x01, 0x00]),
        ),
        (
            "garbage for parameters",
            algorithm_with(
                &[0x30, 0x81, 0x94, 0x30, 0x70],
                &[&[0x04, 0x63], &garbage[..99]].concat(),
            ),
        ),
    ];
    let lengths = [
        (
            "a long outer length",
            ending_in(&[&[0, 0x30, 0x81, 0x31], &info[2..]]),
        ),
        (
            "a long length of the algorithm",
            ending_in(&[&[0, 0x30, 0x32, 0x30, 0x81, 0x0d], &info[4..]]),
        ),
        (
            "a long length of NULL",
            algorithm_with(&[0x30, 0x32, 0x30, 0x0e], &[0x05, 0x81, 0x00]),
        ),
        (
            "a long length of the digest",
            ending_in(&[&[0, 0x30, 0x32], &info[2..17], &[0x04, 0x81, 0x20], &hash]),
        ),
        (
            "an indefinite length",
            ending_in(&[&[0, 0x30, 0x80], &info[2..], &[0, 0]]),
        ),
        ("an outer length one too long", info_with(&[(1, 0x32)], &hash)),
        ("a constructed octet string", info_with(&[(17, 0x24)], &hash)),
    ];
    let content = [
        ("the digest cut by a byte", info_with(&[], &hash[..31])),
        ("the digest with one bit turned", replaced(255, right[255] ^ 1)),
        ("the digest backwards", info_with(&[], &reversed(&hash))),
        ("the digest of the digest", info_with(&[], &sha256(&hash))),
        ("the digest of nothing", info_with(&[], &sha256(b""))),
        (
            "the message itself",
            ending_in(&[&[0], &message.as_bytes()[..100]]),
        ),
        ("all of it backwards", backwards),
    ];
    let forged: [&[(&str, Vec<u8>)]; 6] = [&lead, &padding, &trailing, &algorithm, &lengths, &content];
    let cases = forged
        .concat()
        .into_iter()
        .map(|(case, encoded)| (case, signed(&encoded)))
        .collect::<Vec<_>>();
    gate.refuses_all(&Refusal::BadSignature, cases).await;
}

#[tokio::test]
async fn a_signature_is_one_number_below_the_modulus_with_as_many_bytes() {
    let gate = Gate::open(&[]).await;
    let number = |bytes: &[u8]| BigUint::from_bytes_be(bytes);
    let one = BigUint::from(1u8);
    // Tokens whose signature has the form that a forgery starts from.
    let search = |has_form: &dyn Fn(&[u8]) -> bool| {
        (0..100_000)
            .map(|nonce| {
                let claims = gate.claims_with(&[("nonce", json!(nonce))]);
                let message = format!("{}.{}", b64(HEADER), b64(claims));
                let signature = ADA.rs256(message.as_bytes());
                (message, signature)
            })
            .find(|(_, signature)| has_form(signature))
            .expect("one in some hundred has it")
    };
    let token = |message: &str, signature: &[u8]| format!("{message}.{}", b64(signature));

    let (message, sound) = search(&|_| true);
    let s = number(&sound);
    gate.accepts("unchanged", &token(&message, &sound)).await;
    let mut cases = vec![
        ("0", ADA.fixed(&BigUint::ZERO)),
        ("1", ADA.fixed(&one)),
        ("the modulus", ADA.fixed(&ADA.n)),
        ("the modulus less 1", ADA.fixed(&(&ADA.n - &one))),
        ("the modulus and 1", ADA.fixed(&(&ADA.n + &one))),
        ("negated", ADA.fixed(&(&ADA.n - &s))),
        ("one more", ADA.fixed(&((&s + &one) % &ADA.n))),
        ("all ones", vec![0xFF; 256]),
        ("0 of one byte", vec![0]),
        ("1 of one byte", vec![1]),
        ("a zero in front", [&[0][..], &sound].concat()),
        ("many zeros in front", [&[0; 256][..], &sound].concat()),
        ("a zero behind", [&sound[..], &[0]].concat()),
        ("twice", [&sound[..], &sound].concat()),
        ("the first byte cut off", sound[1..].to_vec()),
        ("the last byte cut off", sound[..255].to_vec()),
        ("half of it", sound[..128].to_vec()),
        ("backwards", sound.iter().rev().copied().collect()),
        (
            "the padded digest, unsigned",
            encode(&ADA, &sha256_info(message.as_bytes())),
        ),
        ("another key's", MALLORY.rs256(message.as_bytes())),
        ("the next modulus", (&s + &ADA.n + &ADA.n).to_bytes_be()),
    ]
    .into_iter()
    .map(|(name, signature)| (name, token(&message, &signature)))
    .collect::<Vec<_>>();

    let (message, sound) = search(&|signature| signature[0] == 0);
    gate.accepts("a first byte that is zero", &token(&message, &sound))
        .await;
    cases.push(("its first byte, a zero, cut off", token(&message, &sound[1..])));

    let shifted = |signature: &[u8]| (number(signature) + &ADA.n).to_bytes_be();
    let (message, sound) = search(&|signature| shifted(signature).len() == 256);
    gate.accepts("one that is small", &token(&message, &sound)).await;
    cases.push((
        "the modulus added, as many bytes",
        token(&message, &shifted(&sound)),
    ));
    let (message, sound) = search(&|signature| shifted(signature).len() == 257);
    cases.push((
        "the modulus added, one byte more",
        token(&message, &shifted(&sound)),
    ));
    gate.refuses_all(&Refusal::BadSignature, cases).await;
}

#[tokio::test]
async fn a_refused_token_is_refused_again_and_never_remembered() {
    let gate = Gate::open(&[]).await;
    let forged = compact(HEADER, gate.claims(), |message| MALLORY.rs256(message));
    for _ in 0..3 {
        gate.refuses(&Refusal::BadSignature, "forged", &forged).await;
    }
    let hits = gate
        .app
        .metric("shoutback_token_cache_total", &[r#"result="hit""#])
        .await;
    assert_eq!(hits, 0.0);
    let good = gate.good();
    gate.accepts("good", &good).await;
    let (rest, signature) = good.rsplit_once('.').expect("three parts");
    let spliced = format!("{rest}.{}", forged.rsplit('.').next().expect("three parts"));
    gate.refuses(
        &Refusal::BadSignature,
        "a remembered token with another signature",
        &spliced,
    )
    .await;
    let spaced = format!("{rest}. {signature}");
    gate.refuses(
        &Refusal::MalformedToken,
        "a remembered token spelt otherwise",
        &spaced,
    )
    .await;
}

#[tokio::test]
async fn checks_come_in_the_contracts_order() {
    let gate = Gate::open(&[]).await;
    let claims = |wrong: &[(&str, Value)]| gate.claims_with(wrong);
    let (iss, kind, client, exp, nbf, scope) = (
        ("iss", json!("https://evil.example")),
        ("token_use", json!("id")),
        ("client_id", json!("other")),
        ("exp", json!(0)),
        ("nbf", json!(4_000_000_000u64)),
        ("scope", json!("openid")),
    );
    let all = [iss, kind, client, exp, nbf, scope];
    let stranger = r#"{"kid":"stranger","alg":"RS256"}"#;
    let mallory = |header: &str, claims: String| compact(header, claims, |message| MALLORY.rs256(message));
    gate.refuses(
        &Refusal::UnacceptableHeader,
        "header before issuer",
        &mallory(r#"{"kid":"stranger","alg":"RS512"}"#, claims(&all)),
    )
    .await;
    gate.refuses(
        &Refusal::UnknownIssuer,
        "issuer before key",
        &mallory(stranger, claims(&all)),
    )
    .await;
    assert_eq!(gate.keys.requests(), 1, "an unknown issuer buys no fetch");
    gate.refuses(
        &Refusal::UnknownKey,
        "key before signature",
        &mallory(stranger, claims(&all[1..])),
    )
    .await;
    assert_eq!(gate.keys.requests(), 2, "an unknown key does");
    gate.refuses(
        &Refusal::BadSignature,
        "signature before claims",
        &mallory(HEADER, claims(&all[1..])),
    )
    .await;
    for (from, refusal) in [
        (1, Refusal::NotAnAccessToken),
        (2, Refusal::UnknownClient),
        (3, Refusal::Expired),
        (4, Refusal::NotYetValid),
        (5, Refusal::MissingScope("shoutback/shout".to_owned())),
    ] {
        let case = format!("{refusal:?} before what follows");
        gate.refuses(&refusal, &case, &sign(HEADER, claims(&all[from..])))
            .await;
    }
}
