//! How the vault encrypts: values under their account's data key, data keys under a master key. AES-256-GCM with a random
//! nonce each; what is sealed is bound to its place, so that nothing opens where something else was put.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use events::ids::AccountId;
use zeroize::Zeroizing;

/// Bytes of every key.
pub(super) const KEY_BYTES: usize = 32;
/// What a sealed text is longer than the clear one.
pub(super) const SEAL_BYTES: usize = NONCE_LEN + 16;
/// A sealed data key.
pub(super) const WRAPPED_BYTES: usize = KEY_BYTES + SEAL_BYTES;

/// Which master key, by a part of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterId(pub(super) [u8; 8]);

impl std::fmt::Display for MasterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A key that wraps data keys.
pub(super) struct Master {
    pub(super) id: MasterId,
    key: LessSafeKey,
}

impl Master {
    pub(super) fn new(bytes: &[u8; KEY_BYTES]) -> Master {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"skylink vault master 1");
        context.update(bytes);
        let mut id = [0; 8];
        id.copy_from_slice(&context.finish().as_ref()[..8]);
        Master { id: MasterId(id), key: key(bytes) }
    }

    /// Seals a data key.
    pub(super) fn wrap(&self, account: AccountId, data_key: &[u8; KEY_BYTES]) -> [u8; WRAPPED_BYTES] {
        let sealed = seal(&self.key, &self.place(account), data_key);
        sealed.try_into().expect("a sealed key has its length")
    }

    /// Opens a data key; `None` if it is not the account's under this master key.
    pub(super) fn unwrap(
        &self,
        account: AccountId,
        wrapped: &[u8; WRAPPED_BYTES],
    ) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        let opened = open(&self.key, &self.place(account), wrapped)?;
        Some(Zeroizing::new(opened.as_slice().try_into().ok()?))
    }

    fn place(&self, account: AccountId) -> Vec<u8> {
        [b"skylink vault key 1".as_slice(), &self.id.0, account.uuid().as_bytes()].concat()
    }
}

/// Seals a value of an account under its data key.
pub(super) fn seal_value(
    data_key: &[u8; KEY_BYTES],
    account: AccountId,
    name: &str,
    value: &[u8],
) -> Vec<u8> {
    seal(&key(data_key), &value_place(account, name), value)
}

/// Opens a value; `None` if it is not this one of this account under this key.
pub(super) fn open_value(
    data_key: &[u8; KEY_BYTES],
    account: AccountId,
    name: &str,
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    open(&key(data_key), &value_place(account, name), sealed)
}

fn value_place(account: AccountId, name: &str) -> Vec<u8> {
    [b"skylink vault value 1".as_slice(), account.uuid().as_bytes(), name.as_bytes()].concat()
}

fn key(bytes: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("a key of AES-256 has 32 bytes"))
}

fn seal(key: &LessSafeKey, place: &[u8], clear: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = rand::random();
    let mut sealed = Vec::with_capacity(clear.len() + SEAL_BYTES);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(clear);
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place),
            &mut sealed[NONCE_LEN..],
        )
        .expect("a value is far below what AES-GCM can seal");
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

fn open(key: &LessSafeKey, place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut opened = Zeroizing::new(rest.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, Aad::from(place), &mut opened).ok()?.len();
    opened.truncate(length);
    Some(opened)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_value_opens_only_where_it_was_put() {
        let (alice, bob) =
            (AccountId::from_uuid(Uuid::from_u128(1)), AccountId::from_uuid(Uuid::from_u128(2)));
        let data_key = [7; KEY_BYTES];
        let sealed = seal_value(&data_key, alice, "email", b"alice@example.com");
        assert_eq!(open_value(&data_key, alice, "email", &sealed).unwrap().as_slice(), b"alice@example.com");
        assert!(open_value(&data_key, bob, "email", &sealed).is_none());
        assert!(open_value(&data_key, alice, "phone", &sealed).is_none());
        assert!(open_value(&[8; KEY_BYTES], alice, "email", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open_value(&data_key, alice, "email", &changed).is_none());
            assert!(open_value(&data_key, alice, "email", &sealed[..at]).is_none());
        }
        let master = Master::new(&[1; KEY_BYTES]);
        let wrapped = master.wrap(alice, &data_key);
        assert_eq!(*master.unwrap(alice, &wrapped).unwrap(), data_key);
        assert!(master.unwrap(bob, &wrapped).is_none());
        assert!(Master::new(&[2; KEY_BYTES]).unwrap(alice, &wrapped).is_none());
    }
}
