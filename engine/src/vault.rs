//! The vault: what is personal, or secret, of an account, encrypted under a data key of its own. Whoever destroys that key has
//! erased all of it, wherever the encrypted values are still kept.
//!
//! ```text
//! <data>/keys/vault-<n>.master   the master key, which wraps data keys        back up with the other keys
//! <data>/vault/keys              a data key for each account                  ┐ back up with `skylink vault backup`
//! <data>/vault/values-<n>        values, encrypted under them                 ┘
//! ```
//!
//! A value is durable when [`Vault::put`] or [`Vault::stage`] returns, and is in the clear nowhere on disk. With a value that a command
//! names by its hash, the command must be decided first to be worth keeping: it *waits*, until the event that names it is followed
//! ([`follow`]), or for [`WAIT_MS_MAX`]. One process has the vault at a time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events::ids::AccountId;
use events::{Head, Position, Timestamp};
use serde::{Deserialize, Serialize};

use self::masters::Masters;
use self::seal::{KEY_BYTES, open_value, seal_value};
use self::slots::{Slot, Slots};
use self::values::{Record, Values};
use crate::log::segment::disk::{Disk, Lock, LockError, RealDisk};

pub mod backup;
pub mod follow;
mod masters;
mod seal;
mod slots;
mod values;

#[cfg(test)]
mod tests;

pub use zeroize::Zeroizing;

pub use self::seal::MasterId;

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Longest name of a value, in bytes.
pub const NAME_BYTES_MAX: usize = 160;
/// Most values of one account.
pub const VALUES_PER_ACCOUNT_MAX: usize = 65_536;
/// Most values of one account that wait for an event.
pub const WAITING_PER_ACCOUNT_MAX: usize = 256;
/// How long a value waits for an event that names it, in ms: longer than any command is good for.
pub const WAIT_MS_MAX: i64 = 60 * 60 * 1000;
/// From when on a value that still waits is put again, for it to wait longer.
const WAITED_MS: i64 = 10 * 60 * 1000;
/// How far the log may be followed without a note of it, in events, when nothing there is about the vault.
const UNNOTED_EVENTS_MAX: u64 = 10_000;
/// The file whose lock the process has that uses the vault.
const LOCK_FILE: &str = "lock";

/// Why the vault does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file can't be read or written.
    #[error("{path} can't be used: see that it, or the folder it is to be in, is there, yours, and not full")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the vault in {dir} is in use ({holder}): stop the market that has it first")]
    Held {
        /// Where it is.
        dir: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// What stands in a file can't be.
    #[error("{path} is damaged, {what}: restore the vault from its backup with `skylink vault restore`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A master key is not there.
    #[error(
        "master key {id} of the vault is not in {dir}: restore that folder from its backup; without the key nothing in the vault can be read"
    )]
    MasterMissing {
        /// Which.
        id: MasterId,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A backup was being restored.
    #[error("a backup was being restored to {dir} and is not whole: restore it again")]
    HalfRestored {
        /// Where.
        dir: PathBuf,
    },
    /// There is a vault already.
    #[error("there is a vault in {dir} already: move that folder away before a backup is restored")]
    Exists {
        /// Where.
        dir: PathBuf,
    },
    /// There is no such vault or backup.
    #[error("there is no {what} in {dir}: name another folder")]
    Missing {
        /// What.
        what: &'static str,
        /// Where.
        dir: PathBuf,
    },
    /// A backup is too old.
    #[error("the backup {dir} expired at {expired_at}: it may hold what was erased since, take a newer one")]
    Expired {
        /// Which.
        dir: PathBuf,
        /// When.
        expired_at: Timestamp,
    },
    /// The account was erased.
    #[error("account {account} was erased: nothing of it is kept any more")]
    Erased {
        /// Which.
        account: AccountId,
    },
    /// The name is none for a value.
    #[error("a value's name has 1 to 160 of a-z, A-Z, 0-9, `.`, `_`, `-`, `:` and `/`")]
    Name,
    /// The value is too long.
    #[error("a value has {VALUE_BYTES_MAX} bytes at most, this one {bytes}")]
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// The account has as many values as it may.
    #[error("account {account} has as many values as it may: remove some first")]
    TooMany {
        /// Which.
        account: AccountId,
    },
    /// Something went wrong before, or it was closed.
    #[error(
        "the vault is closed: restart the process; if its log line tells of a disk error, see to that first"
    )]
    Closed,
}

impl VaultError {
    fn io(path: &Path) -> impl Fn(io::Error) -> VaultError + use<> {
        let path = path.to_owned();
        move |source| VaultError::Io { path: path.clone(), source }
    }

    /// Tells whether nobody knows any more what is on disk.
    fn is_grave(&self) -> bool {
        match self {
            VaultError::Io { source, .. } => source.kind() != io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

/// What the log says about values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// An event names a value: it is kept.
    Keep {
        /// Whose.
        account: AccountId,
        /// Its name.
        name: Box<str>,
        /// Where the event stands.
        position: Position,
    },
    /// An event no longer names a value: it is dropped, unless it waits for another event.
    Drop {
        /// Whose.
        account: AccountId,
        /// Its name.
        name: Box<str>,
    },
    /// An account was erased: its data key is destroyed.
    Erase {
        /// Which.
        account: AccountId,
    },
}

/// Values of one command, to be stored before it is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Whose they are.
    pub account: AccountId,
    /// Names and values.
    pub values: Vec<(String, Zeroizing<Vec<u8>>)>,
}

/// What became of the values of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// They are durable.
    Stored,
    /// The account was erased; they are not stored.
    Erased,
    /// Too many values of the account wait already; none of them is stored.
    TooMany,
}

/// How a vault is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VaultStatus {
    /// Accounts with a data key.
    pub accounts: u64,
    /// Accounts whose data key was destroyed.
    pub erased: u64,
    /// Values of all accounts.
    pub values: u64,
    /// Those of them that wait for an event.
    pub waiting: u64,
    /// Bytes of the file of values.
    pub bytes: u64,
    /// How far it has followed the log.
    pub position: Position,
    /// How often there was a new master key, with the first.
    pub master_generation: u32,
    /// Data keys that can't be read, since their sector is damaged.
    pub damaged_keys: u64,
    /// Accounts with values whose data key is not there.
    pub without_key: u64,
}

/// An open vault.
pub struct Vault {
    inner: Mutex<Option<Inner>>,
}

struct Inner {
    disk: Arc<dyn Disk>,
    masters: Masters,
    slots: Slots,
    values: Values,
    _lock: Lock,
}

impl Vault {
    /// Opens the vault of a folder of keys and a folder of its own, making it if need be. Finishes what a crash interrupted.
    /// Blocks on the disk.
    pub fn open(keys: &Path, dir: &Path) -> Result<Vault, VaultError> {
        Vault::open_on(Arc::new(RealDisk), keys, dir)
    }

    /// Opens it on a disk.
    pub fn open_on(disk: Arc<dyn Disk>, keys: &Path, dir: &Path) -> Result<Vault, VaultError> {
        disk.create_dir(keys).map_err(VaultError::io(keys))?;
        disk.create_dir(dir).map_err(VaultError::io(dir))?;
        let lock = lock(disk.as_ref(), dir)?;
        let there = disk.list(dir).map_err(VaultError::io(dir))?;
        if there.iter().any(|name| name == backup::RESTORING) {
            return Err(VaultError::HalfRestored { dir: dir.to_owned() });
        }
        let mut masters = Masters::read(disk.as_ref(), keys)?;
        let slots = Slots::open(disk.as_ref(), dir)?;
        if let Some((_, id)) = slots.live().find(|(_, id)| masters.find(*id).is_none()) {
            return Err(VaultError::MasterMissing { id, dir: keys.to_owned() });
        }
        if masters.newest().is_none() {
            masters.make(disk.as_ref())?;
        }
        let values = Values::open(Arc::clone(&disk), dir)?;
        let mut inner = Inner { disk, masters, slots, values, _lock: lock };
        inner.rewrap()?;
        inner.drop_erased()?;
        if inner.slots.damaged() > 0 || inner.without_key() > 0 {
            tracing::error!(
                damaged = inner.slots.damaged(),
                without_key = inner.without_key(),
                "data keys of accounts in the vault can't be read: restore the vault from its backup"
            );
        }
        Ok(Vault { inner: Mutex::new(Some(inner)) })
    }

    /// Puts a value of an account, over the one of that name, durably; it is kept until it is removed or the account is erased.
    /// Blocks on the disk.
    pub fn put(&self, account: AccountId, name: &str, value: &[u8]) -> Result<(), VaultError> {
        check(name, value)?;
        self.with(|inner| {
            let count = inner.values.names(account).map_or(0, |names| names.len());
            if count >= VALUES_PER_ACCOUNT_MAX {
                return Err(VaultError::TooMany { account });
            }
            let data_key = inner.data_key_or_new(account)?;
            inner.slots.sync()?;
            let sealed = seal_value(&data_key, account, name, value);
            let name = Box::from(name);
            inner.values.append(vec![Record::Put { account, name, kept: Some(0), waits_since: None, sealed }])
        })
    }

    /// Gives a value of an account; `None` if there is none of that name.
    ///
    /// # Errors
    /// [`VaultError::Erased`], if the account was.
    pub fn get(&self, account: AccountId, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        self.with(|inner| {
            if inner.is_erased(account) {
                return Err(VaultError::Erased { account });
            }
            let Some(entry) = inner.values.names(account).and_then(|names| names.get(name)).copied() else {
                return Ok(None);
            };
            let what = "a value or its data key can't be opened";
            let damaged = || VaultError::Damaged { path: slots::NAME.into(), what };
            let data_key = inner.data_key(account)?.ok_or_else(damaged)?;
            let sealed = inner.values.sealed(&entry)?;
            open_value(&data_key, account, name, &sealed).map(Some).ok_or_else(damaged)
        })
    }

    /// Removes a value of an account, if there is one of that name. Its encrypted form stays in the file until that is written
    /// anew.
    pub fn remove(&self, account: AccountId, name: &str) -> Result<(), VaultError> {
        self.with(|inner| {
            let is_there = inner.values.names(account).is_some_and(|names| names.contains_key(name));
            if !is_there {
                return Ok(());
            }
            inner.values.append(vec![Record::Remove { account, name: name.into() }])
        })
    }

    /// Gives the names of an account's values that begin in some way, in order.
    pub fn names(&self, account: AccountId, prefix: &str) -> Result<Vec<String>, VaultError> {
        self.with(|inner| {
            let names = inner.values.names(account).into_iter().flat_map(|names| names.keys());
            Ok(names.filter(|name| name.starts_with(prefix)).map(|name| name.to_string()).collect())
        })
    }

    /// Tells whether there is a value of that name.
    pub fn has(&self, account: AccountId, name: &str) -> Result<bool, VaultError> {
        self.with(|inner| Ok(inner.values.names(account).is_some_and(|names| names.contains_key(name))))
    }

    /// Tells whether an account was erased.
    pub fn is_erased(&self, account: AccountId) -> Result<bool, VaultError> {
        self.with(|inner| Ok(inner.is_erased(account)))
    }

    /// Stores the values that commands name, all of a command or none, before they are decided. They wait for the events that
    /// name them. Durable when it returns, with one write for all. Blocks on the disk.
    ///
    /// # Errors
    /// Only where none of them is stored.
    pub fn stage(&self, commands: &[Staged], now: Timestamp) -> Result<Vec<Staging>, VaultError> {
        for (name, value) in commands.iter().flat_map(|staged| &staged.values) {
            check(name, value)?;
        }
        self.with(|inner| {
            let (mut records, mut outcomes) = (Vec::new(), Vec::with_capacity(commands.len()));
            for staged in commands {
                outcomes.push(inner.stage(staged, now, &mut records)?);
            }
            if !records.is_empty() {
                inner.slots.sync()?;
                inner.values.append(records)?;
            }
            Ok(outcomes)
        })
    }

    /// Does what the log says up to a head. Keys are destroyed before it is noted that they are, so that a crash between leaves
    /// it to be done again. Blocks on the disk.
    pub fn follow_to(&self, head: Head, changes: Vec<Change>) -> Result<(), VaultError> {
        self.with(|inner| {
            if head.position <= inner.values.head().position {
                return Ok(());
            }
            let mut records = Vec::new();
            for change in &changes {
                if let Change::Erase { account } = change {
                    inner.slots.erase(*account)?;
                    records.push(Record::Erased { account: *account });
                }
            }
            if changes.is_empty() && head.position < inner.values.head().position + UNNOTED_EVENTS_MAX {
                return Ok(());
            }
            let changes =
                changes.into_iter().filter(|change| !matches!(change, Change::Erase { .. })).collect();
            records.push(Record::Followed { head, changes });
            inner.values.append(records)
        })
    }

    /// Gives the head up to which it has noted that it followed the log.
    pub fn followed(&self) -> Result<Head, VaultError> {
        self.with(|inner| Ok(inner.values.head()))
    }

    /// Destroys an account's data key, durably, and forgets its values.
    pub fn erase(&self, account: AccountId) -> Result<(), VaultError> {
        self.with(|inner| {
            inner.slots.erase(account)?;
            inner.drop_erased()
        })
    }

    /// Makes a new master key, wraps every data key with it, and destroys the one before: backups that were made before can't be
    /// read any more. Blocks on the disk; after a crash in the middle the next opening goes on with it.
    pub fn rotate(&self) -> Result<MasterId, VaultError> {
        self.with(|inner| {
            let id = inner.masters.make(inner.disk.as_ref())?;
            inner.rewrap()?;
            Ok(id)
        })
    }

    /// Tells how it is.
    pub fn status(&self) -> Result<VaultStatus, VaultError> {
        self.with(|inner| {
            let entries = || inner.values.accounts().flat_map(|(_, names)| names.values());
            Ok(VaultStatus {
                accounts: inner.slots.live().count() as u64,
                erased: inner.slots.erased(),
                values: entries().count() as u64,
                waiting: entries().filter(|entry| entry.kept.is_none()).count() as u64,
                bytes: inner.values.bytes(),
                position: inner.values.head().position,
                master_generation: inner.masters.generation(),
                damaged_keys: inner.slots.damaged(),
                without_key: inner.without_key(),
            })
        })
    }

    /// Closes it: whoever still has it gets [`VaultError::Closed`], and another process may open it.
    pub fn close(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Inner>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something, and closes the vault when nobody knows any more what is on disk.
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> Result<T, VaultError>) -> Result<T, VaultError> {
        let mut inner = self.lock();
        let done = act(inner.as_mut().ok_or(VaultError::Closed)?);
        if let Err(error) = &done
            && error.is_grave()
        {
            tracing::error!(error = error as &dyn std::error::Error, "the vault is closed until a restart");
            inner.take();
        }
        done
    }
}

impl Inner {
    fn is_erased(&self, account: AccountId) -> bool {
        matches!(self.slots.get(account), Some(Slot::Erased))
    }

    fn without_key(&self) -> u64 {
        self.values.accounts().filter(|(account, _)| self.slots.get(*account).is_none()).count() as u64
    }

    fn data_key(&self, account: AccountId) -> Result<Option<Zeroizing<[u8; KEY_BYTES]>>, VaultError> {
        match self.slots.get(account) {
            None => Ok(None),
            Some(Slot::Erased) => Err(VaultError::Erased { account }),
            Some(Slot::Live { master, wrapped, .. }) => {
                let master = self.masters.find(*master);
                Ok(master.and_then(|master| master.unwrap(account, wrapped)))
            }
        }
    }

    /// Gives an account's data key, making one if it has none: durable only once the slots are synced.
    fn data_key_or_new(&mut self, account: AccountId) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
        if self.slots.get(account).is_some() {
            let what = "a data key can't be opened with its master key";
            let damaged = || VaultError::Damaged { path: slots::NAME.into(), what };
            return self.data_key(account)?.ok_or_else(damaged);
        }
        let data_key = Zeroizing::new(rand::random::<[u8; KEY_BYTES]>());
        let master = self.masters.newest().expect("an open vault has a master key");
        self.slots.put(account, master.id, master.wrap(account, &data_key))?;
        Ok(data_key)
    }

    fn stage(
        &mut self,
        staged: &Staged,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<Staging, VaultError> {
        let account = staged.account;
        if self.is_erased(account) {
            return Ok(Staging::Erased);
        }
        let (mut waiting, mut count) = (0, 0);
        for (name, entry) in self.values.names(account).into_iter().flatten() {
            count += 1;
            match entry.waits_since {
                Some(since) if entry.kept.is_none() && now.ms_since(since) > WAIT_MS_MAX => {
                    records.push(Record::Remove { account, name: name.clone() });
                }
                Some(_) => waiting += 1,
                None => {}
            }
        }
        let there = |name: &str| self.values.names(account).and_then(|names| names.get(name)?.waits_since);
        let is_new = |name: &str| there(name).is_none_or(|since| now.ms_since(since) > WAITED_MS);
        let new: Vec<_> = staged.values.iter().filter(|(name, _)| is_new(name)).collect();
        if waiting + new.len() > WAITING_PER_ACCOUNT_MAX || count + new.len() > VALUES_PER_ACCOUNT_MAX {
            return Ok(Staging::TooMany);
        }
        if new.is_empty() {
            return Ok(Staging::Stored);
        }
        let data_key = self.data_key_or_new(account)?;
        for (name, value) in new {
            let sealed = seal_value(&data_key, account, name, value);
            let (name, waits_since) = (Box::from(name.as_str()), Some(now));
            records.push(Record::Put { account, name, kept: None, waits_since, sealed });
        }
        Ok(Staging::Stored)
    }

    /// Wraps with the newest master key what is wrapped with an older one, and destroys the older ones.
    fn rewrap(&mut self) -> Result<(), VaultError> {
        if self.masters.is_rotating() {
            let newest = self.masters.newest().expect("an open vault has a master key");
            let older: Vec<_> = self.slots.live().filter(|(_, id)| *id != newest.id).collect();
            for (account, _) in older {
                let Some(data_key) = self.data_key(account)? else {
                    let what = "a data key can't be opened with its master key";
                    return Err(VaultError::Damaged { path: slots::NAME.into(), what });
                };
                self.slots.put(account, newest.id, newest.wrap(account, &data_key))?;
            }
            self.slots.sync()?;
        }
        self.masters.destroy_older(self.disk.as_ref())
    }

    /// Forgets the values of accounts whose data key was destroyed.
    fn drop_erased(&mut self) -> Result<(), VaultError> {
        let accounts = self.values.accounts().map(|(account, _)| account);
        let erased: Vec<_> = accounts.filter(|account| self.is_erased(*account)).collect();
        if erased.is_empty() {
            return Ok(());
        }
        self.values.append(erased.into_iter().map(|account| Record::Erased { account }).collect())
    }
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Lock, VaultError> {
    let path = dir.join(LOCK_FILE);
    disk.lock(&path).map_err(|error| match error {
        LockError::Held { holder } => VaultError::Held { dir: dir.to_owned(), holder },
        LockError::Io(source) => VaultError::Io { path, source },
    })
}

fn check(name: &str, value: &[u8]) -> Result<(), VaultError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(fits) {
        return Err(VaultError::Name);
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(VaultError::TooLong { bytes: value.len() });
    }
    Ok(())
}
