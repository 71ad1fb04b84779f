//! The key store: private keys in files that only their owner may read, one per key, in a folder that is backed up on
//! its own. Nothing else on disk can't be rebuilt from the log.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use commands::Command;
use commands::command::Expected;
use commands::crypto::SigningKey;
use commands::sign::{Draft, sign};
use events::Timestamp;
use events::account::{Algorithm, PublicKey};
use events::ids::{AccountId, CommandId, DeviceId, MarketName, Nonce};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long a command signed with a stored key is good, in milliseconds.
pub const COMMAND_GOOD_FOR_MS: i64 = 60_000;
/// Longest name of a key, in characters.
const NAME_LENGTH_MAX: usize = 64;

/// Why a key can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The name is none for a file.
    #[error("`{0}` is no name for a key: use 1 to 64 of a-z, A-Z, 0-9, _ and -")]
    Name(String),
    /// There is no such key.
    #[error("there is no key `{name}` in {dir}: make it with `skylink keys new {name}`")]
    Unknown {
        /// The name.
        name: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// There is one already.
    #[error("key `{0}` exists already: choose another name")]
    Exists(String),
    /// The file can't be read or written.
    #[error("{path} can't be used: see that it, or the folder it is to be in, is there and yours")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no key.
    #[error("the key file {path} is damaged: restore it from its backup")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// A private key and whose it is.
#[derive(Clone)]
pub struct StoredKey {
    /// Its name in the store.
    pub name: String,
    /// The account it signs for.
    pub account: AccountId,
    /// The device it stands for.
    pub device: DeviceId,
    /// How it signs.
    pub algorithm: Algorithm,
    seed: [u8; 32],
}

impl fmt::Debug for StoredKey {
    /// Writes all but the seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoredKey { name, account, device, algorithm, .. } = self;
        let mut shown = f.debug_struct("StoredKey");
        shown.field("name", name).field("account", account).field("device", device);
        shown.field("algorithm", algorithm).finish_non_exhaustive()
    }
}

impl StoredKey {
    /// Gives the key to sign with.
    ///
    /// # Panics
    /// Never for a key of the store: a seed that is no key is refused when it is made and when it is read.
    pub fn signing(&self) -> SigningKey {
        SigningKey::from_seed(self.algorithm, self.seed).expect("a stored seed was checked when it was read")
    }

    /// Gives the public key.
    pub fn public(&self) -> PublicKey {
        self.signing().public()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    account: AccountId,
    alg: Algorithm,
    device: DeviceId,
    seed: String,
}

/// A folder of keys.
#[derive(Debug, Clone)]
pub struct KeyStore {
    dir: PathBuf,
}

impl KeyStore {
    /// Opens a folder, making it if need be.
    pub fn open(dir: &Path) -> Result<KeyStore, KeyStoreError> {
        fs::create_dir_all(dir).map_err(|source| KeyStoreError::Io { path: dir.to_owned(), source })?;
        Ok(KeyStore { dir: dir.to_owned() })
    }

    /// Gives a key, making it with a new account and device if there is none.
    pub fn get_or_make(&self, name: &str) -> Result<StoredKey, KeyStoreError> {
        match self.get(name) {
            Err(KeyStoreError::Unknown { .. }) => self.make(name, Algorithm::EdDsa, None),
            other => other,
        }
    }

    /// Makes a key; its account is a new one unless given.
    pub fn make(
        &self,
        name: &str,
        algorithm: Algorithm,
        account: Option<AccountId>,
    ) -> Result<StoredKey, KeyStoreError> {
        self.make_for(name, algorithm, account, None)
    }

    /// Makes a key; its account and its device are new ones unless given.
    pub fn make_for(
        &self,
        name: &str,
        algorithm: Algorithm,
        account: Option<AccountId>,
        device: Option<DeviceId>,
    ) -> Result<StoredKey, KeyStoreError> {
        let path = self.path(name)?;
        let (seed, _) = std::iter::repeat_with(rand::random::<[u8; 32]>)
            .map(|seed| (seed, SigningKey::from_seed(algorithm, seed)))
            .find(|(_, key)| key.is_ok())
            .expect("all but one in 2^32 seeds are a key");
        let account = account.unwrap_or_else(|| AccountId::from_uuid(Uuid::now_v7()));
        let device = device.unwrap_or_else(|| DeviceId::from_uuid(Uuid::now_v7()));
        let file = KeyFile { account, alg: algorithm, device, seed: URL_SAFE_NO_PAD.encode(seed) };
        let json = serde_json::to_vec_pretty(&file).expect("a key file holds nothing that JSON can't say");
        write_new(&path, &json).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyStoreError::Exists(name.to_owned()),
            _ => KeyStoreError::Io { path: path.clone(), source },
        })?;
        Ok(StoredKey { name: name.to_owned(), account, device, algorithm, seed })
    }

    /// Gives a key.
    pub fn get(&self, name: &str) -> Result<StoredKey, KeyStoreError> {
        let path = self.path(name)?;
        let json = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                KeyStoreError::Unknown { name: name.to_owned(), dir: self.dir.clone() }
            }
            _ => KeyStoreError::Io { path: path.clone(), source },
        })?;
        let damaged = || KeyStoreError::Damaged { path: path.clone() };
        let file: KeyFile = serde_json::from_slice(&json).map_err(|_| damaged())?;
        let mut seed = [0u8; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(&file.seed, &mut seed).map_err(|_| damaged())?;
        if length != seed.len() || SigningKey::from_seed(file.alg, seed).is_err() {
            return Err(damaged());
        }
        let KeyFile { account, alg: algorithm, device, .. } = file;
        Ok(StoredKey { name: name.to_owned(), account, device, algorithm, seed })
    }

    /// Names every key, in order.
    pub fn names(&self) -> Result<Vec<String>, KeyStoreError> {
        let error = |source| KeyStoreError::Io { path: self.dir.clone(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(error)? {
            let file = entry.map_err(error)?.file_name();
            if let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".key.json")) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Takes the next sequence number of a key; no number is ever given twice, even after a crash.
    pub fn next_seq(&self, name: &str) -> Result<u64, KeyStoreError> {
        self.reserve_seqs(name, 1)
    }

    /// Takes `count` sequence numbers of a key at once and gives the first: for who signs much and can't wait for the
    /// disk each time.
    pub fn reserve_seqs(&self, name: &str, count: u64) -> Result<u64, KeyStoreError> {
        let path = self.path(name)?.with_extension("seq");
        let error = |source| KeyStoreError::Io { path: path.clone(), source };
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(&path)
            .map_err(error)?;
        lock.lock().map_err(error)?;
        let text = io::read_to_string(&lock).map_err(error)?;
        let next: u64 = match text.trim() {
            "" => 1,
            number => number.parse().map_err(|_| KeyStoreError::Damaged { path: path.clone() })?,
        };
        // Written over in place: numbers only get longer, so a crash never leaves a smaller one.
        let mut file = &lock;
        file.rewind().and_then(|()| writeln!(file, "{}", next + count)).map_err(error)?;
        lock.sync_all().map_err(error)?;
        Ok(next)
    }

    /// Makes ready to sign a command with a key: takes the key's next number and a new nonce. It will be good for
    /// [`COMMAND_GOOD_FOR_MS`], and expects no versions.
    pub fn draft(
        &self,
        key: &StoredKey,
        market: &MarketName,
        command_id: CommandId,
        command: Command,
        now: Timestamp,
    ) -> Result<Draft, KeyStoreError> {
        Ok(Draft {
            market: market.clone(),
            account: key.account,
            device: key.device,
            command_id,
            seq: self.next_seq(&key.name)?,
            nonce: Nonce(rand::random()),
            issued_at: now,
            expires_at: now.plus_ms(COMMAND_GOOD_FOR_MS),
            expected: Expected::default(),
            command,
        })
    }

    /// Signs what [`KeyStore::draft`] makes.
    pub fn sign(
        &self,
        key: &StoredKey,
        market: &MarketName,
        command_id: CommandId,
        command: Command,
        now: Timestamp,
    ) -> Result<Bytes, KeyStoreError> {
        Ok(Bytes::from(sign(&self.draft(key, market, command_id, command, now)?, &key.signing())))
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeyStoreError> {
        let fits = (1..=NAME_LENGTH_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !fits {
            return Err(KeyStoreError::Name(name.chars().take(NAME_LENGTH_MAX).collect()));
        }
        Ok(self.dir.join(format!("{name}.key.json")))
    }
}

/// Writes a file that must not exist, readable by its owner only, durably.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::open(dir.path()).unwrap();
        let made = store.make("alice", Algorithm::Es256, None).unwrap();
        let found = store.get("alice").unwrap();
        assert_eq!((found.public(), found.account, found.device), (made.public(), made.account, made.device));
        assert!(matches!(store.make("alice", Algorithm::EdDsa, None), Err(KeyStoreError::Exists(_))));
        assert!(matches!(store.get("bob"), Err(KeyStoreError::Unknown { .. })));
        assert!(matches!(store.get("../alice"), Err(KeyStoreError::Name(_))));
        assert_eq!(store.names().unwrap(), ["alice"]);
    }

    #[test]
    fn a_seed_is_not_printed() {
        let dir = tempfile::tempdir().unwrap();
        let made = KeyStore::open(dir.path()).unwrap().make("alice", Algorithm::EdDsa, None).unwrap();
        let printed = format!("{made:?}");
        assert!(printed.contains("alice") && printed.ends_with(", .. }"), "{printed}");
        assert!(
            !printed.contains(&format!("{}, {}, {}", made.seed[0], made.seed[1], made.seed[2])),
            "{printed}"
        );
    }

    #[test]
    fn sequence_numbers_are_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::open(dir.path()).unwrap();
        let numbers: Vec<u64> = (0..5).map(|_| store.next_seq("alice").unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert_eq!(store.reserve_seqs("alice", 1000).unwrap(), 6);
        assert_eq!(store.next_seq("alice").unwrap(), 1006);
    }
}
