//! Passwords: what each is checked with is in the vault, and the password itself nowhere. Hashing one takes 19 MiB and some ten milliseconds by
//! intent (Argon2id as OWASP asks for it), so few are hashed at once and the others wait, off the threads that answer.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::Timestamp;
use events::ids::{AccountId, PasswordId};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::vault::{Vault, VaultError, Zeroizing};

/// Fewest characters of a password.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Most bytes of a password.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Most passwords that are hashed at once.
pub const HASHES_AT_ONCE_MAX: usize = 2;
/// Most that are hashed or wait for it; one more is told to come again.
pub const HASHES_WAITING_MAX: usize = 64;
/// How long a password is kept that no event names, in ms: longer than any command is good for.
const UNNAMED_MS: i64 = 3_600_000;
/// Most passwords that are kept of one account.
pub const PASSWORDS_PER_ACCOUNT_MAX: usize = 8;
/// What the names of passwords begin with in the vault.
const PREFIX: &str = "password/";
/// Memory of one hash, in KiB; passes over it; lanes.
const COST: (u32, u32, u32) = (19_456, 2, 1);
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// Why a password can't be kept or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The vault refuses.
    #[error("the vault")]
    Vault(#[from] VaultError),
    /// What the vault holds is none of this program.
    #[error("what a password is checked with is damaged: restore the vault from its backup")]
    Damaged,
    /// The password is too short or too long.
    #[error("a password has at least {PASSWORD_CHARS_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes")]
    Length,
    /// The account has had too many passwords lately.
    #[error("the account was given {PASSWORDS_PER_ACCOUNT_MAX} passwords within an hour: try again later")]
    TooMany,
    /// Too many wait.
    #[error("too many passwords are looked at now: try again in a moment")]
    Busy,
}

/// What a password is checked with.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    hash: String,
}

/// The passwords of all accounts.
pub struct Passwords {
    /// None: nothing can be kept.
    vault: Option<Arc<Vault>>,
    turns: Semaphore,
    waiting: Semaphore,
    /// Checked where there is no password, so that the answer takes as long.
    nobodys: Vec<u8>,
}

impl Passwords {
    /// Keeps them in a vault.
    pub fn in_vault(vault: Arc<Vault>) -> Passwords {
        Passwords::new(Some(vault))
    }

    /// Keeps none: for an engine that has no vault.
    pub fn nowhere() -> Passwords {
        Passwords::new(None)
    }

    fn new(vault: Option<Arc<Vault>>) -> Passwords {
        let bytes = |length: usize| URL_SAFE_NO_PAD.encode(&rand::random::<[u8; HASH_BYTES]>()[..length]);
        let (memory_kib, passes, lanes) = COST;
        let nobodys = Kept { memory_kib, passes, lanes, salt: bytes(SALT_BYTES), hash: bytes(HASH_BYTES) };
        Passwords {
            vault,
            turns: Semaphore::new(HASHES_AT_ONCE_MAX),
            waiting: Semaphore::new(HASHES_WAITING_MAX),
            nobodys: serde_json::to_vec(&nobodys).expect("numbers and texts can be written"),
        }
    }

    fn vault(&self) -> Result<&Arc<Vault>, PasswordError> {
        Ok(self.vault.as_ref().ok_or(VaultError::Closed)?)
    }

    /// Does something that takes long, when it is its turn.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self.waiting.try_acquire().map_err(|_| PasswordError::Busy)?;
        let _turn = self.turns.acquire().await.map_err(|_| PasswordError::Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::Busy)?
    }

    /// Keeps a password of an account and names it, durably. What is kept of the account besides and is not the one `named` by the log is
    /// dropped when it is old.
    pub async fn keep(
        &self,
        account: AccountId,
        password: Zeroizing<String>,
        named: Option<PasswordId>,
        now: Timestamp,
    ) -> Result<PasswordId, PasswordError> {
        if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::Length);
        }
        let vault = Arc::clone(self.vault()?);
        self.in_turn(move || {
            let id = new_id(now);
            let is_over = |name: &str| {
                let kept: Option<PasswordId> = name.strip_prefix(PREFIX).and_then(|id| id.parse().ok());
                let since = kept.and_then(PasswordId::time);
                kept.is_none_or(|kept| Some(kept) != named)
                    && since.is_none_or(|since| now.ms_since(since) >= UNNAMED_MS)
            };
            let (over, kept): (Vec<String>, Vec<String>) =
                vault.names(account, PREFIX)?.into_iter().partition(|name| is_over(name));
            if kept.len() >= PASSWORDS_PER_ACCOUNT_MAX {
                return Err(PasswordError::TooMany);
            }
            for name in over {
                vault.remove(account, &name)?;
            }
            let salt: [u8; SALT_BYTES] = rand::random();
            let hash = hash(&password, &salt, COST)?;
            let (memory_kib, passes, lanes) = COST;
            let (salt, hash) = (URL_SAFE_NO_PAD.encode(salt), URL_SAFE_NO_PAD.encode(hash.as_slice()));
            let kept = Kept { memory_kib, passes, lanes, salt, hash };
            let kept = serde_json::to_vec(&kept).expect("numbers and texts can be written");
            vault.put(account, &name_of(id), &kept)?;
            Ok(id)
        })
        .await
    }

    /// Tells whether a password is kept.
    pub fn has(&self, account: AccountId, password: PasswordId) -> Result<bool, PasswordError> {
        Ok(self.vault()?.has(account, &name_of(password))?)
    }

    /// Tells whether a text is the password `named`. Where there is none, that takes as long and it is not.
    pub async fn is_right(
        &self,
        account: AccountId,
        named: Option<PasswordId>,
        text: Zeroizing<String>,
    ) -> Result<bool, PasswordError> {
        let vault = Arc::clone(self.vault()?);
        let nobodys = self.nobodys.clone();
        self.in_turn(move || {
            let kept = match named.map(|named| vault.get(account, &name_of(named))) {
                None | Some(Err(VaultError::Erased { .. })) => None,
                Some(found) => found?,
            };
            let is_there = kept.is_some();
            let bytes = kept.unwrap_or_else(|| Zeroizing::new(nobodys));
            let kept: Kept = serde_json::from_slice(&bytes).map_err(|_| PasswordError::Damaged)?;
            let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| PasswordError::Damaged);
            let given = hash(&text, &decode(&kept.salt)?, (kept.memory_kib, kept.passes, kept.lanes))?;
            let is_same =
                constant_time::verify_slices_are_equal(given.as_slice(), &decode(&kept.hash)?).is_ok();
            Ok(is_same && is_there)
        })
        .await
    }
}

pub(crate) fn name_of(password: PasswordId) -> String {
    format!("{PREFIX}{password}")
}

/// Makes the id of a password that is given now.
fn new_id(now: Timestamp) -> PasswordId {
    let mut bytes = *Uuid::now_v7().as_bytes();
    bytes[..6].copy_from_slice(&now.ms().to_be_bytes()[2..]);
    PasswordId::from_uuid(Uuid::from_bytes(bytes))
}

fn hash(
    password: &str,
    salt: &[u8],
    (memory_kib, passes, lanes): (u32, u32, u32),
) -> Result<Zeroizing<[u8; HASH_BYTES]>, PasswordError> {
    let damaged = |_| PasswordError::Damaged;
    let params = Params::new(memory_kib, passes, lanes, Some(HASH_BYTES)).map_err(damaged)?;
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.as_bytes(), salt, hash.as_mut_slice()).map_err(damaged)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    /// The test vector of RFC 9106 for Argon2id needs a secret and associated data; this one was made with another implementation
    /// (argon2-cffi 25.1: `hash_secret_raw(b"correct horse battery", b"0123456789abcdef", 2, 19456, 1, 32, Type.ID)`).
    #[test]
    fn a_hash_is_that_of_another_implementation() {
        let made = hash("correct horse battery", b"0123456789abcdef", COST).unwrap();
        assert_eq!(hex(made.as_slice()), "ebd23ba828c34ec430850a85be94098aa108d25190bf10bce1f5c4d0ab7171ae");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[tokio::test]
    async fn a_password_is_kept_as_what_it_is_checked_with() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Arc::new(Vault::open(&dir.path().join("keys"), &dir.path().join("vault")).unwrap());
        let passwords = Passwords::in_vault(Arc::clone(&vault));
        let (account, now) =
            (AccountId::from_uuid(Uuid::from_u128(1)), Timestamp::from_ms(1_800_000_000_000));
        for bad in ["short", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
            assert!(matches!(
                passwords.keep(account, text(bad), None, now).await,
                Err(PasswordError::Length)
            ));
        }
        let id = passwords.keep(account, text("correct horse"), None, now).await.unwrap();
        assert!(passwords.has(account, id).unwrap());
        assert!(passwords.is_right(account, Some(id), text("correct horse")).await.unwrap());
        assert!(!passwords.is_right(account, Some(id), text("correct horsf")).await.unwrap());
        assert!(!passwords.is_right(account, None, text("correct horse")).await.unwrap());
        let other = AccountId::from_uuid(Uuid::from_u128(2));
        assert!(!passwords.is_right(other, Some(id), text("correct horse")).await.unwrap());
        let kept = vault.get(account, &name_of(id)).unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&kept).contains("horse"));
        // One that no event names goes after an hour.
        let later = now.plus_ms(UNNAMED_MS);
        let next = passwords.keep(account, text("another horse"), None, later).await.unwrap();
        assert!(!passwords.has(account, id).unwrap() && passwords.has(account, next).unwrap());
        passwords.keep(account, text("a third horse"), Some(next), later.plus_ms(UNNAMED_MS)).await.unwrap();
        assert!(passwords.has(account, next).unwrap());
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let passwords = Passwords::nowhere();
        let all = passwords.waiting.try_acquire_many(HASHES_WAITING_MAX as u32).unwrap();
        assert!(matches!(passwords.in_turn(|| Ok(())).await, Err(PasswordError::Busy)));
        drop(all);
        passwords.in_turn(|| Ok(())).await.unwrap();
    }
}
