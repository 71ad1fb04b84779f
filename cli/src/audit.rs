//! Checks a log against its own rules while it is folded: every signature on all cores, every decision made again.
//!
//! A reader thread takes commits from the log (which checks sums and chain) and notes the keys they register; worker
//! threads check signatures; the caller's thread folds in order. All queues between them are bounded.

mod charged;
mod fold;
mod whole;

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use commands::Verified;
use commands::envelope::verify_command;
use engine::keys::KeyRing;
use engine::log::{CommitStream, ReadError};
use events::ids::MarketName;
use events::metadata::Cause;
use events::{Commit, Position};
use futures::StreamExt;
use tokio::runtime::Handle;

pub(crate) use self::fold::{Counts, Fault, Fold};
pub(crate) use self::whole::fold_log;

/// Most commits that are handed over at once.
const COMMITS_PER_BATCH_MAX: usize = 64;
/// Most batches for each worker that wait to be checked, or to be folded.
const BATCHES_PER_WORKER_MAX: usize = 4;

/// Why a log was not folded to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// The log can't be read, or its sums or its chain are wrong.
    #[error("the log can't be read further")]
    Read(#[from] ReadError),
    /// What stands there could not have been written by a market.
    #[error("the commit at position {position} is wrong")]
    Wrong {
        /// Where the commit begins.
        position: Position,
        /// What is wrong.
        source: Fault,
    },
    /// What the caller does with each commit failed.
    #[error(transparent)]
    Caller(anyhow::Error),
}

impl AuditError {
    /// Tells whether the log is wrong, and not only out of reach.
    pub(crate) fn is_wrong(&self) -> bool {
        match self {
            AuditError::Read(error) => is_wrong(error),
            AuditError::Wrong { .. } => true,
            AuditError::Caller(_) => false,
        }
    }
}

/// Tells whether a log that can't be read is wrong, and not only out of reach.
pub(crate) fn is_wrong(error: &ReadError) -> bool {
    match error {
        ReadError::Damaged { .. }
        | ReadError::Unfinished { .. }
        | ReadError::Chain(_)
        | ReadError::NotACommit { .. } => true,
        ReadError::Beyond { .. } | ReadError::Unavailable(_) | ReadError::Refused(_) => false,
    }
}

/// A commit whose command, if it has one, was checked on its bytes.
struct Checked {
    commit: Arc<Commit>,
    verified: Result<Option<Box<Verified>>, Fault>,
}

/// Commits for a worker, and where they go from there.
struct Batch {
    commits: Vec<Arc<Commit>>,
    checked: SyncSender<Vec<Checked>>,
}

/// What the folding thread takes, in the log's order.
type InOrder = Result<Receiver<Vec<Checked>>, ReadError>;

/// Folds commits from the log's first one on and checks each. `each` is called with the state behind every commit.
/// Must be called outside of async code, inside the context of `runtime`.
pub(crate) fn audit(
    runtime: &Handle,
    market: &MarketName,
    commits: CommitStream,
    mut each: impl FnMut(&Fold, &Arc<Commit>) -> anyhow::Result<()>,
) -> Result<Fold, AuditError> {
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let queue_length = workers * BATCHES_PER_WORKER_MAX;
    let (batches_in, batches) = mpsc::sync_channel::<Batch>(queue_length);
    let (in_order_in, in_order) = mpsc::sync_channel::<InOrder>(queue_length);
    let batches = Mutex::new(batches);
    let keys = KeyRing::default();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| check_batches(&batches, market, &keys));
        }
        scope.spawn(|| read(runtime, commits, &keys, batches_in, in_order_in));
        let mut fold = Fold::new(market.clone());
        // When this loop ends early the reader finds its queue closed and ends, and then the workers do.
        for checked in in_order {
            // A worker answers every batch it was given, unless it panicked, which the scope passes on.
            for Checked { commit, verified } in checked?.recv().unwrap_or_default() {
                let position = commit.first_position();
                let wrong = |source| AuditError::Wrong { position, source };
                fold.apply(&commit, verified.map_err(wrong)?.as_deref()).map_err(wrong)?;
                each(&fold, &commit).map_err(AuditError::Caller)?;
            }
        }
        Ok(fold)
    })
}

fn read(
    runtime: &Handle,
    commits: CommitStream,
    keys: &KeyRing,
    batches: SyncSender<Batch>,
    in_order: SyncSender<InOrder>,
) {
    let mut chunks = commits.ready_chunks(COMMITS_PER_BATCH_MAX);
    while let Some(chunk) = runtime.block_on(chunks.next()) {
        let mut commits = Vec::with_capacity(chunk.len());
        let mut failed = None;
        for commit in chunk {
            match commit {
                Ok(commit) => {
                    note_keys(&commit, keys);
                    commits.push(commit);
                }
                Err(error) => failed = Some(error),
            }
        }
        let (checked_in, checked) = mpsc::sync_channel(1);
        let sent = batches.send(Batch { commits, checked: checked_in }).is_ok()
            && in_order.send(Ok(checked)).is_ok();
        if !sent {
            return;
        }
        if let Some(error) = failed {
            // Whoever folds may have found something wrong before.
            let _ = in_order.send(Err(error));
            return;
        }
    }
}

/// Notes the keys that a commit registers, before anything behind it is checked. Whether a key was registered when
/// it was used is asked again by the fold, in order.
fn note_keys(commit: &Commit, keys: &KeyRing) {
    for recorded in commit.events() {
        let Some((account, key)) = recorded.event.registered_key() else { continue };
        if let Err(error) = keys.add(account, key) {
            // Its registration, or whatever is signed with it, will not verify.
            tracing::warn!(position = recorded.position, %error, "a registered key is none");
        }
    }
}

fn check_batches(batches: &Mutex<Receiver<Batch>>, market: &MarketName, keys: &KeyRing) {
    loop {
        let next = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Batch { commits, checked }) = next else { return };
        let results = commits.into_iter().map(|commit| {
            let verified = check(&commit, market, keys);
            Checked { commit, verified }
        });
        // Whoever folds may have found something wrong before.
        let _ = checked.send(results.collect());
    }
}

/// Checks the signed command of a commit, and that the commit's metadata says of it what was signed.
fn check(commit: &Commit, market: &MarketName, keys: &KeyRing) -> Result<Option<Box<Verified>>, Fault> {
    let Cause::Command(stamp) = &commit.start().cause else { return Ok(None) };
    let mut verified =
        verify_command(stamp.signed.as_bytes(), market, None, keys).map_err(Fault::CommandRefused)?;
    // It is not signed by the device; whether it is good for these bytes is asked when they are decided again.
    verified.stamp.step_up.clone_from(&stamp.step_up);
    let signed = &verified.stamp;
    let fields = [
        ("account", signed.account == stamp.account),
        ("command", signed.command == stamp.command),
        ("device", signed.device == stamp.device),
        ("fingerprint", signed.fingerprint == stamp.fingerprint),
        ("key", signed.key == stamp.key),
        ("name", signed.name == stamp.name),
        ("nonce", signed.nonce == stamp.nonce),
        ("seq", signed.seq == stamp.seq),
        ("signed", signed.signed == stamp.signed),
    ];
    match fields.into_iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(Fault::NotAsSigned { field }),
        None => Ok(Some(Box::new(verified))),
    }
}
