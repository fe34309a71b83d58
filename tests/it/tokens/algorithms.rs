//! Algorithms: RS256 alone makes a signature, and a public key is no secret.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use shoutback::auth::AuthError;

use super::{Gate, HEADER, KID, ecdsa, sign};
use crate::support::jwt::{b64, compact};
use crate::support::rsa::ADA;

fn header_with_alg(alg: &str) -> String {
    json!({"kid": KID, "alg": alg}).to_string()
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
    gate.refuses_all(&AuthError::UnacceptableHeader, cases).await;

    let unsigned = compact(HEADER, gate.claims(), |_| vec![]);
    gate.refuses(&AuthError::BadSignature, "RS256 unsigned", &unsigned)
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
    gate.refuses_all(&AuthError::UnacceptableHeader, honest).await;
    gate.refuses_all(&AuthError::BadSignature, disguised).await;
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
        &AuthError::UnacceptableHeader,
        encodings.map(|(alg, encoding)| (alg, signed(alg, encoding))),
    )
    .await;
    gate.refuses_all(
        &AuthError::UnacceptableHeader,
        encodings.map(|(alg, _)| (format!("RS256 called {alg}"), signed(alg, &RSA_PKCS1_SHA256))),
    )
    .await;
    gate.refuses_all(
        &AuthError::BadSignature,
        encodings.map(|(alg, encoding)| (format!("{alg} called RS256"), signed("RS256", encoding))),
    )
    .await;

    let elliptic = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let es256 = |alg: &str| {
        compact(header_with_alg(alg), gate.claims(), |message| {
            ecdsa(&elliptic, message)
        })
    };
    gate.refuses(&AuthError::UnacceptableHeader, "ES256", &es256("ES256"))
        .await;
    gate.refuses(&AuthError::BadSignature, "ES256 called RS256", &es256("RS256"))
        .await;
}
