//! Snapshots of a market's state, so that a restart reads only the end of the log. They are disposable: without one
//! the whole log is folded. A snapshot names the head it was made at, and a log that does not contain that head is
//! refused, so a restored or truncated log is noticed.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use commands::Market;
use events::hash::Hasher;
use events::{Hash, Head, Position};

/// The form of the file; a file of another form is not read.
const MAGIC: &[u8; 8] = b"SKYSNAPI";
/// How many snapshots are kept.
const KEPT: usize = 2;

/// Why a snapshot could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the snapshot {path} can't be written: free the disk or mend its rights; the engine goes on without it"
)]
pub struct SnapshotError {
    path: PathBuf,
    source: io::Error,
}

/// A folder of snapshots.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
}

impl Snapshots {
    /// Names the folder; it is made when the first snapshot is written.
    pub fn new(dir: PathBuf) -> Self {
        Snapshots { dir }
    }

    /// Reads the newest snapshot that is whole. One that is damaged is passed over and said: the log has it all.
    pub fn load_latest(&self) -> Option<(Head, Market)> {
        let mut positions = self.positions();
        positions.sort_unstable_by(|a, b| b.cmp(a));
        positions.into_iter().find_map(|position| {
            let path = self.path(position);
            match read(&path) {
                Ok(found) => Some(found),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a snapshot can't be read and is passed over");
                    None
                }
            }
        })
    }

    /// Writes a snapshot, durably, and removes all but the newest.
    pub fn save(&self, head: Head, market: &Market) -> Result<(), SnapshotError> {
        let path = self.path(head.position);
        self.write(&path, head, market).map_err(|source| SnapshotError { path, source })
    }

    fn write(&self, path: &Path, head: Head, market: &Market) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let unfinished = path.with_extension("unfinished");
        let mut out = Hashing::new(BufWriter::with_capacity(1 << 20, File::create(&unfinished)?));
        out.write_all(MAGIC)?;
        let config = bincode::config::standard();
        bincode::serde::encode_into_std_write(head, &mut out, config).map_err(io::Error::other)?;
        bincode::serde::encode_into_std_write(market, &mut out, config).map_err(io::Error::other)?;
        let (mut file, hash) = out.finish();
        file.write_all(hash.as_bytes())?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(&self.dir)?.sync_all()?;
        let mut positions = self.positions();
        positions.sort_unstable_by(|a, b| b.cmp(a));
        for old in positions.into_iter().skip(KEPT) {
            fs::remove_file(self.path(old))?;
        }
        Ok(())
    }

    fn path(&self, position: Position) -> PathBuf {
        self.dir.join(format!("{position:020}.snapshot"))
    }

    fn positions(&self) -> Vec<Position> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".snapshot")?.parse().ok())
            .collect()
    }
}

fn read(path: &Path) -> io::Result<(Head, Market)> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut bytes = Vec::new();
    BufReader::new(File::open(path)?).read_to_end(&mut bytes)?;
    let body_length = bytes.len().checked_sub(32).ok_or_else(|| damaged("the file is too short"))?;
    let (body, sum) = bytes.split_at(body_length);
    if Hash::of(body).as_bytes() != sum {
        return Err(damaged("the sum is wrong"));
    }
    let content = body.strip_prefix(MAGIC).ok_or_else(|| damaged("the form is another"))?;
    let config = bincode::config::standard();
    let ((head, market), _): ((Head, Market), _) =
        bincode::serde::decode_from_slice(content, config).map_err(io::Error::other)?;
    if head.position != market.position {
        return Err(damaged("head and state differ"));
    }
    Ok((head, market))
}

/// Writes through and hashes what passes.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Hashing { inner, hasher: Hasher::new() }
    }

    fn finish(self) -> (W, Hash) {
        (self.inner, self.hasher.finish())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
