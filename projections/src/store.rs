//! Where views live: one sled database, one tree per generation of a view, and which generation is live.
//!
//! A view's checkpoint stands in its tree and is written in the same batch as what it stands for. So whatever a
//! crash leaves behind, a view is exactly the fold of the log up to its checkpoint; what was not yet flushed is read
//! from the log again.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use events::{Hash, Head};
use sled::{Batch, Db, Tree};

use crate::table;
use crate::view::{ViewError, ViewName};

/// Memory that sled uses for pages, in bytes.
const PAGE_CACHE_BYTES: u64 = 192 * 1024 * 1024;
/// The same, of views that go when they are closed.
const TEMPORARY_PAGE_CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// How long the lock of the views is waited for, and how often it is tried.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(10);
/// Longest that something applied is not yet on disk, in milliseconds. A crash only means reading it again.
const FLUSH_EVERY_MS: u64 = 5_000;
/// The tree that names the live generation of each view.
const META: &str = "meta";
/// The version of what stands in [`META`] and of how rows stand in trees; with another one all views start from zero.
const META_VERSION: u8 = 2;

/// One tree that holds a view.
#[derive(Clone)]
pub(crate) struct Generation {
    /// Counts the builds of the view.
    pub(crate) number: u64,
    /// What it holds.
    pub(crate) tree: Tree,
    /// How far it has read.
    pub(crate) head: Head,
    /// Set once it can't be folded any further.
    pub(crate) stopped: Option<Stopped>,
}

impl Generation {
    fn new(number: u64, tree: Tree, head: Head) -> Self {
        Generation { number, tree, head, stopped: None }
    }

    /// Gives how far the log was followed: as far as was read or, where that was not to be, past that.
    pub(crate) fn passed(&self) -> Head {
        self.stopped.as_ref().map_or(self.head, |stopped| stopped.passed)
    }
}

/// What keeps a generation from being folded any further, while the other views go on.
#[derive(Clone)]
pub(crate) struct Stopped {
    /// What it met.
    pub(crate) reason: String,
    /// How far the others have gone on: from there on a new generation can take its place.
    passed: Head,
}

/// A view with its live generation.
pub(crate) struct Slot {
    pub(crate) view: ViewName,
    /// Held by who changes the view, from the first read of a batch to its writing; so a swap can't come between.
    writer: Mutex<()>,
    /// Readers hold it shared, so that a query of several keys sees one position.
    live: RwLock<Generation>,
    /// Set while the view is built again.
    pub(crate) is_rebuilding: AtomicBool,
}

impl Slot {
    /// Waits for the right to change the view.
    pub(crate) fn write(&self) -> MutexGuard<'_, ()> {
        // The guarded value is nothing: a panic of a holder can't have broken it.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the live generation, unchanged while the guard lives.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Generation> {
        // A generation is replaced whole: a panic of a holder can't have left half of one.
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the live generation to whoever asks it something, as [`Slot::read`] does: not one that has stopped, which would answer
    /// what is long past.
    pub(crate) fn ask(&self) -> Result<RwLockReadGuard<'_, Generation>, ViewError> {
        let live = self.read();
        match &live.stopped {
            None => Ok(live),
            Some(Stopped { reason, .. }) => {
                let (view, position, reason) = (self.view, live.head.position, reason.clone());
                Err(ViewError::Stopped { view, position, reason })
            }
        }
    }

    /// Notes that the live generation can't be folded any further.
    pub(crate) fn stop(&self, reason: String) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.stopped = Some(Stopped { reason, passed: live.head });
    }

    /// Notes that the log was followed up to `head` without the live generation, which has stopped.
    pub(crate) fn pass(&self, head: Head) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(stopped) = live.stopped.as_mut().filter(|stopped| stopped.passed.position < head.position)
        {
            stopped.passed = head;
        }
    }

    /// Writes a batch that ends at `head`, atomically for readers and for crashes.
    pub(crate) fn apply(&self, mut batch: Batch, head: Head) -> Result<(), ViewError> {
        table::write_checkpoint(&mut batch, self.view.version(), head);
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.tree.apply_batch(batch)?;
        live.head = head;
        Ok(())
    }

    fn swap(&self, next: Generation) -> Generation {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *live, next)
    }
}

/// Opens the database. After its last handle is gone, sled's own threads hold its lock for a moment longer, and give no
/// sign when they are done: so the lock is waited for, a bounded time.
///
/// Public for tests that change what is on disk; everyone else asks [`crate::Projections`].
#[doc(hidden)]
pub fn open_db(dir: &Path) -> Result<Db, ViewError> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(PAGE_CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .mode(sled::Mode::HighThroughput);
    let waited_since = Instant::now();
    loop {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock")
                    && waited_since.elapsed() < LOCK_WAIT_MAX =>
            {
                std::thread::sleep(LOCK_POLL);
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// All views on disk.
pub(crate) struct Store {
    db: Db,
    meta: Tree,
    slots: Vec<Slot>,
}

impl Store {
    /// Opens the database at `dir`, creating it if there is none or it is damaged.
    pub(crate) fn open(dir: &Path) -> Result<Store, ViewError> {
        let db = match open_db(dir) {
            // A full disk leaves such behind. It was ours alone to open, and the log has all that was in it.
            Err(ViewError::Store(error @ sled::Error::Corruption { .. })) => {
                tracing::warn!(%error, "the views are damaged, and are built again from the log");
                std::fs::remove_dir_all(dir).map_err(sled::Error::Io)?;
                open_db(dir)?
            }
            opened => opened?,
        };
        Store::on(db)
    }

    /// Opens an empty database at `dir`, which is removed with it.
    pub(crate) fn open_temporary(dir: &Path) -> Result<Store, ViewError> {
        let config = sled::Config::new()
            .path(dir)
            .temporary(true)
            .cache_capacity(TEMPORARY_PAGE_CACHE_BYTES)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        Store::on(config.open()?)
    }

    fn on(db: Db) -> Result<Store, ViewError> {
        let meta = db.open_tree(META)?;
        let mut slots = Vec::with_capacity(ViewName::ALL.len());
        for view in ViewName::ALL {
            let live = open_live(&db, &meta, view)?;
            drop_others(&db, view, live.number)?;
            slots.push(Slot {
                view,
                writer: Mutex::new(()),
                live: RwLock::new(live),
                is_rebuilding: AtomicBool::new(false),
            });
        }
        db.flush()?;
        Ok(Store { db, meta, slots })
    }

    /// Gives a view's slot.
    pub(crate) fn slot(&self, view: ViewName) -> &Slot {
        self.slots.iter().find(|slot| slot.view == view).expect("every view has a slot from the start")
    }

    /// Gives all slots.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Makes all that was applied durable.
    pub(crate) fn flush(&self) -> Result<(), ViewError> {
        self.db.flush()?;
        Ok(())
    }

    /// Starts an empty generation beside the live one.
    pub(crate) fn next_generation(&self, view: ViewName) -> Result<Generation, ViewError> {
        let number = self.slot(view).read().number + 1;
        self.db.drop_tree(tree_name(view, number))?;
        let tree = self.db.open_tree(tree_name(view, number))?;
        Ok(Generation::new(number, tree, Head::EMPTY))
    }

    /// Makes `next` the live generation and drops the one before. The caller holds the slot's right to write.
    pub(crate) fn swap(&self, view: ViewName, next: Generation) -> Result<(), ViewError> {
        // The new tree must be durable before anything points to it.
        self.db.flush()?;
        point(&self.meta, view, next.number)?;
        self.db.flush()?;
        let before = self.slot(view).swap(next);
        drop(before.tree);
        self.db.drop_tree(tree_name(view, before.number))?;
        Ok(())
    }

    /// Drops a generation that did not become live.
    pub(crate) fn discard(&self, view: ViewName, generation: Generation) -> Result<(), ViewError> {
        drop(generation.tree);
        self.db.drop_tree(tree_name(view, generation.number))?;
        Ok(())
    }

    /// Hashes the content of a view's live generation, with the head it stands at.
    pub(crate) fn content_hash(&self, view: ViewName) -> Result<(Head, Hash), ViewError> {
        let slot = self.slot(view);
        let live = slot.read();
        Ok((live.head, table::content_hash(&live.tree)?))
    }
}

fn tree_name(view: ViewName, number: u64) -> String {
    format!("{view}@{number}")
}

fn point(meta: &Tree, view: ViewName, number: u64) -> Result<(), ViewError> {
    let mut value = Vec::with_capacity(10);
    table::encode(META_VERSION, &number, &mut value);
    meta.insert(view.as_str(), value)?;
    Ok(())
}

fn open_live(db: &Db, meta: &Tree, view: ViewName) -> Result<Generation, ViewError> {
    // What can't be read of `meta` is no loss: the view starts again from zero.
    let known = meta.get(view.as_str())?.and_then(|bytes| table::decode::<u64>(META_VERSION, &bytes).ok());
    if let Some(number) = known {
        let tree = db.open_tree(tree_name(view, number))?;
        if let Some(head) = table::read_checkpoint(&tree, view.version())? {
            return Ok(Generation::new(number, tree, head));
        }
        tracing::warn!(%view, "the view was written in another version and is built again from zero");
    }
    let number = known.unwrap_or(0) + 1;
    db.drop_tree(tree_name(view, number))?;
    let tree = db.open_tree(tree_name(view, number))?;
    point(meta, view, number)?;
    Ok(Generation::new(number, tree, Head::EMPTY))
}

/// Drops what an interrupted rebuild left.
fn drop_others(db: &Db, view: ViewName, live: u64) -> Result<(), ViewError> {
    let (live, start) = (tree_name(view, live), format!("{view}@"));
    for name in db.tree_names() {
        if name.starts_with(start.as_bytes()) && name.as_ref() != live.as_bytes() {
            db.drop_tree(name)?;
        }
    }
    Ok(())
}
