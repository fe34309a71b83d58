//! Forged signatures: paddings, numbers and lengths that are nearly correct.

use aws_lc_rs::digest::{self, digest};
use num_bigint::BigUint;
use serde_json::json;
use shoutback::auth::AuthError;

use super::{HEADER, SHA256_INFO, TokenTest, encode, padded, sha256, sha256_info};
use crate::support::jwt::b64;
use crate::support::rsa::{ADA, MALLORY};

/// Returns an encoded message of 256 bytes that ends with `tail`, padded in front.
fn ending_in(tail: &[&[u8]]) -> Vec<u8> {
    padded(254 - tail.concat().len(), tail)
}

#[tokio::test]
async fn only_the_exact_padding_is_accepted() {
    let test = TokenTest::start(&[]).await;
    let message = format!("{}.{}", b64(HEADER), b64(test.claims()));
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
    test.assert_accepted("the exact padding", &signed(&right)).await;

    let garbage = [0xA5u8; 256];
    let separated = |tail: &[&[u8]]| ending_in(&[&[0], &tail.concat()]);
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
        separated(&[&head, digest])
    };
    let sha1_info = |length: u8, octets: u8, digest: &[u8]| {
        let head = [
            0x30, length, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04,
        ];
        separated(&[&head, &[octets], digest])
    };
    let algorithm_with = |head: &[u8], parameters: &[u8]| separated(&[head, oid, parameters, &octets, &hash]);
    let random_padding = [&[0, 2], &garbage[..202], &[0], &info].concat();
    let mut backwards = reversed(&right);
    // Its first byte is one of the digest, which may make it larger than the modulus.
    backwards[0] &= 0x7F;

    let lead = [
        ("block type 2", replaced(1, 2)),
        ("block type 2, random padding", random_padding),
        ("block type 0", replaced(1, 0)),
        ("01 01 in front", replaced(0, 1)),
    ];
    let padding = [
        ("first padding byte FE", replaced(2, 0xFE)),
        ("padding byte 7F", replaced(100, 0x7F)),
        ("last padding byte FE", replaced(203, 0xFE)),
        ("zero in the padding", replaced(100, 0)),
        ("separator 01", replaced(204, 1)),
        ("separator FF", replaced(204, 0xFF)),
        ("no separator", ending_in(&[&info])),
        ("two separators", ending_in(&[&[0, 0], &info])),
        (
            "8 FF, garbage, digest",
            padded(8, &[&garbage[..194], &[0], &info]),
        ),
        ("right-aligned without padding", [&[0; 205][..], &info].concat()),
        ("a bare digest, right-aligned", [&[0; 224][..], &hash].concat()),
    ];
    let trailing = [
        (
            "7 FF, digest, garbage",
            padded(7, &[&[0], &info, &garbage[..195]]),
        ),
        (
            "8 FF, digest, garbage",
            padded(8, &[&[0], &info, &garbage[..194]]),
        ),
        ("8 FF, digest, zeros", padded(8, &[&[0], &info, &[0; 194]])),
        (
            "no FF, digest, garbage",
            padded(0, &[&[0], &info, &garbage[..202]]),
        ),
        ("1 byte after the digest", separated(&[&info, &[0]])),
        ("100 bytes after the digest", separated(&[&info, &garbage[..100]])),
        ("the digest twice", separated(&[&info, &hash])),
    ];
    let algorithm = [
        ("SHA-1", sha1_info(0x21, 0x14, &sha1)),
        ("SHA-1 OID", sha1_info(0x2d, 0x20, &hash)),
        ("SHA-512", info_with(&[(1, 0x51), (14, 3), (18, 0x40)], &sha512)),
        ("SHA-512 OID", info_with(&[(14, 3)], &hash)),
        ("SHA-384 OID", info_with(&[(14, 2)], &hash)),
        ("SHA-512 digest", info_with(&[(1, 0x51), (18, 0x40)], &sha512)),
        ("no DigestInfo", separated(&[&hash])),
        ("no algorithm", separated(&[&octets, &hash])),
        ("no parameters", algorithm_with(&[0x30, 0x2f, 0x30, 0x0b], &[])),
        (
            "parameters: a sequence",
            algorithm_with(&[0x30, 0x31, 0x30, 0x0d], &[0x30, 0x00]),
        ),
        (
            "parameters: NULL with content",
            algorithm_with(&[0x30, 0x32, 0x30, 0x0e], &[0x05, 0x01, 0x00]),
        ),
        (
            "parameters: garbage",
            algorithm_with(
                &[0x30, 0x81, 0x94, 0x30, 0x70],
                &[&[0x04, 0x63], &garbage[..99]].concat(),
            ),
        ),
    ];
    let lengths = [
        ("long outer length", separated(&[&[0x30, 0x81, 0x31], &info[2..]])),
        (
            "long algorithm length",
            separated(&[&[0x30, 0x32, 0x30, 0x81, 0x0d], &info[4..]]),
        ),
        (
            "long NULL length",
            algorithm_with(&[0x30, 0x32, 0x30, 0x0e], &[0x05, 0x81, 0x00]),
        ),
        (
            "long digest length",
            separated(&[&[0x30, 0x32], &info[2..17], &[4, 0x81, 32], &hash]),
        ),
        (
            "indefinite length",
            separated(&[&[0x30, 0x80], &info[2..], &[0, 0]]),
        ),
        ("outer length off by one", info_with(&[(1, 0x32)], &hash)),
        ("constructed octet string", info_with(&[(17, 0x24)], &hash)),
    ];
    let content = [
        ("truncated digest", info_with(&[], &hash[..31])),
        ("one bit flipped", replaced(255, right[255] ^ 1)),
        ("reversed digest", info_with(&[], &reversed(&hash))),
        ("digest of the digest", info_with(&[], &sha256(&hash))),
        ("digest of nothing", info_with(&[], &sha256(b""))),
        ("the message, unhashed", separated(&[&message.as_bytes()[..100]])),
        ("everything reversed", backwards),
    ];
    let forged: [&[(&str, Vec<u8>)]; 6] = [&lead, &padding, &trailing, &algorithm, &lengths, &content];
    let cases = forged
        .concat()
        .into_iter()
        .map(|(case, encoded)| (case, signed(&encoded)));
    test.assert_all_rejected(AuthError::BadSignature, cases).await;
}

#[tokio::test]
async fn only_a_number_below_the_modulus_of_its_exact_length_is_accepted() {
    let test = TokenTest::start(&[]).await;
    let number = |bytes: &[u8]| BigUint::from_bytes_be(bytes);
    let one = BigUint::from(1u8);
    // Finds a token whose signature has the form that the forgery needs.
    let search = |has_form: &dyn Fn(&[u8]) -> bool| {
        (0..100_000)
            .map(|nonce| {
                let claims = test.claims_with(&[("nonce", json!(nonce))]);
                let message = format!("{}.{}", b64(HEADER), b64(claims));
                let signature = ADA.rs256(message.as_bytes());
                (message, signature)
            })
            .find(|(_, signature)| has_form(signature))
            .expect("one in a few hundred has the form")
    };
    let token = |message: &str, signature: &[u8]| format!("{message}.{}", b64(signature));

    let (message, valid) = search(&|_| true);
    let s = number(&valid);
    test.assert_accepted("unchanged", &token(&message, &valid)).await;
    let mut cases = vec![
        ("0", ADA.fixed(&BigUint::ZERO)),
        ("1", ADA.fixed(&one)),
        ("the modulus", ADA.fixed(&ADA.n)),
        ("the modulus minus 1", ADA.fixed(&(&ADA.n - &one))),
        ("the modulus plus 1", ADA.fixed(&(&ADA.n + &one))),
        ("negated", ADA.fixed(&(&ADA.n - &s))),
        ("plus 1", ADA.fixed(&((&s + &one) % &ADA.n))),
        ("all ones", vec![0xFF; 256]),
        ("0 of one byte", vec![0]),
        ("1 of one byte", vec![1]),
        ("one zero in front", [&[0][..], &valid].concat()),
        ("256 zeros in front", [&[0; 256][..], &valid].concat()),
        ("a trailing zero", [&valid[..], &[0]].concat()),
        ("repeated", [&valid[..], &valid].concat()),
        ("first byte removed", valid[1..].to_vec()),
        ("last byte removed", valid[..255].to_vec()),
        ("first half", valid[..128].to_vec()),
        ("reversed", valid.iter().rev().copied().collect()),
        ("unsigned", encode(&ADA, &sha256_info(message.as_bytes()))),
        ("of another key", MALLORY.rs256(message.as_bytes())),
        ("plus twice the modulus", (&s + &ADA.n + &ADA.n).to_bytes_be()),
    ]
    .into_iter()
    .map(|(name, signature)| (name, token(&message, &signature)))
    .collect::<Vec<_>>();

    let (message, valid) = search(&|signature| signature[0] == 0);
    test.assert_accepted("a leading zero", &token(&message, &valid))
        .await;
    cases.push(("a leading zero removed", token(&message, &valid[1..])));

    let shifted = |signature: &[u8]| (number(signature) + &ADA.n).to_bytes_be();
    let (message, valid) = search(&|signature| shifted(signature).len() == 256);
    test.assert_accepted("a small number", &token(&message, &valid))
        .await;
    cases.push(("plus the modulus, same length", token(&message, &shifted(&valid))));
    let (message, valid) = search(&|signature| shifted(signature).len() == 257);
    cases.push((
        "plus the modulus, one byte longer",
        token(&message, &shifted(&valid)),
    ));
    test.assert_all_rejected(AuthError::BadSignature, cases).await;
}
