//! The master keys: one file each in the folder of keys, readable by its owner only. There is one, or two while the older is
//! being replaced.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::VaultError;
use super::seal::{KEY_BYTES, Master, MasterId};
use crate::log::segment::disk::{Access, Disk};

const SUFFIX: &str = ".master";
const PREFIX: &str = "vault-";
/// The key and its CRC32C.
const FILE_BYTES: usize = KEY_BYTES + 4;

/// A master key and where it is kept.
struct Kept {
    number: u32,
    path: PathBuf,
    master: Master,
}

/// All master keys, the oldest first.
pub(super) struct Masters {
    dir: PathBuf,
    kept: Vec<Kept>,
    /// Files of keys whose making was not finished: no data key was ever wrapped with them.
    unfinished: Vec<PathBuf>,
    number: u32,
}

impl Masters {
    /// Reads the master keys of a folder of keys.
    pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<Masters, VaultError> {
        let mut numbers = Vec::new();
        for name in disk.list(dir).map_err(VaultError::io(dir))? {
            let number = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
            if let Some(number) = number.and_then(|number| number.parse::<u32>().ok()) {
                numbers.push((number, dir.join(name)));
            }
        }
        numbers.sort_unstable();
        let number = numbers.last().map_or(0, |(number, _)| *number);
        let (mut kept, mut unfinished) = (Vec::new(), Vec::new());
        for (number, path) in numbers {
            let file = disk.open(&path, Access::Read).map_err(VaultError::io(&path))?;
            let mut bytes = Zeroizing::new([0; FILE_BYTES]);
            let length = file.read_at(0, bytes.as_mut_slice()).map_err(VaultError::io(&path))?;
            let (key, sum) = bytes.split_at(KEY_BYTES);
            if length == FILE_BYTES && crc32c::crc32c(key).to_le_bytes() == sum {
                let key = Zeroizing::new(<[u8; KEY_BYTES]>::try_from(key).expect("it was split there"));
                kept.push(Kept { number, path, master: Master::new(&key) });
            } else {
                unfinished.push(path);
            }
        }
        Ok(Masters { dir: dir.to_owned(), kept, unfinished, number })
    }

    /// Gives the newest, which wraps what is new.
    pub(super) fn newest(&self) -> Option<&Master> {
        self.kept.last().map(|kept| &kept.master)
    }

    /// Finds one.
    pub(super) fn find(&self, id: MasterId) -> Option<&Master> {
        self.kept.iter().map(|kept| &kept.master).find(|master| master.id == id)
    }

    /// Tells whether an older one waits to be replaced.
    pub(super) fn is_rotating(&self) -> bool {
        self.kept.len() > 1
    }

    /// Makes a new one, durably.
    pub(super) fn make(&mut self, disk: &dyn Disk) -> Result<MasterId, VaultError> {
        let key = Zeroizing::new(rand::random::<[u8; KEY_BYTES]>());
        let number = self.number + 1;
        let path = self.dir.join(format!("{PREFIX}{number}{SUFFIX}"));
        let error = VaultError::io(&path);
        let mut bytes = Zeroizing::new([0; FILE_BYTES]);
        bytes[..KEY_BYTES].copy_from_slice(key.as_slice());
        bytes[KEY_BYTES..].copy_from_slice(&crc32c::crc32c(key.as_slice()).to_le_bytes());
        let write = || {
            let file = disk.create_private(&path)?;
            file.write_at(0, bytes.as_slice())?;
            file.sync_data()?;
            disk.sync_dir(&self.dir)
        };
        // Whatever of it is there when this fails, the number is not given again.
        self.number = number;
        write().map_err(error)?;
        let master = Master::new(&key);
        let id = master.id;
        self.kept.push(Kept { number, path, master });
        Ok(id)
    }

    /// Destroys all but the newest: overwrites them, and removes their files. No data key may be wrapped with them any more.
    pub(super) fn destroy_older(&mut self, disk: &dyn Disk) -> Result<(), VaultError> {
        let older = self.kept.len().saturating_sub(1);
        let paths: Vec<PathBuf> = self.kept[..older].iter().map(|kept| kept.path.clone()).collect();
        for path in paths.iter().chain(&self.unfinished) {
            let destroy = || {
                let file = disk.open(path, Access::Write)?;
                file.write_at(0, &[0; FILE_BYTES])?;
                file.sync_data()?;
                disk.remove(path)
            };
            destroy().map_err(VaultError::io(path))?;
        }
        if !paths.is_empty() || !self.unfinished.is_empty() {
            disk.sync_dir(&self.dir).map_err(VaultError::io(&self.dir))?;
        }
        self.kept.drain(..older);
        self.unfinished.clear();
        Ok(())
    }

    /// Gives the number of the newest, which counts how often they were replaced.
    pub(super) fn generation(&self) -> u32 {
        self.kept.last().map_or(0, |kept| kept.number)
    }
}
