//! Following the log: all views in one pass, a group of commits at a time.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use events::{Commit, Hash, Head, Position, with_causes};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{Notify, watch};

use crate::fold::{FoldError, Folder, LogMismatch, events_behind};
use crate::store::{Slot, Store};
use crate::view::{ViewError, ViewName};
use crate::{
    account, analytics, audit, cart, ledger, listing, order, payment, recommendation, risk, search, terms,
    webhook,
};

/// Most commits that are folded and written as one batch. Fewer are taken when fewer are ready, so this bounds memory
/// while catching up and costs no latency when the log is quiet; large, because a listing sold often within a batch
/// is written once. As many more may have gathered meanwhile.
pub const COMMITS_PER_BATCH_MAX: usize = 4096;

/// How long commits gather before they are folded and written together, unless somebody waits for them. Orders placed one
/// after another stand side by side, so a batch of one writes nearly as much as one of twenty; and what the views write
/// is in the way of the log's syncs where both are on one disk.
pub const GATHER_TIME: Duration = Duration::from_millis(100);
/// From how many commits in a batch on the views are folded side by side: more than a writer commits while they gather, so
/// it is only done by who catches up. Who keeps up leaves the other cores to the writer.
const SIDE_BY_SIDE_COMMITS: usize = COMMITS_PER_BATCH_MAX / 2;
/// Most threads that fold views side by side.
const FOLDING_THREADS_MAX: usize = 4;

/// Says that the views have not read far enough within the time given. The client asks again later, or without a
/// position for an older answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the views have read up to position {applied}, not yet to {wanted}: ask again in a moment")]
pub struct TooFarBehind {
    /// The position that was asked for.
    pub wanted: Position,
    /// How far the slowest view is.
    pub applied: Position,
}

/// Why following the log ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E: std::error::Error + 'static> {
    /// The log could not be read. What was applied stays; run again with a stream from the checkpoint.
    #[error("the log could not be read further")]
    Log(#[source] E),
    /// The log is not the one the views have read. An operator must decide.
    #[error(transparent)]
    Mismatch(#[from] Box<LogMismatch>),
    /// The disk fails, or nothing can be read of it.
    #[error("view `{view}` can't be read or written")]
    View {
        /// The view.
        view: ViewName,
        /// Why.
        source: ViewError,
    },
    /// The log is being followed already. One run at a time.
    #[error("the views follow a log already")]
    AlreadyRunning,
}

/// Whether the views follow a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// They do.
    Running,
    /// They do not: what they answer grows old.
    Stopped(String),
}

/// The views of one market.
#[derive(Clone)]
pub struct Projections {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    applied: watch::Sender<Position>,
    /// Somebody waits for what is not applied yet.
    wanted: Notify,
    is_running: AtomicBool,
    state: watch::Sender<RunState>,
    /// What looks for listings, in a process that does.
    pub(crate) search: OnceLock<Arc<search::Inner>>,
    /// Why there is no search though one was to be.
    pub(crate) search_failure: OnceLock<String>,
    /// How many threads fold the views when they are behind; at least one.
    folding_threads: usize,
}

impl Projections {
    /// Opens the views at `dir`, creating what is not there. One process at a time can.
    pub fn open(dir: &Path) -> Result<Projections, ViewError> {
        Ok(Projections::on(Store::open(dir)?))
    }

    /// Opens views at `dir` that have read nothing and are removed with the last of their handles.
    pub fn open_temporary(dir: &Path) -> Result<Projections, ViewError> {
        Ok(Projections::on(Store::open_temporary(dir)?))
    }

    fn on(store: Store) -> Projections {
        let (applied, _) = watch::channel(lowest(&store).position);
        let (state, _) =
            watch::channel(RunState::Stopped("they have not begun to follow the log".to_owned()));
        let wanted = Notify::new();
        let is_running = AtomicBool::new(false);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let folding_threads = cores.min(FOLDING_THREADS_MAX);
        let (search, search_failure) = (OnceLock::new(), OnceLock::new());
        let inner =
            Inner { store, applied, wanted, is_running, state, search, search_failure, folding_threads };
        Projections { inner: Arc::new(inner) }
    }

    /// Gives the lowest head over all views that have not stopped: the log must be read from the position behind it. Views that are
    /// further skip what they have.
    pub fn checkpoint(&self) -> Head {
        lowest(&self.inner.store)
    }

    /// Gives how far one view has read.
    pub fn head(&self, view: ViewName) -> Head {
        self.inner.store.slot(view).read().head
    }

    /// Tells why a view has stopped, while the others go on: it answers nothing, until it is built again or the process starts with
    /// a program that goes on behind what it met. Nothing, if it has not.
    pub fn stopped(&self, view: ViewName) -> Option<String> {
        self.inner.store.slot(view).read().stopped.as_ref().map(|stopped| stopped.reason.clone())
    }

    /// Checks a log's head against every view before it is followed: a log that ends below a view's checkpoint was
    /// restored or truncated, and following it would wait for ever instead of noticing.
    pub fn check_log_head(&self, log: Head) -> Result<(), Box<LogMismatch>> {
        for slot in self.inner.store.slots() {
            let checkpoint = slot.read().head;
            let is_short = log.position < checkpoint.position;
            let is_other = log.position == checkpoint.position && log.hash != checkpoint.hash;
            if is_short || is_other {
                return Err(Box::new(LogMismatch { view: slot.view, checkpoint, found: log, chain: None }));
            }
        }
        Ok(())
    }

    /// Follows a log until it ends or `shutdown` is done, which is heard between batches. A view that meets what it can't go on behind
    /// stops, see [`Projections::stopped`], and the others go on. `stream` begins at or
    /// before the position behind [`Projections::checkpoint`]; what a view has read already it skips. Folding and
    /// disk work are done outside the async threads.
    pub async fn run<S, E>(&self, stream: S, shutdown: impl Future<Output = ()>) -> Result<(), RunError<E>>
    where
        S: Stream<Item = Result<Arc<Commit>, E>>,
        E: std::error::Error + 'static,
    {
        let run = Exclusive::start(&self.inner, None).ok_or(RunError::AlreadyRunning)?;
        let mut running = Running::begin(&self.inner);
        let (mut stream, mut shutdown) = (std::pin::pin!(stream), std::pin::pin!(shutdown));
        let mut folders = ViewName::ALL.map(|view| {
            let generation = self.inner.store.slot(view).read().clone();
            Folder::new(view, generation)
        });
        let mut gathered = Gathered::default();
        let mut gather_until = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let outcome = loop {
            let mut is_time = false;
            while !gathered.is_full() && (gathered.commits.is_empty() || !is_time) {
                tokio::select! {
                    biased;
                    () = &mut shutdown => {
                        // What has gathered is still taken.
                        gathered.take_ready(stream.as_mut());
                        gathered.end.get_or_insert(Ok(()));
                    }
                    () = self.inner.wanted.notified(), if !is_time => is_time = true,
                    () = &mut gather_until, if !is_time => is_time = true,
                    next = stream.next() => gathered.push(next),
                }
                if is_time {
                    gathered.take_ready(stream.as_mut());
                }
            }
            let Gathered { commits, end } = std::mem::take(&mut gathered);
            let (inner, run) = (Arc::clone(&self.inner), Arc::clone(&run));
            let mut folding = std::pin::pin!(blocking(move || {
                let _run = run;
                let outcome = inner.apply(&mut folders, &commits);
                (folders, outcome)
            }));
            let (back, applied) = loop {
                tokio::select! {
                    biased;
                    folded = &mut folding => break folded,
                    next = stream.next(), if end.is_none() && !gathered.is_full() => gathered.push(next),
                }
            };
            folders = back;
            match (applied, end) {
                (Err((_, FoldError::Mismatch(mismatch))), _) => break Err(mismatch.into()),
                (Err((view, FoldError::View(source))), _) => break Err(RunError::View { view, source }),
                (Ok(()), Some(end)) => break end.map_err(RunError::Log),
                (Ok(()), None) => {}
            }
            gather_until.as_mut().reset(tokio::time::Instant::now() + GATHER_TIME);
        };
        let inner = Arc::clone(&self.inner);
        let flushed = blocking(move || inner.store.flush()).await;
        let flushed = flushed.map_err(|source| RunError::View { view: ViewName::ALL[0], source });
        let outcome = outcome.and(flushed);
        running.end(&outcome);
        outcome
    }

    /// Tells whether the views follow a log, and whenever that changes.
    pub fn state(&self) -> watch::Receiver<RunState> {
        self.inner.state.subscribe()
    }

    /// Waits until every view that has not stopped has read up to `min_position`, at most `timeout`.
    pub async fn wait_for(&self, min_position: Position, timeout: Duration) -> Result<(), TooFarBehind> {
        let mut applied = self.inner.applied.subscribe();
        if *applied.borrow() < min_position {
            self.inner.wanted.notify_one();
        }
        let reached =
            tokio::time::timeout(timeout, applied.wait_for(|applied| *applied >= min_position)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            // The sender lives as long as `self`, so only the time can have run out.
            Ok(Err(_)) | Err(_) => {
                Err(TooFarBehind { wanted: min_position, applied: *self.inner.applied.borrow() })
            }
        }
    }

    /// Gives the position that all views have read which have not stopped, and every later one.
    pub fn applied(&self) -> watch::Receiver<Position> {
        self.inner.applied.subscribe()
    }

    /// Hashes all that a view holds, with the head it stands at: equal logs give equal hashes. Reads the whole view;
    /// changes to it wait meanwhile.
    pub fn content_hash(&self, view: ViewName) -> Result<(Head, Hash), ViewError> {
        self.inner.store.content_hash(view)
    }

    /// Answers about carts.
    pub fn carts(&self) -> cart::Carts<'_> {
        cart::Carts::new(self.inner.store.slot(ViewName::Carts))
    }

    /// Answers about listings and their stock.
    pub fn listings(&self) -> listing::Listings<'_> {
        listing::Listings::new(self.inner.store.slot(ViewName::Listings))
    }

    /// Answers about orders.
    pub fn orders(&self) -> order::Orders<'_> {
        order::Orders::new(self.inner.store.slot(ViewName::Orders))
    }

    /// Answers about balances.
    pub fn ledger(&self) -> ledger::Ledger<'_> {
        ledger::Ledger::new(self.inner.store.slot(ViewName::Ledger))
    }

    /// Answers about accounts, their devices and keys.
    pub fn accounts(&self) -> account::Accounts<'_> {
        account::Accounts::new(self.inner.store.slot(ViewName::Accounts))
    }

    /// Answers about payments through providers.
    pub fn payments(&self) -> payment::Payments<'_> {
        payment::Payments::new(self.inner.store.slot(ViewName::Payments))
    }

    /// Answers about what purchases are priced by.
    pub fn terms(&self) -> terms::Terms<'_> {
        terms::Terms::new(self.inner.store.slot(ViewName::Terms))
    }

    /// Answers about risk.
    pub fn risk(&self) -> risk::Risk<'_> {
        risk::Risk::new(self.inner.store.slot(ViewName::Risk))
    }

    /// Answers what else somebody may want.
    pub fn recommendations(&self) -> recommendation::Recommendations<'_> {
        recommendation::Recommendations::new(self)
    }

    /// Answers about webhooks.
    pub fn webhooks(&self) -> webhook::Webhooks<'_> {
        webhook::Webhooks::new(self.inner.store.slot(ViewName::Webhooks))
    }

    /// Answers who did what.
    pub fn audit(&self) -> audit::Audit<'_> {
        audit::Audit::new(self.inner.store.slot(ViewName::Audit))
    }

    /// Answers about numbers over time.
    pub fn analytics(&self) -> analytics::Analytics<'_> {
        analytics::Analytics::new(self.inner.store.slot(ViewName::Analytics))
    }
}

impl Inner {
    fn flag(&self, rebuilt: Option<ViewName>) -> &AtomicBool {
        match rebuilt {
            None => &self.is_running,
            Some(view) => &self.store.slot(view).is_rebuilding,
        }
    }

    fn apply(&self, folders: &mut [Folder], commits: &[Arc<Commit>]) -> Result<(), (ViewName, FoldError)> {
        let started = std::time::Instant::now();
        let before = lowest(&self.store).position;
        self.fold_all(folders, commits)?;
        self.publish();
        metrics::counter!("skylink_projections_events_total").increment(events_behind(commits, before));
        metrics::histogram!("skylink_projections_batch_seconds").record(started.elapsed());
        Ok(())
    }

    /// Folds every view. They have nothing in common but the log: each is one thread's until it is done.
    fn fold_all(&self, folders: &mut [Folder], commits: &[Arc<Commit>]) -> Result<(), (ViewName, FoldError)> {
        let views = folders.iter_mut().zip(ViewName::ALL);
        side_by_side(views, self.threads_for(commits), |(folder, view)| {
            self.apply_to(view, folder, commits).map_err(|error| (view, error))
        })
    }

    /// Gives how many threads are worth it for so many commits.
    pub(crate) fn threads_for(&self, commits: &[Arc<Commit>]) -> usize {
        if commits.len() < SIDE_BY_SIDE_COMMITS { 1 } else { self.folding_threads }
    }

    fn apply_to(
        &self,
        view: ViewName,
        folder: &mut Folder,
        commits: &[Arc<Commit>],
    ) -> Result<(), FoldError> {
        let slot = self.store.slot(view);
        let _writer = slot.write();
        let live = slot.read().clone();
        if live.number != folder.generation().number {
            // A rebuild has swapped the view: what was cached is of the tree before.
            *folder = Folder::new(view, live.clone());
        }
        if live.stopped.is_none() {
            match self.take_in(slot, folder, commits) {
                Err(FoldError::View(error)) if error.is_of_view() => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(%view, error, "a view has stopped; the others go on");
                    slot.stop(with_causes(error));
                }
                taken => return taken,
            }
        }
        if let Some(last) = commits.last() {
            slot.pass(last.head());
        }
        Ok(())
    }

    fn take_in(&self, slot: &Slot, folder: &mut Folder, commits: &[Arc<Commit>]) -> Result<(), FoldError> {
        if let Some((batch, head)) = folder.fold(commits)? {
            slot.apply(batch, head)?;
            let touched = folder.take_touched();
            if slot.view == ViewName::Listings
                && let Some(search) = self.search.get()
            {
                search.take(&slot.read().tree, &touched)?;
            }
        }
        Ok(())
    }

    /// Tells those who wait how far the views are.
    pub(crate) fn publish(&self) {
        let position = lowest(&self.store).position;
        self.applied.send_if_modified(|applied| std::mem::replace(applied, position) != position);
    }
}

/// Does a task for each item, each on one of so many threads; an error keeps its thread from beginning another.
pub(crate) fn side_by_side<T: Send, E: Send>(
    items: impl Iterator<Item = T> + Send,
    threads: usize,
    task: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let waiting = Mutex::new(items);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(item) = next() {
            task(item)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others = Vec::from_iter((1..threads).map(|_| scope.spawn(work)));
        let own = work();
        others.into_iter().fold(own, |outcome, other| {
            outcome.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    })
}

/// What was taken off a log's stream and is not folded yet.
struct Gathered<E> {
    commits: Vec<Arc<Commit>>,
    /// How the stream ended behind them, if it did.
    end: Option<Result<(), E>>,
}

impl<E> Default for Gathered<E> {
    fn default() -> Self {
        Gathered { commits: Vec::new(), end: None }
    }
}

impl<E> Gathered<E> {
    /// Tells whether nothing more can be taken.
    fn is_full(&self) -> bool {
        self.end.is_some() || self.commits.len() >= COMMITS_PER_BATCH_MAX
    }

    fn push(&mut self, next: Option<Result<Arc<Commit>, E>>) {
        match next {
            Some(Ok(commit)) => self.commits.push(commit),
            Some(Err(error)) => self.end = Some(Err(error)),
            None => self.end = Some(Ok(())),
        }
    }

    /// Takes what the stream has without waiting.
    fn take_ready(&mut self, mut stream: Pin<&mut impl Stream<Item = Result<Arc<Commit>, E>>>) {
        while !self.is_full()
            && let Some(next) = stream.next().now_or_never()
        {
            self.push(next);
        }
    }
}

/// The right to follow the log (none) or to rebuild a view; one holder at a time. Work on other threads holds it too:
/// it outlives a future that is dropped.
pub(crate) struct Exclusive {
    inner: Arc<Inner>,
    rebuilt: Option<ViewName>,
}

impl Exclusive {
    pub(crate) fn start(inner: &Arc<Inner>, rebuilt: Option<ViewName>) -> Option<Arc<Self>> {
        let was_taken = inner.flag(rebuilt).swap(true, Ordering::AcqRel);
        (!was_taken).then(|| Arc::new(Exclusive { inner: Arc::clone(inner), rebuilt }))
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.inner.flag(self.rebuilt).store(false, Ordering::Release);
    }
}

/// Says that the log is being followed, until it is dropped, and then why not: a future that is dropped or panics
/// says so too.
struct Running {
    inner: Arc<Inner>,
    reason: String,
}

impl Running {
    fn begin(inner: &Arc<Inner>) -> Self {
        inner.state.send_replace(RunState::Running);
        Running { inner: Arc::clone(inner), reason: "their task was broken off".to_owned() }
    }

    fn end<E: std::error::Error + 'static>(&mut self, outcome: &Result<(), RunError<E>>) {
        self.reason = match outcome {
            Ok(()) => "they were told to stop, or the log ended".to_owned(),
            Err(error) => with_causes(error),
        };
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.inner.state.send_replace(RunState::Stopped(std::mem::take(&mut self.reason)));
    }
}

/// Gives the lowest position up to which the log was followed; for a view that has stopped, without it.
fn lowest(store: &Store) -> Head {
    let heads = store.slots().iter().map(|slot| slot.read().passed());
    heads.min_by_key(|head| head.position).unwrap_or(Head::EMPTY)
}

/// Does work that computes or waits for the disk, away from the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
