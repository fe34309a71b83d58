//! RSA with access to the private exponent, to sign what no library would.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaEncoding};
use num_bigint::BigUint;
use serde_json::{Map, Value, json};

use super::jwt::{b64, compact};

/// The key of the pool.
pub static ADA: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(2048));
/// The key after a rotation, or that of another pool.
pub static BOB: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(2048));
/// The key of an attacker.
pub static MALLORY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(2048));

const EXPONENT: u32 = 65_537;

pub struct PrivateKey {
    pub n: BigUint,
    d: BigUint,
    /// Absent for keys that are too short for the library.
    pair: Option<KeyPair>,
}

impl PrivateKey {
    /// Generates a key with a modulus of exactly `bits`.
    pub fn generate(bits: usize) -> Self {
        let (p, q) = (prime(bits / 2), prime(bits / 2));
        let one = BigUint::from(1u8);
        let e = BigUint::from(EXPONENT);
        let n = &p * &q;
        let d = e
            .modinv(&((&p - &one) * (&q - &one)))
            .expect("`prime` guarantees that the exponent has an inverse");
        let components = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: n.to_bytes_be(),
                e: e.to_bytes_be(),
            },
            d: d.to_bytes_be(),
            dP: (&d % (&p - &one)).to_bytes_be(),
            dQ: (&d % (&q - &one)).to_bytes_be(),
            qInv: q.modinv(&p).expect("two primes").to_bytes_be(),
            p: p.to_bytes_be(),
            q: q.to_bytes_be(),
        };
        let pair = (bits >= 2048).then(|| KeyPair::from_components(&components).expect("a sound key"));
        Self { n, d, pair }
    }

    /// Raises `encoded` to the private exponent; the result has the length of the modulus.
    pub fn raw(&self, encoded: &[u8]) -> Vec<u8> {
        self.fixed(&BigUint::from_bytes_be(encoded).modpow(&self.d, &self.n))
    }

    /// Encodes `number` with the length of the modulus.
    pub fn fixed(&self, number: &BigUint) -> Vec<u8> {
        let bytes = number.to_bytes_be();
        let mut fixed = vec![0; self.size() - bytes.len()];
        fixed.extend(bytes);
        fixed
    }

    /// Returns the length of the modulus in bytes.
    pub fn size(&self) -> usize {
        self.n.to_bytes_be().len()
    }

    pub fn sign(&self, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.size()];
        self.pair()
            .sign(encoding, &SystemRandom::new(), message, &mut signature)
            .expect("a signature");
        signature
    }

    pub fn rs256(&self, message: &[u8]) -> Vec<u8> {
        self.sign(&RSA_PKCS1_SHA256, message)
    }

    pub fn pair(&self) -> &KeyPair {
        self.pair.as_ref().expect("a key of at least 2048 bits")
    }

    /// Returns a token as Cognito signs it.
    pub fn token(&self, kid: &str, claims: &Map<String, Value>) -> String {
        let header = json!({"kid": kid, "alg": "RS256"});
        compact(header.to_string(), json!(claims).to_string(), |message| {
            self.rs256(message)
        })
    }

    /// Returns the public key in the form of a key set.
    pub fn jwk(&self, kid: &str) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": b64(self.n.to_bytes_be()), "e": b64(BigUint::from(EXPONENT).to_bytes_be()),
        })
    }
}

/// Returns a prime of exactly `bits`, whose product with another one has exactly twice as many.
fn prime(bits: usize) -> BigUint {
    let one = BigUint::from(1u8);
    loop {
        let mut bytes = vec![0u8; bits / 8];
        rand::fill(&mut bytes[..]);
        *bytes.first_mut().expect("some bits") |= 0xC0;
        *bytes.last_mut().expect("some bits") |= 1;
        let candidate = BigUint::from_bytes_be(&bytes);
        // The error rate of the Fermat test is 2^-100 for random numbers of this size.
        let is_prime = (3u32..1000).step_by(2).all(|n| &candidate % n != BigUint::ZERO)
            && &candidate % EXPONENT != one
            && BigUint::from(2u8).modpow(&(&candidate - &one), &candidate) == one;
        if is_prime {
            return candidate;
        }
    }
}
