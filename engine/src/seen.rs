//! How far an index has seen its log, in a small file by itself. It outlasts the index: when that is damaged and built
//! again, a log that was restored to an older state is noticed still.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use events::{Hash, Head};

/// The file's name in the folder of the index.
pub(crate) const NAME: &str = "seen";
/// How often it is written by itself. A head that a crash takes is one that nobody would miss.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// What one write touches: a sector, so that a torn write never harms the head before it.
const SLOT_BYTES: u64 = 512;
/// Where the slots begin that are written in turn.
const SLOTS: [u64; 2] = [0, SLOT_BYTES];
/// Position, hash, and CRC32C of both.
const HEAD_BYTES: usize = 8 + 32 + 4;

/// The file. It has its full size from the beginning, so that a full disk does not keep it from being written.
#[derive(Debug)]
pub(crate) struct Seen {
    file: File,
    head: Head,
    /// The slot that does not hold the head.
    free: usize,
    written: Instant,
}

impl Seen {
    /// Opens the file in the folder of an index, or makes it.
    pub(crate) fn open(dir: &Path) -> io::Result<Seen> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(NAME);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let size = SLOT_BYTES * SLOTS.len() as u64;
        if file.metadata()?.len() != size {
            file.write_all_at(&vec![0; size as usize], 0)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
        }
        let (mut head, mut free) = (Head::EMPTY, 0);
        for (slot, at) in SLOTS.into_iter().enumerate() {
            let mut bytes = [0; HEAD_BYTES];
            file.read_exact_at(&mut bytes, at)?;
            if let Some(found) = decode(&bytes).filter(|found| found.position > head.position) {
                (head, free) = (found, 1 - slot);
            }
        }
        Ok(Seen { file, head, free, written: Instant::now() })
    }

    /// Gives the head.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Notes a head once in a while. Blocks on the disk.
    pub(crate) fn note(&mut self, head: Head) -> io::Result<()> {
        if self.written.elapsed() < WRITE_EVERY {
            return Ok(());
        }
        self.write(head)
    }

    /// Writes a head, durably, if it is further on. Blocks on the disk.
    pub(crate) fn write(&mut self, head: Head) -> io::Result<()> {
        self.written = Instant::now();
        if head.position <= self.head.position {
            return Ok(());
        }
        self.file.write_all_at(&encode(head), SLOTS[self.free])?;
        self.file.sync_data()?;
        (self.head, self.free) = (head, 1 - self.free);
        Ok(())
    }
}

fn encode(head: Head) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..8].copy_from_slice(&head.position.to_le_bytes());
    bytes[8..40].copy_from_slice(head.hash.as_bytes());
    let sum = crc32c::crc32c(&bytes[..40]);
    bytes[40..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Head> {
    let (head, sum) = bytes.split_at(40);
    if crc32c::crc32c(head).to_le_bytes() != sum {
        return None;
    }
    let (position, hash) = head.split_at(8);
    let position = u64::from_le_bytes(position.try_into().ok()?);
    Some(Head { position, hash: Hash::from_bytes(hash.try_into().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(position: u64) -> Head {
        Head { position, hash: Hash::of(&position.to_le_bytes()) }
    }

    #[test]
    fn the_last_head_is_there_again_and_a_torn_one_leaves_the_one_before() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut seen = Seen::open(dir.path()).unwrap();
        assert_eq!(seen.head(), Head::EMPTY);
        for position in [3, 7, 20] {
            seen.write(head(position)).unwrap();
            assert_eq!(Seen::open(dir.path()).unwrap().head(), head(position));
        }
        seen.write(head(9)).unwrap();
        assert_eq!(Seen::open(dir.path()).unwrap().head(), head(20), "it never goes back");
        // The third write went to the first slot.
        seen.file.write_all_at(&[0xff; 20], SLOTS[0] + 20).unwrap();
        let mut seen = Seen::open(dir.path()).unwrap();
        assert_eq!(seen.head(), head(7));
        seen.write(head(21)).unwrap();
        assert_eq!(Seen::open(dir.path()).unwrap().head(), head(21));
    }
}
