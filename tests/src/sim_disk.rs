//! A disk in memory that loses power and goes wrong when it is told to.
//!
//! What was not synced is lost at a crash; of the bytes written since a file's last sync, a part that the seed
//! decides may survive, as on a real disk: a prefix, then the file ends or zeros follow.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use engine::log::segment::disk::{Access, Disk, DiskFile, Lock, LockError};

/// What goes wrong with an operation on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// A write stores this many bytes and then finds the disk full.
    FullAfter(usize),
    /// A sync fails; what it should have made durable is not.
    SyncFails,
    /// The power is gone from this operation on: nothing works until [`SimDisk::crash`].
    PowerGone,
}

/// What the unsynced bytes of a file look like after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// None is left.
    Nothing,
    /// A part of them that the seed decides, then the file's end or zeros.
    Part {
        /// Decides which part.
        seed: u64,
    },
    /// All of them, as if the sync had still been done.
    Everything,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Inode>,
    locks: BTreeMap<PathBuf, Weak<()>>,
    /// Counts the operations that change something.
    operations: u64,
    faults: BTreeMap<u64, DiskFault>,
    power_gone: bool,
}

#[derive(Default, Clone)]
struct Inode {
    bytes: Vec<u8>,
    /// What is there after a crash.
    durable: Vec<u8>,
    /// Whether its folder was synced since it was made.
    named_durably: bool,
    /// Which inode of this name it is, so that a handle of a removed file is noticed.
    generation: u64,
}

impl SimDisk {
    /// Makes an empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives how many operations have changed something so far, failed ones included.
    pub fn operations(&self) -> u64 {
        self.lock_state().operations
    }

    /// Makes the `n`-th changing operation from now on go wrong, counted from 0.
    pub fn fail_in(&self, n: u64, fault: DiskFault) {
        let mut state = self.lock_state();
        let at = state.operations + n;
        state.faults.insert(at, fault);
    }

    /// Takes the power away and gives it back: only what was synced is left, and what `survival` says of the rest.
    pub fn crash(&self, survival: Survival) {
        let mut state = self.lock_state();
        state.power_gone = false;
        state.faults.clear();
        state.locks.clear();
        state.files.retain(|_, inode| inode.named_durably || survival == Survival::Everything);
        for inode in state.files.values_mut() {
            inode.bytes = after_crash(inode, survival);
            inode.durable = inode.bytes.clone();
            inode.named_durably = true;
        }
    }

    /// Gives the bytes of a file.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        self.lock_state().files.get(path).map(|inode| inode.bytes.clone())
    }

    /// Replaces the bytes of a file, durably, as damage or an operator does.
    pub fn set_bytes(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.lock_state();
        let inode = state.files.entry(path.to_owned()).or_default();
        *inode = Inode { durable: bytes.clone(), bytes, named_durably: true, generation: inode.generation };
    }

    /// Makes a disk of its own with the same durable and undurable content, without faults or locks.
    pub fn copy(&self) -> SimDisk {
        let state = State { files: self.lock_state().files.clone(), ..State::default() };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }
}

/// Mixes a number so that its bits look random (SplitMix64).
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn after_crash(inode: &Inode, survival: Survival) -> Vec<u8> {
    let Inode { bytes, durable, .. } = inode;
    match survival {
        Survival::Nothing => durable.clone(),
        Survival::Everything => bytes.clone(),
        // A cut that was not synced may or may not have happened.
        Survival::Part { seed } if bytes.len() < durable.len() => {
            if mix(seed) & 1 == 0 {
                bytes.clone()
            } else {
                durable.clone()
            }
        }
        Survival::Part { seed } => {
            let unsynced = bytes.len() - durable.len();
            let kept = (mix(seed) % (unsynced as u64 + 1)) as usize;
            let zeros = (mix(seed ^ 0xffff) % (unsynced as u64 - kept as u64 + 1)) as usize;
            let mut left = bytes[..durable.len() + kept].to_vec();
            if mix(seed ^ 0xff) & 1 == 0 {
                left.resize(left.len() + zeros, 0);
            }
            left
        }
    }
}

impl State {
    /// Counts an operation that changes something, and gives what goes wrong with it.
    fn begin(&mut self) -> io::Result<Option<DiskFault>> {
        let fault = self.faults.remove(&self.operations);
        self.operations += 1;
        self.power_gone |= fault == Some(DiskFault::PowerGone);
        self.check_power()?;
        Ok(fault)
    }

    fn check_power(&self) -> io::Result<()> {
        if self.power_gone { Err(io::Error::other("injected fault: the power is gone")) } else { Ok(()) }
    }
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    generation: u64,
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, _access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.lock_state();
        state.check_power()?;
        let inode = state.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let file = SimFile { disk: self.clone(), path: path.to_owned(), generation: inode.generation };
        Ok(Arc::new(file))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock_state();
        if let Some(DiskFault::FullAfter(_)) = state.begin()? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let generation = state.operations;
        state.files.insert(path.to_owned(), Inode { generation, ..Inode::default() });
        Ok(Arc::new(SimFile { disk: self.clone(), path: path.to_owned(), generation }))
    }

    /// Folders are always there.
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        self.lock_state().check_power()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.lock_state();
        state.check_power()?;
        let inside = state.files.keys().filter(|file| file.parent() == Some(path));
        Ok(inside.filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.begin()?;
        state.files.remove(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        if state.begin()? == Some(DiskFault::SyncFails) {
            return Err(io::Error::other("injected fault: the sync of the folder failed"));
        }
        for (file, inode) in &mut state.files {
            inode.named_durably |= file.parent() == Some(path);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        let mut state = self.lock_state();
        state.check_power()?;
        if state.locks.get(path).is_some_and(|lock| lock.strong_count() > 0) {
            return Err(LockError::Held { holder: "this process".to_owned() });
        }
        let lock = Arc::new(());
        state.locks.insert(path.to_owned(), Arc::downgrade(&lock));
        Ok(Box::new(lock))
    }
}

impl SimFile {
    fn with<T>(&self, state: &mut State, act: impl FnOnce(&mut Inode) -> io::Result<T>) -> io::Result<T> {
        let inode = state.files.get_mut(&self.path).filter(|inode| inode.generation == self.generation);
        act(inode.ok_or(io::ErrorKind::NotFound)?)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.lock_state();
        state.check_power()?;
        self.with(&mut state, |inode| {
            let rest = inode.bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock_state();
        state.check_power()?;
        // If the power goes in the middle of a write, what was written is there but not synced.
        let (written, outcome) = match state.begin() {
            Ok(Some(DiskFault::FullAfter(count))) => {
                (count.min(bytes.len()), Err(io::ErrorKind::StorageFull.into()))
            }
            Ok(_) => (bytes.len(), Ok(())),
            Err(error) => (bytes.len(), Err(error)),
        };
        let end = offset as usize + written;
        self.with(&mut state, |inode| {
            if inode.bytes.len() < end {
                inode.bytes.resize(end, 0);
            }
            inode.bytes[offset as usize..end].copy_from_slice(&bytes[..written]);
            Ok(())
        })?;
        outcome
    }

    fn size(&self) -> io::Result<u64> {
        let mut state = self.disk.lock_state();
        state.check_power()?;
        self.with(&mut state, |inode| Ok(inode.bytes.len() as u64))
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.lock_state();
        state.begin()?;
        self.with(&mut state, |inode| {
            inode.bytes.truncate(size as usize);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock_state();
        if state.begin()? == Some(DiskFault::SyncFails) {
            return Err(io::Error::other("injected fault: the sync failed"));
        }
        self.with(&mut state, |inode| {
            inode.durable = inode.bytes.clone();
            Ok(())
        })
    }
}
