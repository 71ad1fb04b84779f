//! An engine that stands by: it follows the log, keeps the index and the snapshots, and folds the market's state, so that
//! taking the market over needs only the last few events. Every engine begins like this, one that writes at once too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use commands::Market;
use commands::crypto::KeyError;
use events::commit::ChainError;
use events::market::Opened;
use events::{Commit, Head, with_causes};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::answerer::Answers;
use crate::clock::{Clock, ClockGuard};
use crate::driver::{
    Begin, Engine, EngineHandle, PREVIEWS_AT_ONCE_MAX, Status, ToWriter, WAKES_MAX, writer_lost,
};
use crate::index::{Index, IndexError};
use crate::ingress::{REQUESTS_MAX, Request};
use crate::keeper::{self, KeeperError, Kept};
use crate::keys::KeyRing;
use crate::log::{EventLog, ReadError};
use crate::market_keys::{LiveKeys, MarketKeyRing};
use crate::pace::Pace;
use crate::passwords::Passwords;
use crate::processor::{StopReason, Wake, WriterConfig};
use crate::secrets::Secrets;
use crate::snapshot::Snapshots;
use crate::tree::{Tree, TreeError};
use crate::vault::Vault;

/// Most commits that are folded at once.
const COMMITS_PER_BATCH_MAX: usize = 512;

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The index refuses.
    #[error("the index of old ids")]
    Index(#[from] IndexError),
    /// The tree refuses.
    #[error("the tree over the log")]
    Tree(#[from] TreeError),
    /// The log can't be read.
    #[error("the log")]
    Log(#[from] ReadError),
    /// The log is not the one the snapshot or the index was made from.
    #[error(
        "the log does not extend {checkpoint} at position {position}: it was restored or truncated. Restore the newest log; only if it is lost, delete `index`, `snapshots` and `tree`, knowing that answers already given are void"
    )]
    Foreign {
        /// What has seen more, or another history.
        checkpoint: &'static str,
        /// How far it has seen the log.
        position: u64,
        /// What does not fit.
        #[source]
        source: Option<ChainError>,
    },
    /// The market was opened with other keys or rules than it is started with.
    #[error("the market was opened with another {what} than it is started with: start it with that one")]
    OpenedOtherwise {
        /// What differs.
        what: &'static str,
    },
    /// The writer ended before its first append was durable.
    #[error("the market could not be taken: {0}")]
    Stopped(StopReason),
    /// A key in the log can't be used.
    #[error("a key in the log can't be used")]
    Key(#[from] KeyError),
}

/// What an engine needs to know.
pub struct EngineConfig {
    /// Who writes, and how an empty log is opened.
    pub writer: WriterConfig,
    /// The market's keys that receipts and checkpoints are signed with.
    pub market_keys: MarketKeyRing,
    /// The secrets of people's apps.
    pub secrets: Arc<Secrets>,
    /// What passwords are checked with.
    pub passwords: Arc<Passwords>,
    /// Threads that check signatures.
    pub verify_threads: usize,
    /// Where what is personal is stored; none: commands that name something personal are refused.
    pub vault: Option<Arc<Vault>>,
}

/// What an engine has on disk besides its log: read before the log is opened, since the log must reach this far.
pub struct Prepared {
    index: Index,
    snapshots: Snapshots,
    tree: Tree,
    head: Head,
    market: Market,
}

impl Prepared {
    /// Opens the index and the tree, and reads the newest snapshot, in a folder.
    pub fn open(dir: &Path) -> Result<Prepared, StartError> {
        let index = Index::open(&dir.join("index"))?;
        let snapshots = Snapshots::new(PathBuf::from(dir).join("snapshots"));
        let tree = Tree::open(&dir.join("tree"))?;
        let (head, market) = snapshots.load_latest().unwrap_or_default();
        Ok(Prepared { index, snapshots, tree, head, market })
    }

    /// Gives the head that the log must at least reach.
    pub fn floor(&self) -> Head {
        let heads = [self.index.seen(), self.tree.head()];
        heads
            .into_iter()
            .fold(self.head, |floor, head| if head.position > floor.position { head } else { floor })
    }
}

/// A market's engine that does not write it yet. Dropped, it ends, and its keeper writes a snapshot.
pub struct Standby {
    pub(crate) writer: WriterConfig,
    pub(crate) verify_threads: usize,
    pub(crate) vault: Option<Arc<Vault>>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) guard: ClockGuard,
    pub(crate) handle: EngineHandle,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) wakes: mpsc::Receiver<ToWriter>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) keeper: JoinHandle<()>,
    pub(crate) stop_keeper: watch::Sender<bool>,
    keeper_fails: oneshot::Receiver<String>,
    fold: tokio::task::JoinHandle<Result<Folded, StartError>>,
    /// Where the fold ends; nowhere yet.
    until: watch::Sender<Option<Head>>,
}

impl Standby {
    /// Begins to follow a log. Must be called inside a tokio runtime.
    pub async fn start(
        prepared: Prepared,
        config: EngineConfig,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Standby, StartError> {
        let mut guard = ClockGuard::default();
        guard.look(clock.as_ref());
        let Prepared { index, snapshots, tree, head, market } = prepared;
        let seen = index.seen();
        check_reaches(log.head().await?, head, seen, tree.head())?;
        let keys = Arc::new(KeyRing::default());
        for key in market.accounts.keys() {
            keys.add(key.account, &key.public)?;
        }
        let EngineConfig { writer, market_keys, secrets, passwords, verify_threads, vault } = config;
        let opened = writer.opened.receipt_key;
        let live = Arc::new(LiveKeys::new(market_keys, &market.keys, market.position, opened));
        let pace = Arc::new(Pace::default());
        let answers =
            Answers::new(Arc::clone(&log), Arc::clone(&live), writer.market.clone(), Arc::clone(&pace));
        let tree_reader = tree.reader();
        let (wakes_in, wakes) = mpsc::channel(WAKES_MAX);
        let (requests_in, requests) = mpsc::channel(REQUESTS_MAX);
        let (status, status_out) = watch::channel(Status::StandingBy(head));
        let (stop_keeper, keeper_stops) = watch::channel(false);
        let (fails, keeper_fails) = oneshot::channel();
        let keeper_failed = {
            let wakes = wakes_in.clone();
            move |error: &KeeperError| {
                let cause = with_causes(error);
                // Whoever stands by hears it, or the writer does; if both are gone, nobody.
                let _ = fails.send(cause.clone());
                drop(wakes.blocking_send(Wake::Failed(cause).into()));
            }
        };
        let kept = Kept { index: index.clone(), snapshots, tree, keys: Arc::clone(&live) };
        let keeper = keeper::spawn(Arc::clone(&log), kept, keeper_stops, keeper_failed);
        let (until, fold_ends) = watch::channel(None);
        let folding = Folding {
            head,
            market,
            snapshot: head,
            seen,
            keys: Arc::clone(&keys),
            live: Arc::clone(&live),
            status: status.clone(),
            until: fold_ends,
        };
        let (followed, runtime) = (Arc::clone(&log), Handle::current());
        let fold = tokio::task::spawn_blocking(move || runtime.block_on(folding.run(followed.as_ref())));
        let handle = EngineHandle {
            requests: requests_in,
            wakes: wakes_in,
            status: status_out,
            keys,
            secrets,
            passwords,
            live,
            index,
            tree: tree_reader,
            answers,
            previews: Arc::new(Semaphore::new(PREVIEWS_AT_ONCE_MAX)),
            pace,
        };
        Ok(Standby {
            writer,
            verify_threads,
            vault,
            log,
            clock,
            guard,
            handle,
            status,
            wakes,
            requests,
            keeper,
            stop_keeper,
            keeper_fails,
            fold,
            until,
        })
    }

    /// Gives what others ask the engine through, now and when it writes. While it stands by it takes no command.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// Waits until this engine can't stand by any longer, and tells why.
    pub async fn failed(&mut self) -> StartError {
        tokio::select! {
            folded = &mut self.fold => match folded {
                Ok(Err(error)) => error,
                Ok(Ok(_)) | Err(_) => StartError::Stopped(writer_lost()),
            },
            Ok(cause) = &mut self.keeper_fails => StartError::Stopped(StopReason::Failed(cause)),
        }
    }

    /// Takes the market: folds what the log has more, waits until the index covers what the state has forgotten, and
    /// begins to write.
    pub async fn take_over(mut self) -> Result<Engine, StartError> {
        self.until.send_replace(Some(self.log.head().await?));
        let folded = (&mut self.fold).await.map_err(|_| StartError::Stopped(writer_lost()))?;
        let Folded { head, market, behind } = folded?;
        check_opened(&market, &self.writer.opened, &self.handle.live)?;
        tokio::select! {
            biased;
            () = self.handle.index.wait_for(market.forgotten) => {}
            // Nobody would bring the index further.
            Ok(cause) = &mut self.keeper_fails => return Err(StartError::Stopped(StopReason::Failed(cause))),
        }
        Engine::write(Begin { standby: self, market, head, taken_behind: behind }).await
    }
}

/// The state of a market at a head, and how many events were left to be folded when the end was set.
struct Folded {
    head: Head,
    market: Market,
    behind: u64,
}

/// Folds a log as it grows, and checks that it contains what the snapshot and the index have seen.
struct Folding {
    head: Head,
    market: Market,
    snapshot: Head,
    /// What the index has seen.
    seen: Head,
    keys: Arc<KeyRing>,
    live: Arc<LiveKeys>,
    status: watch::Sender<Status>,
    until: watch::Receiver<Option<Head>>,
}

impl Folding {
    async fn run(mut self, log: &dyn EventLog) -> Result<Folded, StartError> {
        let mut commits = log.follow(self.head.position + 1).ready_chunks(COMMITS_PER_BATCH_MAX);
        let mut behind = None;
        loop {
            let until = *self.until.borrow_and_update();
            if let Some(until) = until {
                let behind = *behind.get_or_insert(until.position.saturating_sub(self.head.position));
                if until.position <= self.head.position {
                    // With nothing behind the snapshot, only the log's own hash can tell.
                    if until.position == self.head.position && until != self.head {
                        return Err(foreign("the newest snapshot", self.snapshot, None));
                    }
                    return Ok(Folded { head: self.head, market: self.market, behind });
                }
            }
            tokio::select! {
                biased;
                changed = self.until.changed() => if changed.is_err() {
                    return Err(StartError::Stopped(StopReason::Shutdown));
                },
                chunk = commits.next() => {
                    for commit in chunk.expect("following never ends by itself") {
                        let commit = commit?;
                        self.take(&commit)?;
                    }
                    self.status.send_replace(Status::StandingBy(self.head));
                }
            }
        }
    }

    fn take(&mut self, commit: &Commit) -> Result<(), StartError> {
        let broken = |source| foreign("the newest snapshot", self.snapshot, Some(source));
        commit.check_follows(self.head).map_err(broken)?;
        self.market.evolve_commit(commit);
        self.live.take(commit);
        for (account, key) in commit.events().iter().filter_map(|recorded| recorded.event.registered_key()) {
            self.keys.add(account, key)?;
        }
        self.head = commit.head();
        let contains =
            commit.first_position() <= self.seen.position && self.seen.position <= self.head.position;
        if contains && self.head != self.seen {
            return Err(foreign("the index of old ids", self.seen, None));
        }
        Ok(())
    }
}

fn foreign(checkpoint: &'static str, seen: Head, source: Option<ChainError>) -> StartError {
    StartError::Foreign { checkpoint, position: seen.position, source }
}

/// Checks that a log reaches what the snapshot, the index and the tree have seen.
fn check_reaches(end: Head, snapshot: Head, index: Head, tree: Head) -> Result<(), StartError> {
    let all =
        [("the newest snapshot", snapshot), ("the index of old ids", index), ("the tree over it", tree)];
    for (checkpoint, seen) in all {
        if end.position < seen.position {
            return Err(foreign(checkpoint, seen, None));
        }
    }
    Ok(())
}

fn check_opened(market: &Market, wanted: &Opened, live: &LiveKeys) -> Result<(), StartError> {
    let Some(opened) = &market.opened else { return Ok(()) };
    let differs = |what| Err(StartError::OpenedOtherwise { what });
    if opened.market != wanted.market {
        return differs("name");
    }
    if opened.registrar != wanted.registrar {
        return differs("registrar key");
    }
    // It may have been rotated: what counts is that one of those that are live now can sign.
    if !live.can_sign(&market.keys) {
        return differs("receipt key");
    }
    if opened.fee != wanted.fee || opened.deadlines != wanted.deadlines {
        tracing::warn!("fee and deadlines stay as the market was opened with; the given ones are not used");
    }
    Ok(())
}
