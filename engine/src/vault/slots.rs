//! The data keys: one file of slots of a sector each, which are written over in place, so that the file holds one copy of a key
//! and, once it is destroyed, none.
//!
//! A slot is state, account, master key, wrapped data key, CRC32C and zeros. The first slot is the file's header.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use events::ids::AccountId;
use uuid::Uuid;

use super::VaultError;
use super::seal::{MasterId, WRAPPED_BYTES};
use crate::log::segment::disk::{Access, Disk, DiskFile};

/// The file's name in the folder of the vault.
pub(super) const NAME: &str = "keys";
/// What one write touches: a sector, so that a torn write never harms a neighbour.
pub(super) const SLOT_BYTES: usize = 512;
const MAGIC: &[u8; 16] = b"skylink-vault-k1";
const LIVE: u8 = 1;
const ERASED: u8 = 2;
const ACCOUNT_AT: usize = 1;
const MASTER_AT: usize = ACCOUNT_AT + 16;
const WRAPPED_AT: usize = MASTER_AT + 8;
const SUM_AT: usize = WRAPPED_AT + WRAPPED_BYTES;
/// How many slots are read at once.
const SLOTS_PER_READ: usize = 2048;

/// What the file knows of an account.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    /// It has a data key, wrapped with a master key.
    Live { number: u64, master: MasterId, wrapped: [u8; WRAPPED_BYTES] },
    /// It had one, which was destroyed; or it was erased before it had one.
    Erased,
}

/// The file.
pub(super) struct Slots {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    by_account: HashMap<AccountId, Slot>,
    /// Slots in the file, the header and damaged ones too.
    count: u64,
    damaged: u64,
    /// Whether something was written since the last sync.
    is_dirty: bool,
}

impl Slots {
    /// Opens the file, making it if need be. A slot whose making was not finished is none.
    pub(super) fn open(disk: &dyn Disk, dir: &Path) -> Result<Slots, VaultError> {
        let path = dir.join(NAME);
        let error = VaultError::io(&path);
        let file = match disk.open(&path, Access::Write) {
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
                disk.create_private(&path).map_err(&error)?
            }
            other => other.map_err(&error)?,
        };
        let size = file.size().map_err(&error)?;
        if size < SLOT_BYTES as u64 {
            let mut header = [0; SLOT_BYTES];
            header[..MAGIC.len()].copy_from_slice(MAGIC);
            let write = || {
                file.write_at(0, &header)?;
                file.sync_data()?;
                disk.sync_dir(dir)
            };
            write().map_err(&error)?;
        }
        let mut slots =
            Slots { file, path, by_account: HashMap::new(), count: 1, damaged: 0, is_dirty: false };
        slots.read()?;
        Ok(slots)
    }

    fn read(&mut self) -> Result<(), VaultError> {
        let mut buffer = vec![0; SLOT_BYTES * SLOTS_PER_READ];
        let mut at = 0;
        loop {
            let length = self.file.read_at(at, &mut buffer).map_err(VaultError::io(&self.path))?;
            for (index, bytes) in buffer[..length].chunks_exact(SLOT_BYTES).enumerate() {
                let number = at / SLOT_BYTES as u64 + index as u64;
                if number == 0 {
                    if !bytes.starts_with(MAGIC) {
                        let what = "it does not begin as a file of data keys does";
                        return Err(VaultError::Damaged { path: self.path.clone(), what });
                    }
                    continue;
                }
                self.count = number + 1;
                match decode(bytes, number) {
                    Some((account, slot)) => drop(self.by_account.insert(account, slot)),
                    // Zeros are a slot whose making was not finished. It stays empty: nothing can be said of who has it.
                    None if bytes.iter().all(|byte| *byte == 0) => {}
                    None => self.damaged += 1,
                }
            }
            if length < buffer.len() {
                return Ok(());
            }
            at += length as u64;
        }
    }

    /// Finds what is known of an account.
    pub(super) fn get(&self, account: AccountId) -> Option<&Slot> {
        self.by_account.get(&account)
    }

    /// Gives the accounts that have a data key, with the master key that it is wrapped with.
    pub(super) fn live(&self) -> impl Iterator<Item = (AccountId, MasterId)> + '_ {
        self.by_account.iter().filter_map(|(account, slot)| match slot {
            Slot::Live { master, .. } => Some((*account, *master)),
            Slot::Erased => None,
        })
    }

    /// Counts the accounts that were erased.
    pub(super) fn erased(&self) -> u64 {
        self.by_account.values().filter(|slot| matches!(slot, Slot::Erased)).count() as u64
    }

    /// Counts slots that can't be read.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Writes a wrapped data key, over the one the account had; durable only once [`Slots::sync`] says so.
    pub(super) fn put(
        &mut self,
        account: AccountId,
        master: MasterId,
        wrapped: [u8; WRAPPED_BYTES],
    ) -> Result<(), VaultError> {
        let number = match self.by_account.get(&account) {
            Some(Slot::Live { number, .. }) => *number,
            Some(Slot::Erased) => return Err(VaultError::Erased { account }),
            None => self.count,
        };
        self.write(number, &encode(LIVE, account, master, &wrapped))?;
        self.count = self.count.max(number + 1);
        self.by_account.insert(account, Slot::Live { number, master, wrapped });
        Ok(())
    }

    /// Destroys an account's data key, durably: writes over it, and says that the account was erased.
    pub(super) fn erase(&mut self, account: AccountId) -> Result<(), VaultError> {
        let number = match self.by_account.get(&account) {
            Some(Slot::Erased) => return Ok(()),
            Some(Slot::Live { number, .. }) => *number,
            None => self.count,
        };
        self.write(number, &encode(ERASED, account, MasterId([0; 8]), &rand::random()))?;
        self.count = self.count.max(number + 1);
        self.by_account.insert(account, Slot::Erased);
        self.sync()
    }

    /// Makes durable what was written.
    pub(super) fn sync(&mut self) -> Result<(), VaultError> {
        if self.is_dirty {
            self.file.sync_data().map_err(VaultError::io(&self.path))?;
            self.is_dirty = false;
        }
        Ok(())
    }

    fn write(&mut self, number: u64, slot: &[u8; SLOT_BYTES]) -> Result<(), VaultError> {
        self.is_dirty = true;
        self.file.write_at(number * SLOT_BYTES as u64, slot).map_err(VaultError::io(&self.path))
    }
}

fn encode(
    state: u8,
    account: AccountId,
    master: MasterId,
    wrapped: &[u8; WRAPPED_BYTES],
) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[0] = state;
    slot[ACCOUNT_AT..MASTER_AT].copy_from_slice(account.uuid().as_bytes());
    slot[MASTER_AT..WRAPPED_AT].copy_from_slice(&master.0);
    slot[WRAPPED_AT..SUM_AT].copy_from_slice(wrapped);
    let sum = crc32c::crc32c(&slot[..SUM_AT]);
    slot[SUM_AT..SUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
    slot
}

fn decode(bytes: &[u8], number: u64) -> Option<(AccountId, Slot)> {
    let (slot, rest) = bytes.split_at(SUM_AT);
    if crc32c::crc32c(slot).to_le_bytes() != rest[..4] {
        return None;
    }
    let account = AccountId::from_uuid(Uuid::from_slice(&slot[ACCOUNT_AT..MASTER_AT]).ok()?);
    match slot[0] {
        LIVE => {
            let master = MasterId(slot[MASTER_AT..WRAPPED_AT].try_into().ok()?);
            Some((account, Slot::Live { number, master, wrapped: slot[WRAPPED_AT..].try_into().ok()? }))
        }
        ERASED => Some((account, Slot::Erased)),
        _ => None,
    }
}

/// Gives the master keys that a file of data keys needs, if every slot of it can be read.
pub(super) fn masters_of(file: &[u8]) -> Option<std::collections::BTreeSet<MasterId>> {
    let mut masters = std::collections::BTreeSet::new();
    for (number, bytes) in file.chunks(SLOT_BYTES).enumerate().skip(1) {
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        let (_, slot) = (bytes.len() == SLOT_BYTES).then(|| decode(bytes, number as u64)).flatten()?;
        if let Slot::Live { master, .. } = slot {
            masters.insert(master);
        }
    }
    Some(masters)
}
