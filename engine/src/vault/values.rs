//! The encrypted values: a file of frames that only grows, read once when the vault is opened. When most of it is of no use
//! any more, what is left is written to the next file. Each frame is one write, synced before the next: what does not hold and
//! has no whole frame behind it is what a crash left of the last write, and is cut; else it is damage.
//!
//! A frame is u32 length, CRC32C of that length, CRC32C of the rest, and records in bincode. A file counts once its header is
//! there, which is written last.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use events::ids::AccountId;
use events::{Head, Position, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Change, VaultError};
use crate::log::segment::disk::{Access, Disk, DiskFile};

/// What the files' names begin with in the folder of the vault; a number follows.
pub(super) const PREFIX: &str = "values-";
const MAGIC: &[u8; 16] = b"skylink-vault-v1";
const HEADER_BYTES: u64 = MAGIC.len() as u64;
/// Length and two sums before each frame's records.
const FRAME_BYTES: usize = 12;
/// Longest frame.
const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a record takes besides its name and value, about.
const RECORD_BYTES: u64 = 64;
/// How large a file must be before what is left of it is written anew.
const COMPACT_FROM_BYTES: u64 = 1024 * 1024;
/// How much of the file is read at once, and about how much goes into one frame.
const CHUNK_BYTES: usize = 1024 * 1024;

/// What stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    /// A value, sealed.
    Put {
        account: AccountId,
        name: Box<str>,
        /// The event that named it, if one did; 0: it needs none.
        kept: Option<Position>,
        /// Since when it waits for an event to name it, if it does.
        waits_since: Option<Timestamp>,
        sealed: Vec<u8>,
    },
    /// A value is gone.
    Remove { account: AccountId, name: Box<str> },
    /// All of an account is gone; its data key was destroyed before.
    Erased { account: AccountId },
    /// The log was followed up to here, and said this.
    Followed { head: Head, changes: Vec<Change> },
}

/// What is known of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Where its frame begins, and which of its records it is.
    at: u64,
    index: u32,
    /// About how many bytes it takes.
    weight: u64,
    pub(super) kept: Option<Position>,
    pub(super) waits_since: Option<Timestamp>,
}

/// The names of an account.
pub(super) type Names = BTreeMap<Box<str>, Entry>;

/// The file.
pub(super) struct Values {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    number: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    end: u64,
    /// Whether a write failed in the middle, so that the file is longer than what counts of it.
    is_torn: bool,
    by_account: HashMap<AccountId, Names>,
    live_bytes: u64,
    /// From how many bytes on what is left is written anew.
    compact_from: u64,
    head: Head,
}

impl Values {
    /// Opens the newest file that counts, making the first if there is none, and removes others.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Values, VaultError> {
        let mut others = Vec::new();
        let mut found = None;
        for (number, path) in files(disk.as_ref(), dir)? {
            let file = disk.open(&path, Access::Write).map_err(VaultError::io(&path))?;
            let mut magic = [0; MAGIC.len()];
            let length = file.read_at(0, &mut magic).map_err(VaultError::io(&path))?;
            if length == magic.len() && magic == *MAGIC && found.is_none() {
                found = Some((number, path, file));
            } else {
                others.push(path);
            }
        }
        let newest =
            others.iter().filter_map(|path| number_of(path.file_name()?.to_str()?)).max().unwrap_or(0);
        if found.is_none() && newest > 1 {
            let what = "no file of values begins as one does";
            return Err(VaultError::Damaged { path: dir.to_owned(), what });
        }
        let is_new = found.is_none();
        for path in &others {
            disk.remove(path).map_err(VaultError::io(path))?;
        }
        if !others.is_empty() {
            disk.sync_dir(dir).map_err(VaultError::io(dir))?;
        }
        let (number, path, file) = match found {
            Some(found) => found,
            None => {
                let path = dir.join(format!("{PREFIX}1"));
                let file = disk.create_private(&path).map_err(VaultError::io(&path))?;
                (1, path, file)
            }
        };
        let (dir, by_account) = (dir.to_owned(), HashMap::new());
        let (end, live_bytes, head) = (HEADER_BYTES, 0, Head::EMPTY);
        let (is_torn, compact_from) = (false, COMPACT_FROM_BYTES);
        let mut values = Values {
            disk,
            dir,
            number,
            path,
            file,
            end,
            is_torn,
            by_account,
            live_bytes,
            compact_from,
            head,
        };
        if is_new {
            values.begin()?;
        } else {
            values.read()?;
        }
        Ok(values)
    }

    /// Makes the file count.
    fn begin(&self) -> Result<(), VaultError> {
        let write = || {
            self.file.write_at(0, MAGIC)?;
            self.file.sync_data()?;
            self.disk.sync_dir(&self.dir)
        };
        write().map_err(VaultError::io(&self.path))
    }

    fn read(&mut self) -> Result<(), VaultError> {
        let size = self.file.size().map_err(VaultError::io(&self.path))?;
        while self.end < size {
            match self.frame_at(self.end)? {
                Some((records, length)) => self.take(records, length),
                None => return self.cut(size),
            }
        }
        Ok(())
    }

    /// Reads the frame that begins at a place, if one does, and tells how long it is.
    fn frame_at(&self, at: u64) -> Result<Option<(Vec<Record>, usize)>, VaultError> {
        let error = VaultError::io(&self.path);
        let mut bytes = vec![0; FRAME_BYTES];
        if self.file.read_at(at, &mut bytes).map_err(&error)? < FRAME_BYTES {
            return Ok(None);
        }
        let Some(length) = framed_length(&bytes) else { return Ok(None) };
        bytes.resize(length, 0);
        let rest = &mut bytes[FRAME_BYTES..];
        if self.file.read_at(at + FRAME_BYTES as u64, rest).map_err(&error)? < rest.len() {
            return Ok(None);
        }
        Ok(unframe(&bytes).map(|records| (records, length)))
    }

    /// Cuts off what a crash left of the last write; what a crash can't have left is damage.
    fn cut(&mut self, size: u64) -> Result<(), VaultError> {
        if self.has_frame_behind(self.end + 1, size)? {
            let what = "a record in the middle does not hold";
            return Err(VaultError::Damaged { path: self.path.clone(), what });
        }
        tracing::warn!(path = %self.path.display(), at = self.end, "an unfinished write was cut from the vault's end");
        self.is_torn = true;
        self.mend()
    }

    /// Looks whether a whole frame begins anywhere from a place on.
    fn has_frame_behind(&self, from: u64, size: u64) -> Result<bool, VaultError> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut at = from;
        while at < size {
            let read = self.file.read_at(at, &mut buffer).map_err(VaultError::io(&self.path))?;
            if read < FRAME_BYTES {
                return Ok(false);
            }
            let places = read - FRAME_BYTES + 1;
            for place in 0..places {
                let is_frame = framed_length(&buffer[place..]).is_some();
                if is_frame && self.frame_at(at + place as u64)?.is_some() {
                    return Ok(true);
                }
            }
            at += places as u64;
        }
        Ok(false)
    }

    /// Cuts the file to what counts of it, durably.
    fn mend(&mut self) -> Result<(), VaultError> {
        if self.is_torn {
            let cut = || {
                self.file.truncate(self.end)?;
                self.file.sync_data()
            };
            cut().map_err(VaultError::io(&self.path))?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Gives the head up to which the log was followed.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Gives the names of an account.
    pub(super) fn names(&self, account: AccountId) -> Option<&Names> {
        self.by_account.get(&account)
    }

    /// Gives every account that has values.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (AccountId, &Names)> + '_ {
        self.by_account.iter().map(|(account, names)| (*account, names))
    }

    /// Gives the bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    /// Reads a value, sealed.
    pub(super) fn sealed(&self, entry: &Entry) -> Result<Vec<u8>, VaultError> {
        let records = self.frame_at(entry.at)?.map(|(records, _)| records).unwrap_or_default();
        match records.into_iter().nth(entry.index as usize) {
            Some(Record::Put { sealed, .. }) => Ok(sealed),
            _ => {
                let what = "a value that was there can't be read any more";
                Err(VaultError::Damaged { path: self.path.clone(), what })
            }
        }
    }

    /// Appends records, durably, and takes them in.
    pub(super) fn append(&mut self, records: Vec<Record>) -> Result<(), VaultError> {
        self.mend()?;
        for records in in_frames(records) {
            let bytes = frame(&records);
            if let Err(error) = self.file.write_at(self.end, &bytes) {
                self.is_torn = true;
                return Err(VaultError::io(&self.path)(error));
            }
            self.sync()?;
            self.take(records, bytes.len());
        }
        if self.end > self.compact_from.max(2 * self.live_bytes)
            && let Err(error) = self.compact()
        {
            if error.is_grave() {
                return Err(error);
            }
            // What was appended is durable. It is tried again when the file has grown.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the vault's file of values is not written anew"
            );
            self.compact_from = 2 * self.end;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), VaultError> {
        self.file.sync_data().map_err(VaultError::io(&self.path))
    }

    /// Takes in the frame at the end.
    fn take(&mut self, records: Vec<Record>, length: usize) {
        let at = self.end;
        self.end += length as u64;
        for (index, record) in (0..).zip(records) {
            match record {
                Record::Put { account, name, kept, waits_since, sealed } => {
                    let weight = RECORD_BYTES + (name.len() + sealed.len()) as u64;
                    let names = self.by_account.entry(account).or_default();
                    let before = names.get(&name).copied();
                    // What an event has named stays named when it is put again.
                    let kept = kept.or(before.and_then(|before| before.kept));
                    names.insert(name, Entry { at, index, weight, kept, waits_since });
                    self.live_bytes += weight;
                    self.live_bytes -= before.map_or(0, |before| before.weight);
                }
                Record::Remove { account, name } => self.forget(account, &name),
                Record::Erased { account } => {
                    let gone = self.by_account.remove(&account).unwrap_or_default();
                    self.live_bytes -= gone.values().map(|entry| entry.weight).sum::<u64>();
                }
                Record::Followed { head, changes } => {
                    self.head = head;
                    for change in changes {
                        self.change(&change);
                    }
                }
            }
        }
    }

    fn change(&mut self, change: &Change) {
        let (Change::Keep { account, name, .. } | Change::Drop { account, name }) = change else { return };
        let Some(entry) = self.by_account.get_mut(account).and_then(|names| names.get_mut(name)) else {
            return;
        };
        match change {
            Change::Keep { position, .. } => (entry.kept, entry.waits_since) = (Some(*position), None),
            // It may have been put again, for an event that is still to come.
            _ => entry.kept = None,
        }
        if entry.kept.is_none() && entry.waits_since.is_none() {
            self.forget(*account, name);
        }
    }

    fn forget(&mut self, account: AccountId, name: &str) {
        let Some(names) = self.by_account.get_mut(&account) else { return };
        self.live_bytes -= names.remove(name).map_or(0, |entry| entry.weight);
        if names.is_empty() {
            self.by_account.remove(&account);
        }
    }

    /// Writes what is left to the next file, and removes this one.
    fn compact(&mut self) -> Result<(), VaultError> {
        let number = self.number + 1;
        let path = self.dir.join(format!("{PREFIX}{number}"));
        let file = self.disk.create_private(&path).map_err(VaultError::io(&path))?;
        let mut next = Values {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            number,
            path,
            file,
            end: HEADER_BYTES,
            is_torn: false,
            by_account: HashMap::new(),
            live_bytes: 0,
            compact_from: COMPACT_FROM_BYTES,
            head: Head::EMPTY,
        };
        if let Err(error) = self.copy_to(&mut next) {
            // It does not count, and is in the way of the next try.
            let _ = self.disk.remove(&next.path);
            return Err(error);
        }
        let old = std::mem::replace(self, next);
        self.disk.remove(&old.path).map_err(VaultError::io(&old.path))?;
        self.disk.sync_dir(&self.dir).map_err(VaultError::io(&self.dir))
    }

    fn copy_to(&self, next: &mut Values) -> Result<(), VaultError> {
        let write = |next: &mut Values, records: Vec<Record>| {
            let bytes = frame(&records);
            next.file.write_at(next.end, &bytes).map_err(VaultError::io(&next.path))?;
            next.take(records, bytes.len());
            Ok::<(), VaultError>(())
        };
        let (mut records, mut size) = (Vec::new(), 0);
        for (account, names) in self.accounts() {
            for (name, entry) in names {
                let Entry { kept, waits_since, .. } = *entry;
                let sealed = self.sealed(entry)?;
                size += sealed.len();
                records.push(Record::Put { account, name: name.clone(), kept, waits_since, sealed });
                if size > CHUNK_BYTES {
                    write(next, std::mem::take(&mut records))?;
                    size = 0;
                }
            }
        }
        records.push(Record::Followed { head: self.head, changes: vec![] });
        write(next, records)?;
        next.sync()?;
        next.begin()
    }
}

/// Gives the files of values in a folder, the newest first.
pub(super) fn files(disk: &dyn Disk, dir: &Path) -> Result<Vec<(u64, PathBuf)>, VaultError> {
    let names = disk.list(dir).map_err(VaultError::io(dir))?;
    let mut files: Vec<_> =
        names.iter().filter_map(|name| Some((number_of(name)?, dir.join(name)))).collect();
    files.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(files)
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// Tells whether a file of values counts.
pub(super) fn counts(file: &dyn DiskFile) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    Ok(file.read_at(0, &mut magic)? == magic.len() && magic == *MAGIC)
}

/// Divides records into what goes into one frame each.
fn in_frames(records: Vec<Record>) -> Vec<Vec<Record>> {
    let (mut frames, mut size) = (vec![Vec::new()], 0);
    for record in records {
        if size > CHUNK_BYTES {
            frames.push(Vec::new());
            size = 0;
        }
        size += match &record {
            Record::Put { sealed, .. } => sealed.len(),
            _ => 0,
        };
        frames.last_mut().expect("there is one").push(record);
    }
    frames
}

fn frame(records: &[Record]) -> Vec<u8> {
    let payload = bincode::serde::encode_to_vec(records, bincode::config::standard())
        .expect("a record holds nothing that bincode can't say");
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "who puts a value has bounded it");
    let length = (payload.len() as u32).to_le_bytes();
    let sums = [crc32c::crc32c(&length).to_le_bytes(), crc32c::crc32c(&payload).to_le_bytes()];
    [&length, &sums[0], &sums[1], payload.as_slice()].concat()
}

/// Tells how long the frame is that begins some bytes, if they can be the beginning of one.
fn framed_length(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let is_length = rest.get(..4)? == crc32c::crc32c(length).to_le_bytes();
    let length = u32::from_le_bytes(*length) as usize;
    (is_length && (1..=PAYLOAD_BYTES_MAX).contains(&length)).then_some(FRAME_BYTES + length)
}

fn unframe(bytes: &[u8]) -> Option<Vec<Record>> {
    let (frame, payload) = bytes.split_at_checked(FRAME_BYTES)?;
    if crc32c::crc32c(payload).to_le_bytes() != frame[8..] {
        return None;
    }
    let (records, used) = bincode::serde::decode_from_slice(payload, bincode::config::standard()).ok()?;
    (used == payload.len()).then_some(records)
}
