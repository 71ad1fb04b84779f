//! Backups of a vault, which expire. A backup is a copy of its files and holds no key in the clear: it can be read only together
//! with the master key, which is not in it. What was erased after it was made is erased again from the log once it is restored
//! ([`super::Vault::follow_to`]); that nobody does it without the log, an expired backup is not restored, and the next one destroys it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use events::{Hash, Timestamp};
use serde::{Deserialize, Serialize};

use super::masters::Masters;
use super::{VaultError, lock, slots, values};
use crate::log::segment::disk::{Access, Disk, RealDisk};

/// Stands in the folder of a vault while a backup is restored to it.
pub(super) const RESTORING: &str = "restoring";
/// How long a backup is good unless told otherwise, in ms: 30 days.
pub const KEEP_MS_DEFAULT: i64 = 30 * 24 * 60 * 60 * 1000;
/// How often a file that changes while it is copied is looked at again.
const TRIES_MAX: u32 = 5;
const MANIFEST: &str = "manifest.json";
const VALUES: &str = "values";
/// The end of a backup's name while it is being made.
const UNFINISHED: &str = ".part";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    form: u32,
    made_at: Timestamp,
    expires_at: Timestamp,
    keys: Hash,
    values: Hash,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// Its folder.
    pub dir: PathBuf,
    /// When it was made.
    pub made_at: Timestamp,
    /// From when on it is not restored any more.
    pub expires_at: Timestamp,
}

/// Makes a backup of the vault in `dir`, in a new folder inside `to`; a process may use the vault meanwhile. It expires after
/// `keep_ms`.
pub fn make(dir: &Path, to: &Path, now: Timestamp, keep_ms: i64) -> Result<Backup, VaultError> {
    if !dir.join(slots::NAME).is_file() {
        return Err(VaultError::Missing { what: "vault", dir: dir.to_owned() });
    }
    // Values first: whoever has some has a data key in what is copied later, unless it was destroyed since.
    let values = copy_of_values(dir)?;
    let keys = copy_of_keys(dir)?;
    let expires_at = now.plus_ms(keep_ms);
    let manifest =
        Manifest { form: 1, made_at: now, expires_at, keys: Hash::of(&keys), values: Hash::of(&values) };
    let name = format!("vault-{}", now.to_string().replace(':', ""));
    let (part, dir) = (to.join(format!("{name}{UNFINISHED}")), to.join(name));
    let json = serde_json::to_vec_pretty(&manifest).expect("a manifest holds nothing that JSON can't say");
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
        if part.is_dir() {
            fs::remove_dir_all(&part)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&part)?;
        for (name, bytes) in [(VALUES, &values), (slots::NAME, &keys), (MANIFEST, &json)] {
            write_new(&part.join(name), bytes)?;
        }
        File::open(&part)?.sync_all()?;
        fs::rename(&part, &dir)?;
        File::open(to)?.sync_all()
    };
    write().map_err(VaultError::io(&part))?;
    Ok(Backup { dir, made_at: now, expires_at })
}

/// Lists the backups in a folder, the oldest first.
pub fn list(to: &Path) -> Result<Vec<Backup>, VaultError> {
    let error = VaultError::io(to);
    let mut backups = Vec::new();
    for entry in fs::read_dir(to).map_err(&error)? {
        let dir = entry.map_err(&error)?.path();
        let is_finished = dir.to_str().is_none_or(|name| !name.ends_with(UNFINISHED));
        if is_finished && dir.join(MANIFEST).is_file() {
            let Manifest { made_at, expires_at, .. } = manifest(&dir)?;
            backups.push(Backup { dir, made_at, expires_at });
        }
    }
    backups.sort_by_key(|backup| backup.made_at);
    Ok(backups)
}

/// Destroys the backups in a folder that have expired: writes over their data keys, and removes them.
pub fn destroy_expired(to: &Path, now: Timestamp) -> Result<Vec<Backup>, VaultError> {
    let expired: Vec<_> = list(to)?.into_iter().filter(|backup| backup.expires_at <= now).collect();
    for backup in &expired {
        let destroy = || {
            let keys = OpenOptions::new().write(true).open(backup.dir.join(slots::NAME))?;
            let size = usize::try_from(keys.metadata()?.len()).map_err(io::Error::other)?;
            keys.write_all_at(&vec![0; size], 0)?;
            keys.sync_all()?;
            fs::remove_dir_all(&backup.dir)
        };
        destroy().map_err(VaultError::io(&backup.dir))?;
    }
    Ok(expired)
}

/// Restores a backup to the folder of a vault, in which there must be none. The master key it was made under must be among the
/// keys.
pub fn restore(from: &Path, keys: &Path, dir: &Path, now: Timestamp) -> Result<Backup, VaultError> {
    let Manifest { made_at, expires_at, keys: keys_hash, values: values_hash, form } = manifest(from)?;
    if expires_at <= now {
        return Err(VaultError::Expired { dir: from.to_owned(), expired_at: expires_at });
    }
    let read = |name: &str| {
        let path = from.join(name);
        fs::read(&path).map_err(VaultError::io(&path))
    };
    let (slot_file, value_file) = (read(slots::NAME)?, read(VALUES)?);
    let damaged = |what| VaultError::Damaged { path: from.to_owned(), what };
    if form != 1 || Hash::of(&slot_file) != keys_hash || Hash::of(&value_file) != values_hash {
        return Err(damaged("its files are not those of its manifest"));
    }
    let masters = Masters::read(&RealDisk, keys)?;
    for id in slots::masters_of(&slot_file).ok_or_else(|| damaged("a data key does not hold"))? {
        if masters.find(id).is_none() {
            return Err(VaultError::MasterMissing { id, dir: keys.to_owned() });
        }
    }
    RealDisk.create_dir(dir).map_err(VaultError::io(dir))?;
    let _lock = lock(&RealDisk, dir)?;
    let marker = dir.join(RESTORING);
    let is_half = marker.exists();
    let there: Vec<_> = values::files(&RealDisk, dir)?.into_iter().map(|(_, path)| path).collect();
    if !is_half && (dir.join(slots::NAME).exists() || !there.is_empty()) {
        return Err(VaultError::Exists { dir: dir.to_owned() });
    }
    let write = || {
        if !is_half {
            write_new(&marker, b"")?;
            File::open(dir)?.sync_all()?;
        }
        // What a restore left that was not finished.
        for path in there.iter().chain([&dir.join(slots::NAME)]).filter(|path| path.exists()) {
            fs::remove_file(path)?;
        }
        write_new(&dir.join(format!("{}1", values::PREFIX)), &value_file)?;
        write_new(&dir.join(slots::NAME), &slot_file)?;
        File::open(dir)?.sync_all()?;
        fs::remove_file(&marker)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(VaultError::io(dir))?;
    Ok(Backup { dir: from.to_owned(), made_at, expires_at })
}

fn manifest(dir: &Path) -> Result<Manifest, VaultError> {
    let path = dir.join(MANIFEST);
    let json = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(VaultError::Missing { what: "backup", dir: dir.to_owned() });
        }
        other => other.map_err(VaultError::io(&path))?,
    };
    let what = "it is no manifest of a backup";
    serde_json::from_slice(&json).map_err(|_| VaultError::Damaged { path, what })
}

/// Copies the newest file of values that counts. It only grows, and what it has at its end that is not whole is cut when it is
/// opened.
fn copy_of_values(dir: &Path) -> Result<Vec<u8>, VaultError> {
    for _ in 0..TRIES_MAX {
        for (_, path) in values::files(&RealDisk, dir)? {
            // One that is gone was written anew just now.
            let Ok(file) = RealDisk.open(&path, Access::Read) else { break };
            if values::counts(file.as_ref()).map_err(VaultError::io(&path))? {
                let size = file.size().map_err(VaultError::io(&path))?;
                let mut bytes = vec![0; usize::try_from(size).expect("a file fits into memory")];
                let read = file.read_at(0, &mut bytes).map_err(VaultError::io(&path))?;
                bytes.truncate(read);
                return Ok(bytes);
            }
        }
    }
    Err(VaultError::Missing { what: "file of values", dir: dir.to_owned() })
}

/// Copies the file of data keys, of which a sector may be written over meanwhile.
fn copy_of_keys(dir: &Path) -> Result<Vec<u8>, VaultError> {
    let path = dir.join(slots::NAME);
    for _ in 0..TRIES_MAX {
        let mut bytes = Vec::new();
        File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(VaultError::io(&path))?;
        bytes.truncate(bytes.len() / slots::SLOT_BYTES * slots::SLOT_BYTES);
        if slots::masters_of(&bytes).is_some() {
            return Ok(bytes);
        }
    }
    Err(VaultError::Damaged { path, what: "a data key does not hold" })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
