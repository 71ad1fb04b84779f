//! Encrypting an address to a seller: HPKE (RFC 9180) in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. What is
//! sealed is the encapsulated key and what was encrypted behind it.

use anyhow::Context;
use commands::personal::{ADDRESS_INFO, SEALED_BYTES_MAX, address_binding};
use events::ids::{AccountId, CommandId, MarketName};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};

/// Bytes of an encapsulated key.
const ENCAPSULATED_BYTES: usize = 32;

/// What an address is bound to.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) market: MarketName,
    pub(crate) seller: AccountId,
    pub(crate) command: CommandId,
}

impl Bound {
    fn bytes(&self) -> Vec<u8> {
        address_binding(&self.market, self.seller, self.command).into_bytes()
    }
}

/// Makes a key pair: the public key, and the private one.
pub(crate) fn new_key() -> anyhow::Result<(Vec<u8>, HpkePrivateKey)> {
    let (public, private) = SUITE.generate_key_pair().context("no key can be made")?;
    Ok((public.0, private))
}

/// Encrypts an address to whoever has a key.
pub(crate) fn seal(address: &str, to: &[u8; 32], bound: &Bound) -> anyhow::Result<Vec<u8>> {
    let to = HpkePublicKey(to.to_vec());
    let (encapsulated, encrypted) = SUITE
        .seal(ADDRESS_INFO.as_bytes(), &bound.bytes(), address.as_bytes(), &to)
        .context("nothing can be encrypted with the seller's key")?;
    let sealed = [encapsulated.0, encrypted].concat();
    anyhow::ensure!(
        sealed.len() <= SEALED_BYTES_MAX,
        "the address is too long: with what encrypts it it may have {SEALED_BYTES_MAX} bytes"
    );
    Ok(sealed)
}

/// Opens an address that was encrypted with the public half of a key.
pub(crate) fn open(sealed: &[u8], private: &HpkePrivateKey, bound: &Bound) -> anyhow::Result<String> {
    let address = open_bytes(sealed, private, ADDRESS_INFO.as_bytes(), &bound.bytes())?;
    String::from_utf8(address).context("the address is no text")
}

fn open_bytes(sealed: &[u8], private: &HpkePrivateKey, info: &[u8], bound: &[u8]) -> anyhow::Result<Vec<u8>> {
    let wrong = "the address does not open: it was encrypted with another key, or for another purchase";
    let (encapsulated, encrypted) = sealed.split_at_checked(ENCAPSULATED_BYTES).context(wrong)?;
    SUITE.open(&EncapsulatedSecret(encapsulated.to_vec()), info, bound, encrypted, private).context(wrong)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        hex::decode(hexadecimal).unwrap()
    }

    /// RFC 9180, A.2.1: base mode of just these algorithms, the first thing encrypted.
    #[test]
    fn the_vector_of_the_standard_opens() {
        let private = bytes("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb").into();
        let sealed = bytes(concat!(
            "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
        ));
        let info = bytes("4f6465206f6e2061204772656369616e2055726e");
        let opened = open_bytes(&sealed, &private, &info, b"Count-0").unwrap();
        assert_eq!(opened, b"Beauty is truth, truth beauty");
        assert!(open_bytes(&sealed, &private, &info, b"Count-1").is_err());
    }

    #[test]
    fn an_address_opens_for_its_seller_and_its_purchase_alone() {
        let (public, private) = new_key().unwrap();
        let to: [u8; 32] = public.try_into().unwrap();
        let bound = Bound {
            market: "main".parse().unwrap(),
            seller: AccountId::from_uuid(Uuid::from_u128(1)),
            command: CommandId::from_uuid(Uuid::from_u128(2)),
        };
        let address = "Alice\n1 Long Lane\nLondon";
        let sealed = seal(address, &to, &bound).unwrap();
        assert_eq!(open(&sealed, &private, &bound).unwrap(), address);
        assert!(open(&sealed, &new_key().unwrap().1, &bound).is_err());
        let others = [
            Bound { market: "other".parse().unwrap(), ..bound.clone() },
            Bound { seller: AccountId::from_uuid(Uuid::from_u128(3)), ..bound.clone() },
            Bound { command: CommandId::from_uuid(Uuid::from_u128(3)), ..bound.clone() },
        ];
        assert!(others.iter().all(|other| open(&sealed, &private, other).is_err()));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            // The highest bit of an X25519 key says nothing, but is hashed.
            assert!(open(&changed, &private, &bound).is_err(), "byte {at}");
            assert!(open(&sealed[..at], &private, &bound).is_err(), "{at} bytes");
        }
        assert!(seal(&"x".repeat(SEALED_BYTES_MAX), &to, &bound).is_err());
        // A key of small order gives everybody the same secret.
        assert!(seal(address, &[0; 32], &bound).is_err());
    }
}
