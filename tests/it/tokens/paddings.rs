//! Signatures forged by hand: paddings, numbers and lengths that nearly are right.

use aws_lc_rs::digest::{self, digest};
use num_bigint::BigUint;
use serde_json::json;
use shoutback::auth::AuthError;

use super::{Gate, HEADER, SHA256_INFO, encode, padded, sha256, sha256_info};
use crate::support::jwt::b64;
use crate::support::rsa::{ADA, MALLORY};

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
    gate.refuses_all(&AuthError::BadSignature, cases).await;
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
    gate.refuses_all(&AuthError::BadSignature, cases).await;
}
