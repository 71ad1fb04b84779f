//! The Merkle tree over a market's events (RFC 6962), kept beside the log as the tiles that C2SP's `tlog-tiles` describes. It is
//! built from the log and from nothing else, and can be deleted: the keeper builds it again.
//!
//! A level has one file, which is only ever appended to: the hashes of its nodes, 32 bytes each. Level 0 has the leaves, one for
//! each event, and each level above one node for 256 whole ones below. So a tile is a slice of a file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use commands::checkpoint::{Checkpoint, CheckpointError};
use commands::crypto::SigningKey;
use events::commit::ChainError;
use events::hash::MerkleTree;
use events::ids::MarketName;
use events::{Commit, Hash, Head, Position};
use tlog_tiles::HashReader;
pub use tlog_tiles::Tile;
use tokio::sync::watch;

/// The logarithm of how many nodes a whole tile has, as all logs with tiles have it.
const HEIGHT: u8 = 8;
/// How many nodes a whole tile has.
pub const TILE_WIDTH: u64 = 1 << HEIGHT;
const HASH_BYTES: usize = 32;
/// The file that says how much of the others is good.
const HEAD_FILE: &str = "head";
/// How often the tree goes to disk by itself. What a crash takes is read from the log again.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Why the tree can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The disk refuses.
    #[error(
        "the tree in {path} can't be read or written: mend the cause and restart; the folder may be deleted, it is rebuilt from the log"
    )]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The log does not extend what the tree was built from.
    #[error(
        "the log does not extend the tree over its first {position} events: it was restored or truncated. Restore the newest log; only if it is lost, delete the folder of the tree, knowing that signed checkpoints are void"
    )]
    Foreign {
        /// How many events the tree has.
        position: Position,
        /// What does not fit.
        source: ChainError,
    },
}

/// The nodes of one level.
struct Level {
    file: Arc<File>,
    /// How many nodes it has.
    count: u64,
    /// Those of its last tile, unless that is whole.
    edge: Vec<Hash>,
    /// What is not in the file yet.
    unwritten: Vec<u8>,
}

/// The tree as it grows. One has it, and any number of [`TreeReader`]s.
pub struct Tree {
    dir: PathBuf,
    levels: Vec<Level>,
    head: Head,
    saved: Instant,
    reader: TreeReader,
}

/// Reads the tree as far as it was published.
#[derive(Clone)]
pub struct TreeReader {
    shared: Arc<RwLock<Published>>,
    /// How many events the newest checkpoint has.
    signed: Arc<watch::Sender<Position>>,
}

#[derive(Default)]
struct Published {
    files: Vec<Arc<File>>,
    size: Position,
    signed: Option<Signed>,
}

/// A checkpoint with the note that it is signed in.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: Arc<str>,
}

impl Tree {
    /// Opens the tree in a folder. One that is not whole is begun anew: the log is read from its beginning.
    pub fn open(dir: &Path) -> Result<Tree, TreeError> {
        let failed = |source| TreeError::Io { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let (mut tree, root) = match saved(dir).map_err(failed)? {
            Some((head, root)) => (Tree::at(dir, head).map_err(failed)?, Some(root)),
            None => (None, None),
        };
        if tree.as_ref().is_some_and(|tree| tree.root().ok() != root) {
            tracing::warn!(dir = %dir.display(), "the tree is damaged and built anew from the log");
            tree = None;
        }
        match tree {
            Some(tree) => Ok(tree),
            None => {
                Tree::at(dir, Head::EMPTY).map_err(failed).map(|tree| tree.expect("nothing is always whole"))
            }
        }
    }

    /// Takes what the files have up to a head; none, if they have less.
    fn at(dir: &Path, head: Head) -> io::Result<Option<Tree>> {
        let (shared, signed) = (Arc::default(), Arc::new(watch::Sender::new(0)));
        let mut tree = Tree {
            dir: dir.to_owned(),
            levels: Vec::new(),
            head,
            saved: Instant::now(),
            reader: TreeReader { shared, signed },
        };
        let mut count = head.position;
        while count > 0 {
            let level = tree.add_level()?;
            let bytes = count * HASH_BYTES as u64;
            if level.file.metadata()?.len() < bytes {
                return Ok(None);
            }
            level.file.set_len(bytes)?;
            level.count = count;
            let mut edge = vec![0; (count % TILE_WIDTH) as usize * HASH_BYTES];
            let at = bytes - edge.len() as u64;
            level.file.read_exact_at(&mut edge, at)?;
            level.edge = hashes(&edge).collect();
            count /= TILE_WIDTH;
        }
        tree.reader.publish(tree.files(), head.position, None);
        Ok(Some(tree))
    }

    fn add_level(&mut self) -> io::Result<&mut Level> {
        let path = level_path(&self.dir, self.levels.len());
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        self.levels.push(Level { file: Arc::new(file), count: 0, edge: Vec::new(), unwritten: Vec::new() });
        Ok(self.levels.last_mut().expect("one was added"))
    }

    fn files(&self) -> Vec<Arc<File>> {
        self.levels.iter().map(|level| Arc::clone(&level.file)).collect()
    }

    /// Gives how far it has read the log.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Gives what reads it.
    pub fn reader(&self) -> TreeReader {
        self.reader.clone()
    }

    /// Appends what the log has more; what it has already is passed over. Blocks on the disk.
    pub fn append(&mut self, commits: &[Arc<Commit>]) -> Result<(), TreeError> {
        let before = self.head.position;
        for commit in commits.iter().filter(|commit| commit.first_position() > before) {
            let foreign = |source| TreeError::Foreign { position: self.head.position, source };
            commit.check_follows(self.head).map_err(foreign)?;
            for recorded in commit.events() {
                self.add(0, recorded.leaf()).map_err(|source| self.failed(source))?;
            }
            self.head = commit.head();
        }
        for level in self.levels.iter_mut().filter(|level| !level.unwritten.is_empty()) {
            let at = level.count * HASH_BYTES as u64 - level.unwritten.len() as u64;
            let written = level.file.write_all_at(&level.unwritten, at);
            written.map_err(|source| TreeError::Io { path: self.dir.clone(), source })?;
            level.unwritten.clear();
        }
        self.reader.publish(self.files(), self.head.position, None);
        if self.saved.elapsed() >= SAVE_EVERY { self.save() } else { Ok(()) }
    }

    fn add(&mut self, n: usize, node: Hash) -> io::Result<()> {
        if n == self.levels.len() {
            // A file of this level may hold what a tree before this one left there.
            self.add_level()?.file.set_len(0)?;
        }
        let level = &mut self.levels[n];
        level.count += 1;
        level.edge.push(node);
        level.unwritten.extend_from_slice(node.as_bytes());
        if level.edge.len() < TILE_WIDTH as usize {
            return Ok(());
        }
        let whole = std::mem::take(&mut level.edge);
        self.add(n + 1, MerkleTree::new(whole).root())
    }

    /// Signs the tree as it is now with each of these keys, so that readers have its checkpoint.
    pub fn sign(&self, market: &MarketName, keys: &[Arc<SigningKey>]) -> Result<(), TreeError> {
        let root = self.root().map_err(|source| self.failed(source))?;
        let checkpoint = Checkpoint { market: market.clone(), head: self.head, root };
        let keys: Vec<&SigningKey> = keys.iter().map(AsRef::as_ref).collect();
        let signed = match checkpoint.sign_with(&keys) {
            Ok(note) => Some(Signed { checkpoint, note: note.into() }),
            // Such a market has no checkpoints; its tree is there all the same.
            Err(CheckpointError::KeyKind) => None,
            Err(other) => unreachable!("signing fails for nothing else: {other}"),
        };
        self.reader.publish(self.files(), self.head.position, signed);
        Ok(())
    }

    /// Gives the root of the tree over all that was appended.
    pub fn root(&self) -> io::Result<Hash> {
        let root = tlog_tiles::tree_hash(self.head.position, &self.reader).map_err(io::Error::other)?;
        Ok(Hash::from_bytes(root.0))
    }

    /// Makes durable what was appended. Blocks on the disk.
    pub fn save(&mut self) -> Result<(), TreeError> {
        self.write_head().map_err(|source| self.failed(source))?;
        self.saved = Instant::now();
        Ok(())
    }

    fn write_head(&self) -> io::Result<()> {
        for level in &self.levels {
            level.file.sync_data()?;
        }
        let root = self.root()?;
        let unfinished = self.dir.join("head.unfinished");
        let Head { position, hash } = self.head;
        fs::write(&unfinished, format!("{position} {hash} {root}\n"))?;
        File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, self.dir.join(HEAD_FILE))?;
        File::open(&self.dir)?.sync_all()
    }

    fn failed(&self, source: io::Error) -> TreeError {
        TreeError::Io { path: self.dir.clone(), source }
    }
}

fn level_path(dir: &Path, level: usize) -> PathBuf {
    dir.join(format!("level-{level}"))
}

fn hashes(bytes: &[u8]) -> impl Iterator<Item = Hash> {
    bytes.as_chunks::<HASH_BYTES>().0.iter().map(|bytes| Hash::from_bytes(*bytes))
}

/// Reads the path of a tile as `tlog-tiles` has it behind `tile/`: the level, the number in groups of three digits, and, of a tile
/// that is not whole, its width, such as `0/x001/234.p/17`.
pub fn tile_of(path: &str) -> Option<Tile> {
    let level: u8 = path.split_once('/')?.0.parse().ok()?;
    // What the library panics at: more levels than there can be, and a tile of nothing.
    if level >= 8 || path.ends_with(".p/0") {
        return None;
    }
    Tile::from_path(&format!("tile/{HEIGHT}/{path}")).ok()
}

/// Reads what a tree that was saved in a folder, perhaps by a running process, is over, and its root; none, if there is none, or
/// none that can be read.
pub fn saved(dir: &Path) -> io::Result<Option<(Head, Hash)>> {
    let text = match fs::read_to_string(dir.join(HEAD_FILE)) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let parts: Vec<&str> = text.trim_end().split(' ').collect();
    let [position, hash, root] = parts[..] else { return Ok(None) };
    Ok(position
        .parse()
        .ok()
        .zip(hash.parse().ok())
        .zip(root.parse().ok())
        .map(|((position, hash), root)| (Head { position, hash }, root)))
}

impl TreeReader {
    fn publish(&self, files: Vec<Arc<File>>, size: Position, signed: Option<Signed>) {
        let mut published = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        published.files = files;
        published.size = size;
        // The one before stays until there is a newer one.
        let Some(signed) = signed else { return };
        let position = signed.checkpoint.head.position;
        published.signed = Some(signed);
        drop(published);
        self.signed.send_replace(position);
    }

    /// Waits until a checkpoint has an event; it may be that none ever does.
    pub async fn wait_for(&self, position: Position) {
        // The sender is held here, so that waiting does not end by itself.
        drop(self.signed.subscribe().wait_for(|signed| *signed >= position).await);
    }

    /// Gives the newest checkpoint; none, as long as nothing was signed.
    pub fn latest(&self) -> Option<Signed> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).signed.clone()
    }

    /// Reads the hash of an event as the tree has it; none, if it has no such event. Blocks on the disk.
    pub fn leaf(&self, position: Position) -> io::Result<Option<Hash>> {
        let Some(index) = position.checked_sub(1) else { return Ok(None) };
        let width = (index % TILE_WIDTH) as u32 + 1;
        let tile = self.tile(&Tile::new(HEIGHT, 0, index / TILE_WIDTH, width, false))?;
        Ok(tile.and_then(|bytes| hashes(&bytes).last()))
    }

    /// Reads the hashes of a tile, whole or a part of it; none, if the tree does not have so much. Blocks on the disk.
    pub fn tile(&self, tile: &Tile) -> io::Result<Option<Vec<u8>>> {
        let (file, size) = {
            let published = self.shared.read().unwrap_or_else(PoisonError::into_inner);
            (published.files.get(usize::from(tile.level())).cloned(), published.size)
        };
        let nodes = size.checked_shr(u32::from(tile.level()) * u32::from(HEIGHT)).unwrap_or(0);
        let first = tile.level_index().saturating_mul(TILE_WIDTH);
        let (Some(file), true) = (file, first.saturating_add(tile.width().into()) <= nodes) else {
            return Ok(None);
        };
        let mut bytes = vec![0; tile.width() as usize * HASH_BYTES];
        file.read_exact_at(&mut bytes, first * HASH_BYTES as u64)?;
        Ok(Some(bytes))
    }

    /// Gives the hashes that lead from an event to the root of the tree over the first `size`; none, if there is no such event
    /// or the tree has fewer. Blocks on the disk.
    pub fn inclusion(&self, position: Position, size: Position) -> io::Result<Option<Vec<Hash>>> {
        if position == 0 || position > size || size > self.size() {
            return Ok(None);
        }
        let proof = tlog_tiles::prove_record(size, position - 1, self).map_err(io::Error::other)?;
        Ok(Some(proof.into_iter().map(|hash| Hash::from_bytes(hash.0)).collect()))
    }

    /// Gives the hashes that prove that the tree over the first `to` events only appends to that over the first `from`; none, if
    /// it has fewer, or `from` is nothing or more than `to`. Blocks on the disk.
    pub fn consistency(&self, from: Position, to: Position) -> io::Result<Option<Vec<Hash>>> {
        if from == 0 || from > to || to > self.size() {
            return Ok(None);
        }
        let proof = tlog_tiles::prove_tree(to, from, self).map_err(io::Error::other)?;
        Ok(Some(proof.into_iter().map(|hash| Hash::from_bytes(hash.0)).collect()))
    }

    fn size(&self) -> Position {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).size
    }
}

impl HashReader for TreeReader {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let read = |index: &u64| {
            let tile = Tile::from_index(HEIGHT, *index);
            let unreadable = |error: io::Error| tlog_tiles::Error::InvalidInput(error.to_string());
            let bytes = self.tile(&tile).map_err(unreadable)?;
            let bytes = bytes.ok_or(tlog_tiles::Error::InvalidTile)?;
            tile.hash_at_index(&bytes, *index)
        };
        indexes.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests;
