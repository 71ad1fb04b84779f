//! Performs what the processor says: the tokio side of a market's writer.
//!
//! A request goes: [`crate::ingress`] checks its signature, the *writer* thread steps the processor, the *appender*
//! makes groups durable, and the *answerer* signs receipts and replies.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use commands::crypto::{KeyError, SigningKey};
use commands::{Market, Question, Refusal};
use events::commit::ChainError;
use events::ids::{AccountId, CommandId};
use events::market::Opened;
use events::{Commit, Head, Timestamp};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::answerer::{self, Answers, Durable};
use crate::clock::Clock;
use crate::index::{Index, IndexError};
use crate::ingress::{self, REQUESTS_MAX, Reply, ReplyTo, Request};
use crate::keeper;
use crate::keys::KeyRing;
use crate::log::{AppendError, EventLog, ReadError};
use crate::processor::{Action, Answer, Processor, StopReason, Wake, WriterConfig};
use crate::snapshot::Snapshots;

/// Most wakes that wait for the writer; verified commands come in batches.
const WAKES_MAX: usize = 256;
/// Most groups whose answers wait to be signed and sent.
const ANSWERS_MAX: usize = 64;
/// How long the index may take to answer.
const LOOK_UP_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the appender waits before it tries an append with unknown outcome again.
const APPEND_PAUSE: Duration = Duration::from_millis(100);
/// How often a conflict is inspected while the log can't be reached, with a pause between.
const INSPECTIONS_MAX: u32 = 600;

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The index refuses.
    #[error("the index of old ids")]
    Index(#[from] IndexError),
    /// The log can't be read.
    #[error("the log")]
    Log(#[from] ReadError),
    /// The log is not the one the snapshot or the index was made from.
    #[error(
        "the log does not extend {checkpoint} at position {position}: it was restored or truncated. Restore the newest log; only if it is lost, delete `index` and `snapshots`, knowing that answers already given are void"
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
    /// The market's key that receipts are signed with.
    pub receipt_key: SigningKey,
    /// Threads that check signatures.
    pub verify_threads: usize,
}

/// What an engine has on disk besides its log: read before the log is opened, since the log must reach this far.
pub struct Prepared {
    index: Index,
    snapshots: Snapshots,
    head: Head,
    market: Market,
}

impl Prepared {
    /// Opens the index and reads the newest snapshot in a folder.
    pub fn open(dir: &Path) -> Result<Prepared, StartError> {
        let index = Index::open(&dir.join("index"))?;
        let snapshots = Snapshots::new(PathBuf::from(dir).join("snapshots"));
        let (head, market) = snapshots.load_latest().unwrap_or_default();
        Ok(Prepared { index, snapshots, head, market })
    }

    /// Gives the head that the log must at least reach.
    pub fn floor(&self) -> Head {
        let covered = self.index.covered();
        if covered.position > self.head.position { covered } else { self.head }
    }
}

/// How an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It writes; the log is durable up to this head.
    Writing(Head),
    /// It ended.
    Stopped(StopReason),
}

/// A running writer of a market.
pub struct Engine {
    handle: EngineHandle,
    writer: JoinHandle<()>,
    answerer: tokio::task::JoinHandle<()>,
    keeper: JoinHandle<()>,
    stop_keeper: watch::Sender<bool>,
}

/// What others ask the engine through; it may be cloned freely.
#[derive(Clone)]
pub struct EngineHandle {
    requests: mpsc::Sender<Request>,
    wakes: mpsc::Sender<Wake<ReplyTo>>,
    status: watch::Receiver<Status>,
    keys: Arc<KeyRing>,
    index: Index,
    answers: Answers,
}

impl Engine {
    /// Starts to write: folds the end of the log, waits until the index covers what the writer has forgotten, and
    /// takes the market. Must be called inside a tokio runtime.
    pub async fn start(
        prepared: Prepared,
        config: EngineConfig,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine, StartError> {
        let Prepared { index, snapshots, head, market } = prepared;
        let (head, market) = fold_end(log.as_ref(), head, market, index.covered()).await?;
        check_opened(&market, &config.writer.opened)?;
        let keys = Arc::new(KeyRing::default());
        for key in market.accounts.keys() {
            keys.add(&key.public)?;
        }
        let (wakes_in, wakes) = mpsc::channel(WAKES_MAX);
        let (stop_keeper, keeper_stops) = watch::channel(false);
        let (fails, keeper_fails) = oneshot::channel();
        let keeper_failed = {
            let wakes = wakes_in.clone();
            move |error: &keeper::KeeperError| {
                let cause = chain_of(error);
                // Whoever starts the engine waits for the keeper, or the writer is told; if both are gone, nobody.
                let _ = fails.send(cause.clone());
                drop(wakes.blocking_send(Wake::Failed(cause)));
            }
        };
        let keeper = keeper::spawn(Arc::clone(&log), index.clone(), snapshots, keeper_stops, keeper_failed);
        tokio::select! {
            biased;
            () = index.wait_for(market.forgotten) => {}
            // Nobody would bring the index further.
            Ok(cause) = keeper_fails => return Err(StartError::Stopped(StopReason::Failed(cause))),
        }

        let (status_in, status) = watch::channel(Status::Writing(head));
        let answers = Answers::new(Arc::clone(&log), config.receipt_key, config.writer.market.clone())?;
        let (answers_in, answers_out) = mpsc::channel(ANSWERS_MAX);
        let answerer = tokio::spawn(answerer::run(answers.clone(), answers_out));
        let (appends_in, appends) = mpsc::channel(1);
        tokio::spawn(keep_appending(Arc::clone(&log), appends, wakes_in.clone()));
        let (requests_in, requests) = mpsc::channel(REQUESTS_MAX);
        ingress::spawn(config.verify_threads, &config.writer.market, &keys, requests, &wakes_in);

        let (processor, actions) = Processor::start(market, head, config.writer, clock.now());
        let writer = Writer {
            processor,
            runtime: Handle::current(),
            log,
            clock,
            keys: Arc::clone(&keys),
            index: index.clone(),
            wakes_in: wakes_in.downgrade(),
            appends: appends_in,
            answers: answers_in,
            status: status_in,
            timer: None,
            stopped: false,
            answerer_lost: false,
        };
        let writer = thread::Builder::new()
            .name("writer".into())
            .spawn(move || writer.run(actions, wakes))
            .expect("a thread can be started at start-up");
        let handle = EngineHandle { requests: requests_in, wakes: wakes_in, status, keys, index, answers };
        let engine = Engine { handle, writer, answerer, keeper, stop_keeper };
        engine.wait_until_started(head).await?;
        Ok(engine)
    }

    /// Waits until the writer's first append is durable: only then is the market taken.
    async fn wait_until_started(&self, before: Head) -> Result<(), StartError> {
        let mut status = self.handle.status();
        let started = |status: &Status| !matches!(status, Status::Writing(head) if *head == before);
        match status.wait_for(started).await.as_deref() {
            Ok(Status::Writing(_)) => Ok(()),
            Ok(Status::Stopped(reason)) => Err(StartError::Stopped(reason.clone())),
            Err(_) => Err(StartError::Stopped(writer_lost())),
        }
    }

    /// Gives what others ask the engine through.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// Decides nothing more, makes durable what is decided, answers it, writes a snapshot and ends. Returns why the
    /// engine ended, which may have been earlier and for another reason.
    pub async fn shutdown(self) -> StopReason {
        // If the writer has ended, its status says so.
        let _ = self.handle.wakes.send(Wake::Shutdown).await;
        let reason = self.handle.stopped().await;
        // The answers of the last group may still be on their way from the writer to those who asked.
        if !matches!(join(self.writer).await, Ok(Ok(()))) || self.answerer.await.is_err() {
            tracing::error!("the writer ended badly; who has no answer asks again");
        }
        self.stop_keeper.send_replace(true);
        if !matches!(join(self.keeper).await, Ok(Ok(()))) {
            tracing::error!("the keeper ended badly; the next start folds more of the log");
        }
        reason
    }
}

impl EngineHandle {
    /// Hands in a signed command and waits for its reply. The caller bounds the time; giving up does not take the
    /// command back.
    pub async fn submit(
        &self,
        bytes: Bytes,
        arrived_as: Option<String>,
        traceparent: Option<String>,
    ) -> Reply {
        match self.enqueue(bytes, arrived_as, traceparent) {
            Ok(reply) => reply.await.unwrap_or(Reply::Undecided),
            Err(reply) => reply,
        }
    }

    /// Hands in a signed command; the reply comes through the channel. At once, if there is no room.
    pub fn enqueue(
        &self,
        bytes: Bytes,
        arrived_as: Option<String>,
        traceparent: Option<String>,
    ) -> Result<oneshot::Receiver<Reply>, Reply> {
        let (reply, replied) = oneshot::channel();
        match self.requests.try_send(Request { bytes, arrived_as, traceparent, reply }) {
            Ok(()) => Ok(replied),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Reply::Refused(Refusal::Busy)),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Reply::Undecided),
        }
    }

    /// Finds the receipt of a command that was decided and is durable.
    pub async fn receipt(&self, account: AccountId, command: CommandId) -> Result<Option<Reply>, IndexError> {
        let durable = match *self.status.borrow() {
            Status::Writing(head) => head.position,
            Status::Stopped(_) => self.index.covered().position,
        };
        // Behind by a moment at most; an index that does not come up to it in time answers from what it has.
        let _ = tokio::time::timeout(LOOK_UP_TIME_MAX, self.index.wait_for(durable)).await;
        let index = self.index.clone();
        let find = move || index.find_command(account, command);
        let position = tokio::task::spawn_blocking(find).await.map_err(|_| IndexError::Damaged)??;
        match position {
            None => Ok(None),
            Some(position) => Ok(Some(self.answers.repeat(position).await)),
        }
    }

    /// Lets the writer look at its clock, after a clock that does not run by itself was moved.
    pub async fn tick(&self) {
        // A writer that has ended looks at no clock.
        let _ = self.wakes.send(Wake::Tick).await;
    }

    /// Gives the keys that may sign.
    pub fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// Tells how the engine is.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until the engine has ended and tells why.
    pub async fn stopped(&self) -> StopReason {
        let mut status = self.status.clone();
        let stopped = status.wait_for(|status| matches!(status, Status::Stopped(_))).await;
        match stopped.as_deref() {
            Ok(Status::Stopped(reason)) => reason.clone(),
            _ => writer_lost(),
        }
    }
}

/// Waits for a thread without blocking the runtime.
async fn join(thread: JoinHandle<()>) -> Result<thread::Result<()>, tokio::task::JoinError> {
    tokio::task::spawn_blocking(move || thread.join()).await
}

fn writer_lost() -> StopReason {
    StopReason::Failed("the writer's thread ended badly; its last words are on standard error".into())
}

/// Folds the log from the snapshot to its end, and checks that it contains what the index has seen.
async fn fold_end(
    log: &dyn EventLog,
    snapshot: Head,
    mut market: Market,
    covered: Head,
) -> Result<(Head, Market), StartError> {
    let end = log.head().await?;
    let foreign = |checkpoint, position, source| StartError::Foreign { checkpoint, position, source };
    if end.position < snapshot.position {
        return Err(foreign("the newest snapshot", snapshot.position, None));
    }
    if end.position < covered.position {
        return Err(foreign("the index of old ids", covered.position, None));
    }
    let mut head = snapshot;
    let mut commits = log.read(snapshot.position + 1);
    while let Some(commit) = commits.next().await {
        let commit = commit?;
        let source = |source| foreign("the newest snapshot", snapshot.position, Some(source));
        commit.check_follows(head).map_err(source)?;
        market.evolve_commit(&commit);
        head = commit.head();
        let contains = commit.first_position() <= covered.position && covered.position <= head.position;
        if contains && head != covered {
            return Err(foreign("the index of old ids", covered.position, None));
        }
    }
    // With nothing behind the snapshot, only the log's own hash can tell.
    if end.position == head.position && end != head {
        return Err(foreign("the newest snapshot", snapshot.position, None));
    }
    Ok((head, market))
}

fn check_opened(market: &Market, wanted: &Opened) -> Result<(), StartError> {
    let Some(opened) = &market.opened else { return Ok(()) };
    let differs = |what| Err(StartError::OpenedOtherwise { what });
    if opened.market != wanted.market {
        return differs("name");
    }
    if opened.registrar != wanted.registrar {
        return differs("registrar key");
    }
    if opened.receipt_key != wanted.receipt_key {
        return differs("receipt key");
    }
    if opened.fee != wanted.fee || opened.deadlines != wanted.deadlines {
        tracing::warn!("fee and deadlines stay as the market was opened with; the given ones are not used");
    }
    Ok(())
}

type Append = (Head, Vec<Arc<Commit>>, bool);

/// Makes groups durable, and tells the writer if that ends badly: it would wait for an outcome for ever.
async fn keep_appending(
    log: Arc<dyn EventLog>,
    appends: mpsc::Receiver<Append>,
    wakes: mpsc::Sender<Wake<ReplyTo>>,
) {
    if tokio::spawn(append(log, appends, wakes.clone())).await.is_err() {
        let cause = "the appender ended badly; its last words are on standard error".to_owned();
        // A writer that has ended appends nothing.
        let _ = wakes.send(Wake::Failed(cause)).await;
    }
}

/// Makes groups durable, one at a time.
async fn append(
    log: Arc<dyn EventLog>,
    mut appends: mpsc::Receiver<Append>,
    wakes: mpsc::Sender<Wake<ReplyTo>>,
) {
    while let Some((expected, commits, again)) = appends.recv().await {
        if again {
            tokio::time::sleep(APPEND_PAUSE).await;
        }
        let started = std::time::Instant::now();
        let outcome = log.append(expected, &commits).await;
        let elapsed = started.elapsed();
        metrics::histogram!("skylink_append_seconds").record(elapsed.as_secs_f64());
        tracing::debug!(commits = commits.len(), elapsed_us = elapsed.as_micros() as u64, "appended");
        let wake = match outcome {
            Ok(()) => Wake::Appended,
            Err(AppendError::Conflict { .. }) => Wake::AppendConflict,
            Err(error @ AppendError::Unknown(_)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the append is tried again");
                Wake::AppendUnknown
            }
            Err(error @ AppendError::Failed(_)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the market stops");
                Wake::Failed(chain_of(&error))
            }
        };
        if wakes.send(wake).await.is_err() {
            return;
        }
    }
}

/// Writes an error with its causes in one line.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

struct Writer {
    processor: Processor<ReplyTo>,
    runtime: Handle,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    keys: Arc<KeyRing>,
    index: Index,
    wakes_in: mpsc::WeakSender<Wake<ReplyTo>>,
    appends: mpsc::Sender<Append>,
    answers: mpsc::Sender<Durable>,
    status: watch::Sender<Status>,
    timer: Option<tokio::task::JoinHandle<()>>,
    stopped: bool,
    answerer_lost: bool,
}

impl Writer {
    fn run(mut self, actions: Vec<Action<ReplyTo>>, mut wakes: mpsc::Receiver<Wake<ReplyTo>>) {
        self.perform(actions);
        let mut batch = Vec::with_capacity(WAKES_MAX);
        // When the writer has stopped, its thread ends: whoever still waits for it sees the channel closed.
        while !self.stopped && wakes.blocking_recv_many(&mut batch, WAKES_MAX) > 0 {
            let now = self.clock.now();
            // Commands that arrived together are decided together.
            let mut arrived = Vec::new();
            for wake in batch.drain(..) {
                match wake {
                    Wake::Commands(commands) => arrived.extend(commands),
                    other => {
                        let actions = self.processor.step(other, now);
                        self.perform(actions);
                    }
                }
            }
            if !arrived.is_empty() {
                let actions = self.processor.step(Wake::Commands(arrived), now);
                self.perform(actions);
            }
            if self.answerer_lost && !self.stopped {
                let cause = "the answerer ended badly; its last words are on standard error".to_owned();
                let actions = self.processor.step(Wake::Failed(cause), now);
                self.perform(actions);
            }
        }
    }

    fn perform(&mut self, actions: Vec<Action<ReplyTo>>) {
        for action in actions {
            match action {
                Action::Append(expected, commits) => self.send_append((expected, commits, false)),
                Action::AppendAgain(expected, commits) => self.send_append((expected, commits, true)),
                Action::Inspect(position) => self.inspect(position),
                Action::Durable(commits, answers) => {
                    if let Some(last) = commits.last() {
                        metrics::histogram!("skylink_group_commits").record(commits.len() as f64);
                        self.status.send_replace(Status::Writing(last.head()));
                    }
                    self.send_answers(commits, answers);
                }
                Action::Answer(reply, answer) => self.send_answers(Vec::new(), vec![(reply, answer)]),
                Action::LookUp(number, question) => self.look_up(number, question),
                Action::KeyRegistered(key) => {
                    self.keys.add(&key).expect("a key is checked when its registration is read");
                }
                Action::WakeAt(due) => self.wake_at(due),
                Action::Stop(reason) => {
                    tracing::info!(%reason, "the writer stops");
                    self.stopped = true;
                    self.status.send_replace(Status::Stopped(reason));
                }
            }
        }
    }

    fn send_append(&self, append: Append) {
        self.appends.try_send(append).expect("one append is under way at a time, and its task lives as long");
    }

    fn send_answers(&mut self, commits: Vec<Arc<Commit>>, answers: Vec<(ReplyTo, Answer)>) {
        // It ends before this thread only if a receipt did not hold: then nothing more may be decided.
        self.answerer_lost |= self.answers.blocking_send((commits, answers)).is_err();
    }

    /// Reads what stands where the append under way should stand.
    fn inspect(&self, position: u64) {
        let (log, wakes) = (Arc::clone(&self.log), self.wakes_in.clone());
        self.runtime.spawn(async move {
            let mut tries = 0;
            let wake = loop {
                match log.read(position).next().await {
                    None | Some(Err(ReadError::Beyond { .. })) => break Wake::Inspected(None),
                    Some(Ok(commit)) => break Wake::Inspected(Some(commit)),
                    Some(Err(ReadError::Unavailable(_))) if tries < INSPECTIONS_MAX => {
                        tries += 1;
                        tokio::time::sleep(APPEND_PAUSE).await;
                    }
                    Some(Err(error)) => break Wake::Failed(chain_of(&error)),
                }
            };
            if let Some(wakes) = wakes.upgrade() {
                // A writer that has ended needs no answer.
                let _ = wakes.send(wake).await;
            }
        });
    }

    fn look_up(&self, number: u64, question: Question) {
        let (index, wakes) = (self.index.clone(), self.wakes_in.clone());
        self.runtime.spawn(async move {
            let covered = tokio::time::timeout(LOOK_UP_TIME_MAX, index.wait_for(question.covering)).await;
            let wake = match covered {
                Err(_) => Wake::FactsMissing(number),
                Ok(()) => match tokio::task::spawn_blocking(move || index.look_up(&question)).await {
                    Ok(Ok(facts)) => Wake::Facts(number, facts),
                    Ok(Err(error)) => Wake::Failed(chain_of(&error)),
                    Err(_) => Wake::FactsMissing(number),
                },
            };
            if let Some(wakes) = wakes.upgrade() {
                // A writer that has ended needs no answer.
                let _ = wakes.send(wake).await;
            }
        });
    }

    fn wake_at(&mut self, due: Timestamp) {
        if let Some(earlier) = self.timer.take() {
            earlier.abort();
        }
        let wait = Duration::from_millis(u64::try_from(due.ms_since(self.clock.now())).unwrap_or(0));
        let wakes = self.wakes_in.clone();
        self.timer = Some(self.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(wakes) = wakes.upgrade() {
                // A writer that has ended needs no waking.
                let _ = wakes.send(Wake::Tick).await;
            }
        }));
    }
}
