//! Algorithms: only RS256 is accepted, and no public key works as an HMAC secret.

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

use super::{HEADER, KID, TokenTest, ecdsa, sign};
use crate::support::jwt::{b64, compact};
use crate::support::rsa::ADA;

fn header_with_alg(alg: &str) -> String {
    json!({"kid": KID, "alg": alg}).to_string()
}

#[tokio::test]
async fn unsigned_tokens_and_other_spellings_of_alg_are_rejected() {
    let test = TokenTest::start(&[]).await;
    let values = r#""none" | "None" | "NONE" | "nOnE" | "" | " none" | "none\u0000" | "n\u006fne" | null | 0
        | false | ["none"] | ["RS256"] | {"alg":"RS256"} | "RS256 " | "rs256" | "RS256\u0000""#;
    let headers = values.split('|').map(|alg| {
        let alg = alg.trim();
        (alg, format!(r#"{{"kid":"{KID}","alg":{alg}}}"#))
    });
    let mut cases = Vec::new();
    for (alg, header) in headers.chain([("no alg", format!(r#"{{"kid":"{KID}"}}"#))]) {
        cases.push((
            format!("{alg} unsigned"),
            compact(&header, test.claims(), |_| vec![]),
        ));
        cases.push((format!("{alg} signed"), sign(&header, test.claims())));
    }
    assert_eq!(cases.len(), 36);
    test.assert_all_rejected(AuthError::UnacceptableHeader, cases)
        .await;

    let unsigned = compact(HEADER, test.claims(), |_| vec![]);
    test.assert_rejected(&AuthError::BadSignature, "RS256 unsigned", &unsigned)
        .await;
}

#[tokio::test]
async fn public_keys_are_no_hmac_secrets() {
    let test = TokenTest::start(&[]).await;
    let public = ADA.pair().public_key();
    let pkcs1 = public.as_ref().to_vec();
    let spki = public.as_der().expect("DER").as_ref().to_vec();
    let pem = |label: &str, der: &[u8]| {
        let base64 = STANDARD.encode(der);
        let lines: Vec<_> = base64
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----",
            lines.join("\n")
        )
    };
    let spki_pem = pem("PUBLIC KEY", &spki);
    let pkcs1_pem = pem("RSA PUBLIC KEY", &pkcs1);
    let modulus = ADA.n.to_bytes_be();
    let secrets = [
        ("SPKI", spki),
        ("SPKI PEM, newline", format!("{spki_pem}\n").into_bytes()),
        ("SPKI PEM", spki_pem.into_bytes()),
        ("PKCS#1", pkcs1),
        ("PKCS#1 PEM, newline", format!("{pkcs1_pem}\n").into_bytes()),
        ("PKCS#1 PEM", pkcs1_pem.into_bytes()),
        ("the encoded modulus", b64(&modulus).into_bytes()),
        ("the modulus", modulus),
        ("the JWK", ADA.jwk(KID).to_string().into_bytes()),
        ("an empty secret", vec![]),
    ];
    let forge = |alg: &str, algorithm, secret: &[u8]| {
        compact(header_with_alg(alg), test.claims(), |message| {
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message);
            tag.as_ref().to_vec()
        })
    };
    let (mut declared, mut disguised) = (Vec::new(), Vec::new());
    for (alg, algorithm) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ] {
        for (name, secret) in &secrets {
            let case = format!("{alg} with {name}");
            declared.push((case.clone(), forge(alg, algorithm, secret)));
            disguised.push((case + ", alg RS256", forge("RS256", algorithm, secret)));
        }
    }
    test.assert_all_rejected(AuthError::UnacceptableHeader, declared)
        .await;
    test.assert_all_rejected(AuthError::BadSignature, disguised).await;
}

#[tokio::test]
async fn other_signature_algorithms_are_rejected_declared_or_not() {
    let test = TokenTest::start(&[]).await;
    let elliptic = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let with_rsa = |alg: &str, encoding: &'static dyn RsaEncoding| {
        compact(header_with_alg(alg), test.claims(), |message| {
            ADA.sign(encoding, message)
        })
    };
    let with_ecdsa = |alg: &str| {
        compact(header_with_alg(alg), test.claims(), |message| {
            ecdsa(&elliptic, message)
        })
    };
    let mut declared = vec![("ES256".to_owned(), with_ecdsa("ES256"))];
    let mut disguised = vec![("ES256, alg RS256".to_owned(), with_ecdsa("RS256"))];
    let encodings: [(&str, &'static dyn RsaEncoding); 3] = [
        ("PS256", &RSA_PSS_SHA256),
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
    ];
    for (alg, encoding) in encodings {
        declared.push((alg.to_owned(), with_rsa(alg, encoding)));
        declared.push((format!("RS256, alg {alg}"), with_rsa(alg, &RSA_PKCS1_SHA256)));
        disguised.push((format!("{alg}, alg RS256"), with_rsa("RS256", encoding)));
    }
    test.assert_all_rejected(AuthError::UnacceptableHeader, declared)
        .await;
    test.assert_all_rejected(AuthError::BadSignature, disguised).await;
}
