//! The secrets of people's apps, which the market has to know to tell whether a code is right. None of them is in the log, in a command or
//! in a snapshot: an event names the app by its id, and what stands here is under that.
//!
//! They are in the vault, each under `totp/<app>` of its account.
//!
//! An app gets its secret first, shows a code of it, and only then is its secret kept, durably; a command that enrolls one that is not kept
//! is not taken. So a secret is on disk before the first event that names its app.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{constant_time, hmac};
use commands::step_up::{CODE_DIGITS, STEP_MS};
use events::Timestamp;
use events::ids::{AccountId, AuthenticatorId};
use uuid::Uuid;

use crate::vault::{Vault, VaultError, Zeroizing};

/// Bytes of an app's secret: those of the hash that its codes are made with.
pub const SECRET_BYTES: usize = 20;
/// Most apps that wait for their first code.
pub const PENDING_MAX: usize = 16_384;
/// How long an app may take to show its first code, in ms.
pub const PENDING_MS: i64 = 600_000;
/// How many wrong first codes there may be; then the app gets another secret.
const PENDING_TRIES_MAX: u32 = 5;
/// How long a secret is kept that no event names, in ms: longer than any command is good for.
const UNNAMED_MS: i64 = 3_600_000;
/// Most secrets that are kept of one account.
pub const SECRETS_PER_ACCOUNT_MAX: usize = 8;
/// What the names of apps' secrets begin with in the vault.
const PREFIX: &str = "totp/";

/// Why a secret can't be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The vault refuses.
    #[error("the vault")]
    Vault(#[from] VaultError),
    /// No such app waits, or it waited too long.
    #[error("no such app waits for its first code: get a new secret")]
    Unknown,
    /// It is not the present code.
    #[error("the code is wrong: see that the clock of the app is right, and show the present one")]
    WrongCode,
    /// The account has got too many secrets lately.
    #[error("the account has got {SECRETS_PER_ACCOUNT_MAX} secrets within an hour: try again later")]
    TooMany,
    /// Too many apps wait.
    #[error("too many apps wait for their first code: try again in some minutes")]
    Busy,
}

/// An app that has got its secret.
pub struct Begun {
    /// Its id.
    pub authenticator: AuthenticatorId,
    /// Its secret, in base32 as apps take it.
    pub secret: String,
    /// Until when it may show its first code.
    pub expires_at: Timestamp,
}

struct Pending {
    authenticator: AuthenticatorId,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    since: Timestamp,
    tries: u32,
}

/// The secrets of all accounts.
pub struct Secrets {
    /// None: nothing can be kept.
    vault: Option<Arc<Vault>>,
    /// Held while one is put into the vault, too.
    pending: Mutex<BTreeMap<AccountId, Pending>>,
}

impl Secrets {
    /// Keeps them in a vault.
    pub fn in_vault(vault: Arc<Vault>) -> Secrets {
        Secrets { vault: Some(vault), pending: Mutex::default() }
    }

    /// Keeps none: for an engine that has no vault.
    pub fn nowhere() -> Secrets {
        Secrets { vault: None, pending: Mutex::default() }
    }

    fn vault(&self) -> Result<&Vault, SecretError> {
        Ok(self.vault.as_deref().ok_or(VaultError::Closed)?)
    }

    /// Gives an account a secret for a new app, which waits for its first code; one that waited before waits no more.
    pub fn begin(&self, account: AccountId, now: Timestamp) -> Result<Begun, SecretError> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, waits| now.ms_since(waits.since) < PENDING_MS);
        if pending.len() >= PENDING_MAX && !pending.contains_key(&account) {
            return Err(SecretError::Busy);
        }
        let authenticator = new_id(now);
        let secret = Zeroizing::new(rand::random::<[u8; SECRET_BYTES]>());
        let begun =
            Begun { authenticator, secret: base32(secret.as_slice()), expires_at: now.plus_ms(PENDING_MS) };
        pending.insert(account, Pending { authenticator, secret, since: now, tries: 0 });
        Ok(begun)
    }

    /// Keeps the secret of an app that shows a code of it. What is kept of the account besides and is not the app `named` by the log is
    /// dropped when it is old. Blocks on the disk.
    pub fn confirm(
        &self,
        account: AccountId,
        authenticator: AuthenticatorId,
        code: &str,
        named: Option<AuthenticatorId>,
        now: Timestamp,
    ) -> Result<(), SecretError> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = pending
            .get_mut(&account)
            .filter(|waits| waits.authenticator == authenticator && now.ms_since(waits.since) < PENDING_MS);
        let waits = waits.ok_or(SecretError::Unknown)?;
        if step_of(waits.secret.as_slice(), code, now).is_none() {
            waits.tries += 1;
            if waits.tries >= PENDING_TRIES_MAX {
                pending.remove(&account);
            }
            return Err(SecretError::WrongCode);
        }
        let vault = self.vault()?;
        let is_over = |name: &str| {
            let app: Option<AuthenticatorId> = name.strip_prefix(PREFIX).and_then(|id| id.parse().ok());
            let since = app.and_then(AuthenticatorId::time);
            app.is_none_or(|app| Some(app) != named)
                && since.is_none_or(|since| now.ms_since(since) >= UNNAMED_MS)
        };
        let (over, kept): (Vec<String>, Vec<String>) =
            vault.names(account, PREFIX)?.into_iter().partition(|name| is_over(name));
        if kept.len() >= SECRETS_PER_ACCOUNT_MAX {
            return Err(SecretError::TooMany);
        }
        for name in over {
            vault.remove(account, &name)?;
        }
        vault.put(account, &name_of(authenticator), waits.secret.as_slice())?;
        pending.remove(&account);
        Ok(())
    }

    /// Tells whether the secret of an app is kept.
    pub fn has(&self, account: AccountId, authenticator: AuthenticatorId) -> Result<bool, SecretError> {
        Ok(self.vault()?.has(account, &name_of(authenticator))?)
    }

    /// Tells of which half minute a code of an app is: of the present one or the one before. The inner `None`: it is wrong; the outer:
    /// no secret of such an app is kept.
    pub fn step(
        &self,
        account: AccountId,
        authenticator: AuthenticatorId,
        code: &str,
        now: Timestamp,
    ) -> Result<Option<Option<u64>>, SecretError> {
        Ok(self.secret(account, authenticator)?.map(|secret| step_of(&secret, code, now)))
    }

    fn secret(
        &self,
        account: AccountId,
        authenticator: AuthenticatorId,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, SecretError> {
        match self.vault()?.get(account, &name_of(authenticator)) {
            Err(VaultError::Erased { .. }) => Ok(None),
            found => Ok(found?),
        }
    }
}

pub(crate) fn name_of(authenticator: AuthenticatorId) -> String {
    format!("{PREFIX}{authenticator}")
}

/// Makes the id of an app that gets its secret now.
fn new_id(now: Timestamp) -> AuthenticatorId {
    let mut bytes = *Uuid::now_v7().as_bytes();
    bytes[..6].copy_from_slice(&now.ms().to_be_bytes()[2..]);
    AuthenticatorId::from_uuid(Uuid::from_bytes(bytes))
}

/// Tells of which step a code is, if it is of the present one or the one before. How long that takes says nothing of the code.
fn step_of(secret: &[u8], code: &str, now: Timestamp) -> Option<u64> {
    let present = u64::try_from(now.ms() / STEP_MS).ok()?;
    let steps = [present.saturating_sub(1), present];
    let found = steps.map(|step| {
        let right = code_of(secret, step);
        constant_time::verify_slices_are_equal(right.as_bytes(), code.as_bytes()).is_ok().then_some(step)
    });
    found[1].or(found[0])
}

/// Gives the code of a step: RFC 6238 with SHA-1, 30 s and 6 digits, as apps have it.
fn code_of(secret: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes[bytes.len() - 1] & 0xf);
    let four = [bytes[at] & 0x7f, bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    let number = u32::from_be_bytes(four) % 10u32.pow(CODE_DIGITS as u32);
    format!("{number:0width$}", width = CODE_DIGITS)
}

/// Writes bytes in base32 (RFC 4648) without padding.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut bits, mut count) = (String::new(), 0u32, 0);
    for byte in bytes {
        (bits, count) = ((bits << 8 | u32::from(*byte)) & 0xffff, count + 8);
        while count >= 5 {
            count -= 5;
            text.push(char::from(LETTERS[(bits >> count & 31) as usize]));
        }
    }
    if count > 0 {
        text.push(char::from(LETTERS[(bits << (5 - count) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn open(dir: &Path) -> Secrets {
        Secrets::in_vault(Arc::new(Vault::open(&dir.join("keys"), &dir.join("vault")).unwrap()))
    }

    fn account(n: u128) -> AccountId {
        AccountId::from_uuid(Uuid::from_u128(n))
    }

    fn at(s: i64) -> Timestamp {
        Timestamp::from_ms(s * 1000)
    }

    /// Reads base32.
    fn raw(secret: &str) -> Vec<u8> {
        let bits: Vec<u8> = secret
            .bytes()
            .flat_map(|letter| {
                let value = if letter >= b'A' { letter - b'A' } else { letter - b'2' + 26 };
                (0..5).rev().map(move |bit| value >> bit & 1)
            })
            .collect();
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
    }

    /// What an app makes of a secret in base32.
    fn code(secret: &str, now: Timestamp) -> String {
        code_of(&raw(secret), (now.ms() / STEP_MS) as u64)
    }

    /// RFC 6238, appendix B, with SHA-1; of its eight digits the last six.
    #[test]
    fn the_codes_are_those_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (s, digits) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(code_of(secret, s / 30), digits[2..]);
        }
    }

    /// RFC 4648, section 10.
    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_code_is_of_the_present_half_minute_or_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = open(dir.path());
        let now = at(3_000_000_015);
        let begun = secrets.begin(account(1), now).unwrap();
        let id = begun.authenticator;
        secrets.confirm(account(1), id, &code(&begun.secret, now), None, now).unwrap();
        let step = (now.ms() / STEP_MS) as u64;
        for (behind_s, expected) in
            [(0, Some(step)), (15, Some(step)), (44, Some(step)), (45, None), (-16, None)]
        {
            let later = now.plus_ms(behind_s * 1000);
            let shown = secrets.step(account(1), id, &code(&begun.secret, now), later).unwrap();
            assert_eq!(shown, Some(expected), "{behind_s}");
        }
        assert_eq!(secrets.step(account(1), id, "", now).unwrap(), Some(None));
        // Nobody else has it, and there is no other app.
        let right = code(&begun.secret, now);
        assert_eq!(secrets.step(account(2), id, &right, now).unwrap(), None);
        let other = AuthenticatorId::from_uuid(Uuid::from_u128(9));
        assert_eq!(secrets.step(account(1), other, &right, now).unwrap(), None);
    }

    #[test]
    fn a_secret_is_kept_when_its_app_has_shown_a_code_and_lasts() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = open(dir.path());
        let now = at(3_000_000_000);
        let begun = secrets.begin(account(1), now).unwrap();
        let id = begun.authenticator;
        assert!(!secrets.has(account(1), id).unwrap());
        assert!(matches!(secrets.confirm(account(1), id, "000", None, now), Err(SecretError::WrongCode)));
        let right = code(&begun.secret, now);
        assert!(matches!(secrets.confirm(account(2), id, &right, None, now), Err(SecretError::Unknown)));
        secrets.confirm(account(1), id, &right, None, now).unwrap();
        assert!(matches!(secrets.confirm(account(1), id, &right, None, now), Err(SecretError::Unknown)));
        drop(secrets);
        let again = open(dir.path());
        assert!(again.has(account(1), id).unwrap());
        // In no file can it be read.
        for entry in walk(dir.path()) {
            let bytes = fs::read(&entry).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(&begun.secret), "{}", entry.display());
            let is_there = bytes.windows(SECRET_BYTES).any(|found| found == raw(&begun.secret));
            assert!(!is_there, "{}", entry.display());
        }
    }

    fn walk(dir: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn first_codes_are_few_and_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = open(dir.path());
        let now = at(3_000_000_000);
        let begun = secrets.begin(account(1), now).unwrap();
        for _ in 0..PENDING_TRIES_MAX {
            let told = secrets.confirm(account(1), begun.authenticator, "12345", None, now);
            assert!(matches!(told, Err(SecretError::WrongCode)));
        }
        let right = code(&begun.secret, now);
        let told = secrets.confirm(account(1), begun.authenticator, &right, None, now);
        assert!(matches!(told, Err(SecretError::Unknown)));
        let begun = secrets.begin(account(1), now).unwrap();
        let late = now.plus_ms(PENDING_MS);
        let told = secrets.confirm(account(1), begun.authenticator, &code(&begun.secret, late), None, late);
        assert!(matches!(told, Err(SecretError::Unknown)));
    }

    #[test]
    fn what_no_event_names_goes_after_an_hour_and_what_one_names_stays() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = open(dir.path());
        let mut now = at(3_000_000_000);
        let keep = |named, now| -> Result<AuthenticatorId, SecretError> {
            let begun = secrets.begin(account(1), now)?;
            secrets.confirm(account(1), begun.authenticator, &code(&begun.secret, now), named, now)?;
            Ok(begun.authenticator)
        };
        let named = keep(None, now).unwrap();
        for _ in 1..SECRETS_PER_ACCOUNT_MAX {
            keep(Some(named), now).unwrap();
        }
        assert!(matches!(keep(Some(named), now), Err(SecretError::TooMany)));
        now = now.plus_ms(UNNAMED_MS);
        let last = keep(Some(named), now).unwrap();
        assert!(secrets.has(account(1), named).unwrap() && secrets.has(account(1), last).unwrap());
        assert_eq!(secrets.vault().unwrap().names(account(1), PREFIX).unwrap().len(), 2);
    }
}
