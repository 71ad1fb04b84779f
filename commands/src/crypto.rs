//! Keys and signatures: Ed25519 and ECDSA on P-256, equals in a market.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use ed25519_dalek::Signer as _;
use events::account::{Algorithm, PublicKey};
use events::ids::KeyId;

/// Bytes of a signature, of either algorithm.
pub const SIGNATURE_BYTES: usize = 64;

/// Why a key can't be used. Another key must be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The coordinates are those of no point of the curve, or not in their one canonical form.
    #[error("the key is not a point of its curve")]
    NotOnCurve,
    /// The point has a small order: some signature would be good for every message.
    #[error("the key is weak: it has a small order")]
    Weak,
    /// The seed is zero or not below the order of the curve.
    #[error("the seed is not a scalar of the curve: take another")]
    SeedOutOfRange,
}

/// Says that a signature is not that of the key over the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is wrong")]
pub struct SignatureError;

/// A public key made ready to verify with: its point is decompressed once.
pub struct VerifyingKey {
    id: KeyId,
    public: PublicKey,
    point: Point,
}

enum Point {
    // The decompressed point is large; the box keeps keys of both algorithms alike small.
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    P256(ParsedPublicKey),
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("id", &self.id).field("public", &self.public).finish()
    }
}

impl VerifyingKey {
    /// Checks that `public` is a good point of its curve.
    pub fn new(public: &PublicKey) -> Result<VerifyingKey, KeyError> {
        let point = match public {
            PublicKey::Ed25519(y) => Point::Ed25519(Box::new(ed25519_point(y)?)),
            PublicKey::P256(x, y) => {
                let mut sec1 = [0x04; 65];
                sec1[1..33].copy_from_slice(x);
                sec1[33..].copy_from_slice(y);
                let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, sec1);
                Point::P256(parsed.map_err(|_| KeyError::NotOnCurve)?)
            }
        };
        Ok(VerifyingKey { id: public.id(), public: *public, point })
    }

    /// Gives the key's id, its RFC 7638 thumbprint.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Tells how the key signs.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// Gives the coordinates.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Checks a signature of 64 bytes: R‖S of Ed25519, or r‖s of ECDSA.
    ///
    /// Ed25519 is checked with `verify_strict`, one signature at a time: a batch check accepts crafted signatures
    /// that other verifiers refuse, and what stands in a log must hold for every verifier. Of ECDSA both s and
    /// n − s are accepted, as the secure elements of phones make either; nothing may be told apart by the bytes of
    /// its signature.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let signature: &[u8; SIGNATURE_BYTES] = signature.try_into().map_err(|_| SignatureError)?;
        match &self.point {
            Point::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(signature);
                key.verify_strict(message, &signature).map_err(|_| SignatureError)
            }
            Point::P256(key) => key.verify_sig(message, signature).map_err(|_| SignatureError),
        }
    }
}

fn ed25519_point(y: &[u8; 32]) -> Result<ed25519_dalek::VerifyingKey, KeyError> {
    // p = 2^255 − 19, little-endian ed ff … ff 7f. A y from p on is a second spelling of a small one, and would give
    // one point two key ids.
    let is_canonical = y[0] < 0xed || y[1..31].iter().any(|byte| *byte != 0xff) || y[31] & 0x7f != 0x7f;
    let key = ed25519_dalek::VerifyingKey::from_bytes(y).map_err(|_| KeyError::NotOnCurve)?;
    if key.is_weak() {
        return Err(KeyError::Weak);
    }
    if is_canonical { Ok(key) } else { Err(KeyError::NotOnCurve) }
}

/// A private key. Signing is deterministic: the same message always gives the same signature.
pub struct SigningKey {
    secret: Secret,
    public: PublicKey,
}

enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
}

impl fmt::Debug for SigningKey {
    /// Writes the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Takes the 32 secret bytes of a key; whoever makes them takes them from a good random source.
    pub fn from_seed(algorithm: Algorithm, seed: [u8; 32]) -> Result<SigningKey, KeyError> {
        match algorithm {
            Algorithm::EdDsa => {
                let secret = ed25519_dalek::SigningKey::from_bytes(&seed);
                let public = PublicKey::Ed25519(secret.verifying_key().to_bytes());
                Ok(SigningKey { secret: Secret::Ed25519(Box::new(secret)), public })
            }
            Algorithm::Es256 => {
                let secret =
                    p256::ecdsa::SigningKey::from_slice(&seed).map_err(|_| KeyError::SeedOutOfRange)?;
                let sec1 = secret.verifying_key().to_sec1_point(false);
                let (mut x, mut y) = ([0; 32], [0; 32]);
                x.copy_from_slice(&sec1.as_bytes()[1..33]);
                y.copy_from_slice(&sec1.as_bytes()[33..65]);
                Ok(SigningKey { secret: Secret::P256(Box::new(secret)), public: PublicKey::P256(x, y) })
            }
        }
    }

    /// Gives the public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Gives the key's id, its RFC 7638 thumbprint.
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// Signs: Ed25519 (RFC 8032), or ECDSA with SHA-256 and the nonces of RFC 6979.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        match &self.secret {
            Secret::Ed25519(key) => key.sign(message).to_bytes(),
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    fn keys() -> [SigningKey; 2] {
        [Algorithm::EdDsa, Algorithm::Es256]
            .map(|algorithm| SigningKey::from_seed(algorithm, [9; 32]).unwrap())
    }

    #[test]
    fn a_signature_holds_for_its_message_and_key_and_for_no_other() {
        for key in keys() {
            let verifier = VerifyingKey::new(&key.public()).unwrap();
            let other = SigningKey::from_seed(verifier.algorithm(), [8; 32]).unwrap();
            let signature = key.sign(b"two pears");
            assert_eq!(signature, key.sign(b"two pears"));
            assert_eq!(verifier.verify(b"two pears", &signature), Ok(()));
            assert_eq!(verifier.verify(b"two peas", &signature), Err(SignatureError));
            assert_eq!(verifier.verify(b"two pears", &other.sign(b"two pears")), Err(SignatureError));
            assert_eq!(verifier.verify(b"two pears", &signature[..63]), Err(SignatureError));
            assert_eq!(verifier.verify(b"two pears", &[]), Err(SignatureError));
            for bit in 0..512 {
                let mut wrong = signature;
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(verifier.verify(b"two pears", &wrong), Err(SignatureError), "bit {bit}");
            }
        }
    }

    #[test]
    fn ed25519_agrees_with_rfc_8032() {
        let seed = bytes("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
        let key = SigningKey::from_seed(Algorithm::EdDsa, seed).unwrap();
        let public = bytes("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
        assert_eq!(key.public(), PublicKey::Ed25519(public));
        let signature: [u8; 64] = bytes(
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        );
        assert_eq!(key.sign(&[0xaf, 0x82]), signature);
    }

    #[test]
    fn es256_agrees_with_rfc_6979() {
        let seed = bytes("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
        let key = SigningKey::from_seed(Algorithm::Es256, seed).unwrap();
        let x = bytes("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6");
        let y = bytes("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
        assert_eq!(key.public(), PublicKey::P256(x, y));
        let signature: [u8; 64] = bytes(
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
             f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        );
        assert_eq!(key.sign(b"sample"), signature);
    }

    #[test]
    fn weak_keys_and_points_off_the_curve_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let order_8 = bytes("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
        for weak in [identity, [0; 32], order_8] {
            assert_eq!(VerifyingKey::new(&PublicKey::Ed25519(weak)).unwrap_err(), KeyError::Weak);
        }
        let mut off_curve = [0; 32];
        off_curve[0] = 2;
        // y = p + 3: a second spelling of y = 3, which is a point.
        let mut second_spelling = [0xff; 32];
        (second_spelling[0], second_spelling[31]) = (0xf0, 0x7f);
        for off in [off_curve, second_spelling] {
            assert_eq!(VerifyingKey::new(&PublicKey::Ed25519(off)).unwrap_err(), KeyError::NotOnCurve);
        }
        for (x, y) in [([0; 32], [0; 32]), ([1; 32], [1; 32]), ([0xff; 32], [1; 32])] {
            assert_eq!(VerifyingKey::new(&PublicKey::P256(x, y)).unwrap_err(), KeyError::NotOnCurve);
        }
    }

    #[test]
    fn es256_seeds_must_be_scalars_and_secrets_are_not_printed() {
        for seed in [[0; 32], [0xff; 32]] {
            assert_eq!(SigningKey::from_seed(Algorithm::Es256, seed).unwrap_err(), KeyError::SeedOutOfRange);
        }
        let key = SigningKey::from_seed(Algorithm::EdDsa, [9; 32]).unwrap();
        assert!(format!("{key:?}").ends_with(", .. }"));
        assert!(!format!("{key:?}").contains("9, 9, 9"));
    }
}
