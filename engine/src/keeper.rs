//! Follows the log behind the writer and keeps what makes a restart short and old ids known, a second fold of the market for
//! snapshots, and the index; and the tree over all events, whose checkpoints it signs. The writer is never paused for any of it.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use commands::Market;
use events::commit::ChainError;
use events::{Commit, Head};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::index::{Index, IndexError};
use crate::log::{EventLog, ReadError};
use crate::market_keys::LiveKeys;
use crate::snapshot::Snapshots;
use crate::tree::{Tree, TreeError};

/// Most commits that are taken at once.
const COMMITS_PER_BATCH_MAX: usize = 512;
/// How long commits gather before they are taken together, unless somebody waits for the index to cover them: a batch of
/// one costs the index nearly as much as one of twenty.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// From how many commits in a batch on the next one is taken at once.
const BUSY_COMMITS: usize = 128;
/// How many events lie between two snapshots, at least.
pub(crate) const EVENTS_BETWEEN_SNAPSHOTS: u64 = 250_000;

/// Why the keeper ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    /// The log can't be followed.
    #[error("the log can't be followed")]
    Log(#[from] ReadError),
    /// The index can't be kept.
    #[error("the index can't be kept")]
    Index(#[from] IndexError),
    /// The tree can't be kept.
    #[error("the tree over the log can't be kept")]
    Tree(#[from] TreeError),
    /// An assertion failed: this program is wrong, or the log is none that it could have written.
    #[error("the keeper ended badly; its last words are on standard error")]
    Panicked,
    /// The log does not follow the newest snapshot.
    #[error(
        "the log does not extend the newest snapshot: it was restored or truncated; restore the newest log"
    )]
    Snapshot(#[from] ChainError),
}

/// Runs the keeper on a thread of its own until `stop` says so; it ends with a snapshot.
pub(crate) fn spawn(
    log: Arc<dyn EventLog>,
    kept: Kept,
    stop: watch::Receiver<bool>,
    failed: impl FnOnce(&KeeperError) + Send + 'static,
) -> JoinHandle<()> {
    let runtime = Handle::current();
    let work = move || {
        let mut keeper = Keeper::new(kept);
        let run = std::panic::AssertUnwindSafe(|| keeper.run(&runtime, log.as_ref(), stop));
        // Nothing of a keeper that panicked is used again; but the writer must hear that nobody keeps the index.
        let outcome = std::panic::catch_unwind(run).unwrap_or(Err(KeeperError::Panicked));
        match outcome {
            Ok(()) => keeper.finish(),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the keeper stops");
                failed(&error);
            }
        }
    };
    thread::Builder::new().name("keeper".into()).spawn(work).expect("a thread can be started at start-up")
}

/// What the keeper keeps.
pub(crate) struct Kept {
    pub(crate) index: Index,
    pub(crate) snapshots: Snapshots,
    pub(crate) tree: Tree,
    /// The keys that checkpoints are signed with.
    pub(crate) keys: Arc<LiveKeys>,
}

struct Keeper {
    index: Index,
    snapshots: Snapshots,
    tree: Tree,
    keys: Arc<LiveKeys>,
    head: Head,
    market: Market,
    saved: Head,
}

impl Keeper {
    fn new(kept: Kept) -> Self {
        let Kept { index, snapshots, tree, keys } = kept;
        let (head, market) = snapshots.load_latest().unwrap_or_default();
        Keeper { index, snapshots, tree, keys, head, market, saved: head }
    }

    fn run(
        &mut self,
        runtime: &Handle,
        log: &dyn EventLog,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), KeeperError> {
        let read = [self.head.position, self.index.covered().position, self.tree.head().position];
        let from = read.into_iter().min().unwrap_or(0) + 1;
        let _context = runtime.enter();
        self.sign()?;
        let mut commits = log.follow(from).ready_chunks(COMMITS_PER_BATCH_MAX);
        loop {
            let next = runtime.block_on(async {
                tokio::select! {
                    biased;
                    next = commits.next() => next,
                    _ = stop.wait_for(|stop| *stop) => None,
                }
            });
            let Some(chunk) = next else { return Ok(()) };
            let batch = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
            self.take(&batch)?;
            if batch.len() < BUSY_COMMITS {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => {}
                        () = self.index.is_wanted() => {}
                        () = tokio::time::sleep(GATHER_TIME) => {}
                    }
                });
            }
        }
    }

    fn take(&mut self, batch: &[Arc<Commit>]) -> Result<(), KeeperError> {
        let seen = self.index.covered().position;
        let new = batch.iter().position(|commit| commit.first_position() > seen).unwrap_or(batch.len());
        if new < batch.len() {
            self.index.apply(&batch[new..])?;
        }
        let folded = self.head.position;
        for commit in batch.iter().filter(|commit| commit.first_position() > folded) {
            commit.check_follows(self.head)?;
            self.market.evolve_commit(commit);
            self.head = commit.head();
        }
        self.tree.append(batch)?;
        self.sign()?;
        if self.head.position >= self.saved.position + EVENTS_BETWEEN_SNAPSHOTS {
            self.save();
        }
        Ok(())
    }

    /// Signs the tree as far as it goes, with each key that is live there and whose secret is here.
    fn sign(&self) -> Result<(), KeeperError> {
        if let Some(opened) = &self.market.opened
            && self.tree.head().position > 0
        {
            self.tree.sign(&opened.market, &self.keys.signers(&self.market.keys))?;
        }
        Ok(())
    }

    fn save(&mut self) {
        match self.snapshots.save(self.head, &self.market) {
            Ok(()) => {
                tracing::info!(position = self.head.position, "snapshot written");
                self.saved = self.head;
            }
            // The log has it all; only the next start takes longer.
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "no snapshot"),
        }
    }

    fn finish(&mut self) {
        if self.head.position > self.saved.position {
            self.save();
        }
        if let Err(error) = self.tree.save() {
            tracing::error!(error = &error as &dyn std::error::Error, "the tree is not on disk");
        }
        if let Err(error) = self.index.flush() {
            tracing::error!(error = &error as &dyn std::error::Error, "the index is not on disk");
        }
    }
}
