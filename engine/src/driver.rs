//! Performs what the processor says: the tokio side of a market's writer.
//!
//! A request goes: [`crate::ingress`] checks its signature, the *writer* thread steps the processor, the *appender*
//! makes groups durable, and the *answerer* signs receipts and replies. Before all that an engine stands by, in
//! [`crate::standby`].

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use commands::payment::{Effect, EffectId};
use commands::preview::{Asked, Preview, preview};
use commands::{Market, Question, Refusal};
use events::ids::{AccountId, CommandId};
use events::{Commit, Head, Position, Timestamp, with_causes};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::answerer::{self, Answers, Durable};
use crate::appender::{self, APPEND_PAUSE, ToLog};
use crate::clock::{Clock, ClockGuard};
use crate::drained::Drained;
use crate::index::{Index, IndexError};
use crate::ingress::{self, Beside, Checker, Reply, ReplyTo, Request};
use crate::keys::KeyRing;
use crate::log::{EventLog, ReadError};
use crate::market_keys::LiveKeys;
use crate::pace::{Answered, Pace};
use crate::passwords::Passwords;
use crate::processor::{Action, Answer, Processor, StopReason, Wake};
use crate::secrets::Secrets;
use crate::standby::{EngineConfig, Prepared, Standby, StartError};
use crate::tree::TreeReader;

/// Most wakes that wait for the writer; verified commands come in batches.
pub(crate) const WAKES_MAX: usize = 256;
/// Most groups whose answers wait to be signed and sent.
const ANSWERS_MAX: usize = 64;
/// Most previews of purchases that are asked for at once; one more is not told.
pub const PREVIEWS_AT_ONCE_MAX: usize = 64;
/// How long the index may take to answer.
const LOOK_UP_TIME_MAX: Duration = Duration::from_secs(2);
/// How often a conflict is inspected while the log can't be reached, with a pause between.
const INSPECTIONS_MAX: u32 = 600;
/// How often the writer looks at its clock, at least: so soon it is said that the clock has jumped, or is back.
const CLOCK_LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// How an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It follows the log, up to this head, and does not write.
    StandingBy(Head),
    /// It writes; the log is durable up to this head.
    Writing(Head),
    /// It decides nothing, since its clock has jumped: an operator corrects the clock or, if it is right, restarts.
    ClockDoubted {
        /// The log is durable up to this head.
        head: Head,
        /// How far ahead the clock stands, in ms.
        ahead_ms: i64,
    },
    /// It ended.
    Stopped(StopReason),
}

impl Status {
    /// Gives how far the log is known to be durable; nothing of an engine that has ended.
    pub fn head(&self) -> Option<Head> {
        match self {
            Status::StandingBy(head) | Status::Writing(head) | Status::ClockDoubted { head, .. } => {
                Some(*head)
            }
            Status::Stopped(_) => None,
        }
    }
}

/// What is said to the writer.
pub(crate) enum ToWriter {
    /// A reason to wake.
    Wake(Wake<ReplyTo>),
    /// Look at the clock, and say when that is done.
    Look(oneshot::Sender<()>),
    /// Say what a purchase of an account's cart would be.
    Preview(AccountId, Asked, oneshot::Sender<Previewed>),
}

/// What a purchase of a cart would be.
#[derive(Debug, Clone)]
pub struct Previewed {
    /// The log is durable at least up to here, and what was found is true of a market that has decided this far.
    pub position: Position,
    /// The purchase; none if the account has no cart.
    pub found: Option<Preview>,
}

impl From<Wake<ReplyTo>> for ToWriter {
    fn from(wake: Wake<ReplyTo>) -> Self {
        ToWriter::Wake(wake)
    }
}

/// A running writer of a market.
pub struct Engine {
    handle: EngineHandle,
    writer: JoinHandle<()>,
    answerer: tokio::task::JoinHandle<()>,
    keeper: JoinHandle<()>,
    stop_keeper: watch::Sender<bool>,
    taken_behind: u64,
    begun: (Head, Vec<(EffectId, Effect)>),
}

/// What others ask the engine through; it may be cloned freely.
#[derive(Clone)]
pub struct EngineHandle {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) wakes: mpsc::Sender<ToWriter>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) live: Arc<LiveKeys>,
    pub(crate) index: Index,
    pub(crate) tree: TreeReader,
    pub(crate) answers: Answers,
    pub(crate) previews: Arc<Semaphore>,
    pub(crate) pace: Arc<Pace>,
}

impl Engine {
    /// Starts to write at once: stands by and takes the market over. Must be called inside a tokio runtime.
    pub async fn start(
        prepared: Prepared,
        config: EngineConfig,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine, StartError> {
        Standby::start(prepared, config, log, clock).await?.take_over().await
    }

    /// Begins to write behind a folded log, and waits until the first append is durable: only then is the market taken.
    pub(crate) async fn write(begin: Begin) -> Result<Engine, StartError> {
        let Begin { standby, market, head, taken_behind } = begin;
        let Standby { writer: config, verify_threads, vault, log, clock, mut guard, handle, .. } = standby;
        let Standby { status, wakes, requests, keeper, stop_keeper, .. } = standby;
        let (answers_in, answers_out) = mpsc::channel(ANSWERS_MAX);
        // Without it nothing more may be decided: it ends badly only if a receipt did not hold.
        let answering = tokio::spawn(answerer::run(handle.answers.clone(), answers_out));
        let answerer = tokio::spawn(appender::stop_with(answering, "the answerer", handle.wakes.downgrade()));
        let (to_log, wishes) = mpsc::channel(appender::WISHES_MAX);
        let wakes_in = &handle.wakes;
        appender::spawn(Arc::clone(&log), wishes, &handle.pace, wakes_in);
        appender::watch_for_others(&log, head, config.writer, wakes_in);
        tokio::spawn(look_regularly(wakes_in.downgrade()));
        let checker = Checker {
            market: config.market.clone(),
            keys: Arc::clone(&handle.keys),
            secrets: Arc::clone(&handle.secrets),
            vault,
            passwords: Arc::clone(&handle.passwords),
            clock: Arc::clone(&clock),
            pace: Arc::clone(&handle.pace),
        };
        ingress::spawn(verify_threads, &checker, requests, wakes_in);

        let begun = (head, market.effects());
        let now = guard.look(clock.as_ref()).now;
        let (processor, actions) = Processor::start(market, head, config, log.prepares(), now);
        let writer = Writer {
            processor,
            runtime: Handle::current(),
            log,
            clock,
            guard,
            ahead_ms: None,
            durable: None,
            keys: Arc::clone(&handle.keys),
            index: handle.index.clone(),
            wakes_in: wakes_in.downgrade(),
            to_log,
            answers: answers_in,
            status,
            timer: None,
            stopped: false,
        };
        let writer = thread::Builder::new()
            .name("writer".into())
            .spawn(move || writer.run(actions, Drained::new(wakes)))
            .expect("a thread can be started at start-up");
        let engine = Engine { handle, writer, answerer, keeper, stop_keeper, taken_behind, begun };
        engine.wait_until_started().await?;
        Ok(engine)
    }

    async fn wait_until_started(&self) -> Result<(), StartError> {
        let mut status = self.handle.status();
        let started = |status: &Status| !matches!(status, Status::StandingBy(_));
        match status.wait_for(started).await.as_deref() {
            Ok(Status::Stopped(reason)) => Err(StartError::Stopped(reason.clone())),
            Ok(_) => Ok(()),
            Err(_) => Err(StartError::Stopped(writer_lost())),
        }
    }

    /// Tells how many events were left to be folded when this engine was told to take the market over.
    pub fn taken_behind(&self) -> u64 {
        self.taken_behind
    }

    /// Gives what providers had been asked for and had not answered when this engine took the market over, and up to
    /// where in the log that is.
    pub fn begun(&self) -> (Head, Vec<(EffectId, Effect)>) {
        self.begun.clone()
    }

    /// Gives what others ask the engine through.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// Decides nothing more, makes durable what is decided, answers it, writes a snapshot and ends. Returns why the
    /// engine ended, which may have been earlier and for another reason.
    pub async fn shutdown(self) -> StopReason {
        // If the writer has ended, its status says so.
        let _ = self.handle.wakes.send(Wake::Shutdown.into()).await;
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
        self.submit_with(bytes, arrived_as, Beside { traceparent, ..Beside::default() }).await
    }

    /// Hands in a signed command with what comes beside it, and waits for its reply, as [`EngineHandle::submit`] does.
    pub async fn submit_with(&self, bytes: Bytes, arrived_as: Option<String>, beside: Beside) -> Reply {
        match self.enqueue_with(bytes, arrived_as, beside) {
            Ok(reply) => reply.await.unwrap_or(Reply::Undecided),
            Err(reply) => reply,
        }
    }

    /// Hands in a signed command; the reply comes through the channel. At once, if there is no room, or if this engine
    /// only stands by.
    pub fn enqueue(
        &self,
        bytes: Bytes,
        arrived_as: Option<String>,
        traceparent: Option<String>,
    ) -> Result<oneshot::Receiver<Reply>, Reply> {
        self.enqueue_with(bytes, arrived_as, Beside { traceparent, ..Beside::default() })
    }

    /// Hands in a signed command with what comes beside it, as [`EngineHandle::enqueue`] does.
    pub fn enqueue_with(
        &self,
        bytes: Bytes,
        arrived_as: Option<String>,
        beside: Beside,
    ) -> Result<oneshot::Receiver<Reply>, Reply> {
        if matches!(*self.status.borrow(), Status::StandingBy(_)) {
            return Err(Reply::Refused(Refusal::Busy));
        }
        // Before anything is checked, so that whoever floods a market costs it little.
        if let Some(Err(refusal)) = beside.rates.as_ref().map(|rates| rates.check(&bytes)) {
            metrics::counter!("skylink_refusals_total", "code" => refusal.code()).increment(1);
            return Err(Reply::Refused(refusal));
        }
        let (reply, replied) = oneshot::channel();
        match self.requests.try_send(Request { bytes, arrived_as, beside, reply: ReplyTo::new(reply) }) {
            Ok(()) => Ok(replied),
            Err(mpsc::error::TrySendError::Full(request)) => {
                self.pace.answered(std::iter::once((Answered::Refused, request.reply.waited())));
                Err(Reply::Refused(Refusal::Busy))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Reply::Undecided),
        }
    }

    /// Finds the receipt of a command that was decided and is durable.
    pub async fn receipt(&self, account: AccountId, command: CommandId) -> Result<Option<Reply>, IndexError> {
        let durable = self.status.borrow().head().unwrap_or_else(|| self.index.covered()).position;
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

    /// Asks the writer what a purchase of an account's cart would be, decided by the same validators and without any
    /// effect. `None`: it can't tell now, since it stands by, ends, or is asked by too many.
    pub async fn preview(&self, account: AccountId, asked: Asked) -> Option<Previewed> {
        if matches!(*self.status.borrow(), Status::StandingBy(_)) {
            return None;
        }
        let _place = self.previews.try_acquire().ok()?;
        let (reply, replied) = oneshot::channel();
        self.wakes.send(ToWriter::Preview(account, asked, reply)).await.ok()?;
        let previewed = replied.await.ok()?;
        // The writer's state may be ahead of what is durable: what depends on it is not told before that is.
        let mut status = self.status();
        let told = status.wait_for(|status| match status {
            Status::Writing(head) | Status::ClockDoubted { head, .. } => head.position >= previewed.position,
            Status::Stopped(_) => true,
            Status::StandingBy(_) => false,
        });
        let is_durable = told.await.ok()?.head().is_some();
        is_durable.then_some(previewed)
    }

    /// Lets the writer look at its clock, after a clock that does not run by itself was moved. Returns when it has, and
    /// has decided what was due, as far as two groups hold it; whether that is durable its commits tell.
    pub async fn tick(&self) {
        let (done, is_done) = oneshot::channel();
        // A writer that has ended looks at no clock.
        if self.wakes.send(ToWriter::Look(done)).await.is_ok() {
            let _ = is_done.await;
        }
    }

    /// Gives what passwords are checked with.
    pub fn passwords(&self) -> &Arc<Passwords> {
        &self.passwords
    }

    /// Gives the secrets of people's apps.
    pub fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// Gives the keys that may sign.
    pub fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// Gives the market's own keys.
    pub fn market_keys(&self) -> &Arc<LiveKeys> {
        &self.live
    }

    /// Tells how fast the writer is.
    pub fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Gives what reads the tree over the log.
    pub fn tree(&self) -> &TreeReader {
        &self.tree
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

/// What an engine begins to write with.
pub(crate) struct Begin {
    pub(crate) standby: Standby,
    pub(crate) market: Market,
    pub(crate) head: Head,
    pub(crate) taken_behind: u64,
}

/// Wakes the writer now and then, so that it sees a clock that jumps while nothing else happens.
async fn look_regularly(wakes: mpsc::WeakSender<ToWriter>) {
    loop {
        tokio::time::sleep(CLOCK_LOOK_INTERVAL).await;
        let Some(wakes) = wakes.upgrade() else { return };
        if wakes.send(Wake::Tick.into()).await.is_err() {
            return;
        }
    }
}

/// Waits for a thread without blocking the runtime.
async fn join(thread: JoinHandle<()>) -> Result<thread::Result<()>, tokio::task::JoinError> {
    tokio::task::spawn_blocking(move || thread.join()).await
}

pub(crate) fn writer_lost() -> StopReason {
    StopReason::Failed("the writer's thread ended badly; its last words are on standard error".into())
}

struct Writer {
    processor: Processor<ReplyTo>,
    runtime: Handle,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    guard: ClockGuard,
    /// How far the clock has jumped ahead, while it is doubted.
    ahead_ms: Option<i64>,
    /// The last head that this writer has made durable.
    durable: Option<Head>,
    keys: Arc<KeyRing>,
    index: Index,
    wakes_in: mpsc::WeakSender<ToWriter>,
    to_log: mpsc::Sender<ToLog>,
    answers: mpsc::Sender<Durable>,
    status: watch::Sender<Status>,
    timer: Option<tokio::task::JoinHandle<()>>,
    stopped: bool,
}

impl Writer {
    fn run(mut self, actions: Vec<Action<ReplyTo>>, mut wakes: Drained<ToWriter>) {
        self.perform(actions);
        let mut batch = Vec::with_capacity(WAKES_MAX);
        // When the writer has stopped, its thread ends: whoever still waits for it sees the channel closed.
        while !self.stopped && wakes.recv_many(&mut batch, WAKES_MAX) > 0 {
            let now = self.look_at_clock();
            // Commands that arrived together are decided together.
            let (mut arrived, mut looks) = (Vec::new(), Vec::new());
            for said in batch.drain(..) {
                match said {
                    ToWriter::Wake(Wake::Commands(commands)) => arrived.extend(commands),
                    ToWriter::Wake(other) => self.step(other, now),
                    ToWriter::Look(done) => {
                        self.step(Wake::Tick, now);
                        looks.push(done);
                    }
                    ToWriter::Preview(account, asked, reply) => {
                        let position = self.processor.head().position;
                        let found = preview(self.processor.market(), account, &asked, now);
                        // Whoever asked may be gone.
                        let _ = reply.send(Previewed { position, found });
                    }
                }
            }
            if !arrived.is_empty() {
                self.step(Wake::Commands(arrived), now);
            }
            for done in looks {
                // Whoever asked may be gone.
                let _ = done.send(());
            }
        }
    }

    fn step(&mut self, wake: Wake<ReplyTo>, now: Timestamp) {
        let mut wake = Some(wake);
        while let Some(reason) = wake.take() {
            let actions = self.processor.step(reason, now);
            wake = self.perform(actions).then_some(Wake::GoOn);
        }
    }

    /// Gives the time to decide by, and lets nothing be decided while the clock is doubted.
    fn look_at_clock(&mut self) -> Timestamp {
        let judged = self.guard.look(self.clock.as_ref());
        match (self.ahead_ms, judged.ahead_ms) {
            (None, Some(ahead_ms)) => {
                tracing::error!(
                    ahead_ms,
                    "the clock has jumped ahead: nothing is decided until it is corrected or, if it is right, this process \
                     is restarted"
                );
                self.step(Wake::ClockJumped, judged.now);
            }
            (Some(_), None) => {
                tracing::info!("the clock is back where it should be: the market goes on");
                self.step(Wake::ClockBack, judged.now);
            }
            _ => {}
        }
        if self.ahead_ms != judged.ahead_ms {
            self.ahead_ms = judged.ahead_ms;
            self.tell_status();
        }
        judged.now
    }

    /// Tells how the engine is, from its first append until its end.
    fn tell_status(&self) {
        let Some(head) = self.durable else { return };
        let now = match self.ahead_ms {
            None => Status::Writing(head),
            Some(ahead_ms) => Status::ClockDoubted { head, ahead_ms },
        };
        self.status.send_if_modified(|status| {
            let is_over = matches!(status, Status::Stopped(_));
            if !is_over {
                *status = now;
            }
            !is_over
        });
    }

    /// Does what the processor wants, and tells whether it wants to go on then.
    fn perform(&mut self, actions: Vec<Action<ReplyTo>>) -> bool {
        let mut goes_on = false;
        for action in actions {
            match action {
                Action::Prepare(expected, commits) => self.wish(ToLog::Prepare(expected, commits)),
                Action::Append(expected, commits) => self.wish(ToLog::Append(expected, commits)),
                Action::AppendAgain(expected, commits) => self.wish(ToLog::AppendAgain(expected, commits)),
                Action::Inspect(position) => self.inspect(position),
                Action::Durable(commits, answers) => {
                    if let Some(last) = commits.last() {
                        metrics::histogram!("skylink_group_commits").record(commits.len() as f64);
                        self.durable = Some(last.head());
                        self.tell_status();
                    }
                    self.send_answers(commits, answers);
                }
                Action::Answer(reply, answer) => self.send_answers(Vec::new(), vec![(reply, answer)]),
                Action::LookUp(number, question) => self.look_up(number, question),
                Action::KeyRegistered(account, key) => {
                    self.keys.add(account, &key).expect("a key is checked when its registration is read");
                }
                Action::WakeAt(due) => self.wake_at(due),
                Action::GoOn => goes_on = true,
                Action::Stop(reason) => {
                    tracing::info!(%reason, "the writer stops");
                    self.stopped = true;
                    self.status.send_replace(Status::Stopped(reason));
                }
            }
        }
        goes_on
    }

    fn wish(&self, wish: ToLog) {
        self.to_log
            .try_send(wish)
            .expect("one append and one preparation are under way at a time, and their task lives as long");
    }

    fn send_answers(&self, commits: Vec<Arc<Commit>>, answers: Vec<(ReplyTo, Answer)>) {
        // An answerer that has ended badly is about to stop this writer; who waits for it sees the channel closed.
        let _ = self.answers.blocking_send((commits, answers));
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
                    Some(Err(error)) => break Wake::Failed(with_causes(&error)),
                }
            };
            if let Some(wakes) = wakes.upgrade() {
                // A writer that has ended needs no answer.
                let _ = wakes.send(wake.into()).await;
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
                    Ok(Err(error)) => Wake::Failed(with_causes(&error)),
                    Err(_) => Wake::FactsMissing(number),
                },
            };
            if let Some(wakes) = wakes.upgrade() {
                // A writer that has ended needs no answer.
                let _ = wakes.send(wake.into()).await;
            }
        });
    }

    fn wake_at(&mut self, due: Timestamp) {
        if let Some(earlier) = self.timer.take() {
            earlier.abort();
        }
        let now = self.guard.look(self.clock.as_ref()).now;
        let wait = self.clock.wait_for(u64::try_from(due.ms_since(now)).unwrap_or(0));
        let wakes = self.wakes_in.clone();
        self.timer = Some(self.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(wakes) = wakes.upgrade() {
                // A writer that has ended needs no waking.
                let _ = wakes.send(Wake::Tick.into()).await;
            }
        }));
    }
}
