//! The writer of a market as a state machine without I/O.
//!
//! [`Processor::step`] takes one reason to wake and the time, and gives actions as data; it waits for nothing and
//! touches nothing. The tokio driver in [`crate::driver`] performs the actions, the simulation in `tests/` is
//! another driver. One append is under way at a time. While it is, the next group is decided against the state that
//! already includes it, and announced to a log that prepares; so every answer is held back until everything it depends
//! on is durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use commands::step_up;
use commands::{
    Break, DEADLINE_EVENTS_MAX, Decision, Facts, Market, Question, Refusal, Verified, decide, decide_deadline,
};
use events::account::PublicKey;
use events::commit::Seal;
use events::ids::{AccountId, CommitId, MarketName, WriterId};
use events::market::{Opened, WriterStarted};
use events::metadata::{Cause, DeadlineStamp, EVENTS_PER_COMMIT_MAX};
use events::{Commit, Event, Head, Position, Timestamp};

use crate::log::EVENTS_PER_APPEND_MAX;

/// Most commands that wait to be decided; one more is answered `busy`.
pub const WAITING_MAX: usize = 16_384;
/// Most commands that wait for a look-up in the index; one more is answered `busy`.
pub const PARKED_MAX: usize = 1_024;
/// How often a command asks the index before it is answered `busy`.
pub const LOOK_UPS_MAX: u32 = 3;
/// Most deadlines decided in one step, so that commands are never kept waiting by them.
pub const DEADLINES_PER_STEP_MAX: usize = 100;
/// How long after its start a writer decides no deadline: commands that were sent while nobody wrote come first.
pub const DEADLINES_GRACE_MS: i64 = 5_000;
/// How long the same append is tried again while its outcome is unknown; afterwards the writer stops.
pub const UNKNOWN_MS_MAX: i64 = 600_000;

// A group holds at least one commit, however large.
const _: () = assert!(EVENTS_PER_COMMIT_MAX <= EVENTS_PER_APPEND_MAX);

/// A verified command and `T`, whatever the driver needs to answer it.
#[derive(Debug)]
pub struct Incoming<T> {
    /// The command.
    pub verified: Verified,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// Comes back with the answer.
    pub reply: T,
}

/// Every reason for the writer to wake.
#[derive(Debug)]
pub enum Wake<T> {
    /// Commands whose signatures hold, in the order they arrived.
    Commands(Vec<Incoming<T>>),
    /// The log is ready for the append that was announced, or as ready as it will be.
    Prepared,
    /// The append under way is durable.
    Appended,
    /// Whether the append under way was stored is not known.
    AppendUnknown,
    /// The log did not end where the append expected.
    AppendConflict,
    /// The log can't be written any more, or the index can't be kept.
    Failed(String),
    /// What stands where the append under way should stand; none: nothing does.
    Inspected(Option<Arc<Commit>>),
    /// The index has answered the look-up with this number.
    Facts(u64, Facts),
    /// The index could not answer the look-up with this number in time.
    FactsMissing(u64),
    /// Time has passed.
    Tick,
    /// The actions before [`Action::GoOn`] are performed.
    GoOn,
    /// Another writer has begun behind everything that this one has made durable.
    Replaced {
        /// Its number.
        epoch: u64,
    },
    /// The clock has jumped too far ahead to be believed. The time that comes with this and later wakes is what it should
    /// be; but nothing is decided by it, since the jump may be right.
    ClockJumped,
    /// The clock is believed again.
    ClockBack,
    /// Decide nothing more; stop when what is under way is known.
    Shutdown,
}

/// What the driver has to do.
#[derive(Debug)]
pub enum Action<T> {
    /// Prepare the log for an append behind this head that begins with these commits; wake when that is done.
    Prepare(Head, Vec<Arc<Commit>>),
    /// Append these commits behind this head; wake with the outcome.
    Append(Head, Vec<Arc<Commit>>),
    /// The same once more after a pause; wake with the outcome.
    AppendAgain(Head, Vec<Arc<Commit>>),
    /// Read the commit at this position; wake with it.
    Inspect(Position),
    /// A group is durable: its commits, and what can be answered now.
    Durable(Vec<Arc<Commit>>, Vec<(T, Answer)>),
    /// Answer now: nothing undurable was seen.
    Answer(T, Answer),
    /// Ask the index; wake with the answer and this number.
    LookUp(u64, Question),
    /// A key may sign from now on.
    KeyRegistered(AccountId, PublicKey),
    /// Wake at this time, at the latest.
    WakeAt(Timestamp),
    /// Wake at once, when what came before is performed: commands wait, and an append is not to wait for their decision.
    GoOn,
    /// Nothing more will be decided.
    Stop(StopReason),
}

/// What becomes of a command, for whoever asked.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It was decided; this is its durable commit.
    Decided(Arc<Commit>),
    /// It had been decided before; its durable commit begins here.
    Repeat(Position),
    /// It was not taken.
    Refused(Refusal),
    /// Not known here: the writer stops. Whoever asked asks again, with the same command id.
    Undecided,
}

/// Why a writer ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// It was asked to.
    #[error("it was asked to")]
    Shutdown,
    /// Another writer has taken the market.
    #[error("another engine writes this market now{}", epoch.map(|epoch| format!(", its epoch is {epoch}")).unwrap_or_default())]
    Fenced {
        /// The number of the other writer, if its first event was read.
        epoch: Option<u64>,
    },
    /// The log can't be written any more, or the index can't be kept.
    #[error("{0}")]
    Failed(String),
    /// The log ends before what was durable: it was restored or truncated under a running writer.
    #[error("the log is shorter than what was durable: it was restored or truncated while the engine ran")]
    LogShortened,
    /// A decision would have broken a promise about money. Nothing of it was written.
    #[error(
        "{decision} would break the books: {what}. Nothing of it was written. Keep the log as it is, look at it with \
         `skylink ledger check`, and start the market again only with a program in which this is mended"
    )]
    Unbalanced {
        /// What was decided.
        decision: String,
        /// What would be broken.
        what: Break,
    },
    /// The outcome of an append stayed unknown too long.
    #[error("the log did not answer for {} s: restart when it can be reached", UNKNOWN_MS_MAX / 1000)]
    LogUnreachable,
}

/// Commits that are appended together, and the answers that wait for them.
#[derive(Debug)]
struct Group<T> {
    expected: Head,
    commits: Vec<Arc<Commit>>,
    events: usize,
    answers: Vec<(T, Answer)>,
}

impl<T> Group<T> {
    fn new(expected: Head) -> Self {
        Group { expected, commits: Vec::new(), events: 0, answers: Vec::new() }
    }
}

#[derive(Debug)]
struct InFlight<T> {
    group: Group<T>,
    /// Since when its outcome is unknown.
    unknown_since: Option<Timestamp>,
}

/// How far the log is with preparing for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preparation {
    NotAsked,
    UnderWay,
    Done,
}

/// Who writes, and how an empty log is opened.
#[derive(Debug, Clone)]
pub struct WriterConfig {
    /// The market.
    pub market: MarketName,
    /// This run of the process; never used twice.
    pub writer: WriterId,
    /// The program's version.
    pub version: String,
    /// How the market is opened if its log is empty.
    pub opened: Opened,
}

/// The writer.
#[derive(Debug)]
pub struct Processor<T> {
    market: Market,
    /// The head behind everything decided, durable or not.
    head: Head,
    name: MarketName,
    writer: WriterId,
    waiting: VecDeque<Incoming<T>>,
    parked: BTreeMap<u64, (Incoming<T>, u32)>,
    next_look_up: u64,
    forming: Group<T>,
    /// Of the group that forms, which grows meanwhile.
    preparation: Preparation,
    prepares: bool,
    in_flight: Option<InFlight<T>>,
    deadlines_from: Timestamp,
    next_wake: Option<Timestamp>,
    /// Commands that have arrived, and those of them that no longer wait.
    arrived: u64,
    taken: u64,
    /// Deadlines are due: they are decided when as many commands were taken as had arrived when it was noticed.
    due_behind: Option<u64>,
    clock_doubted: bool,
    shutting_down: bool,
    stopped: bool,
}

impl<T> Processor<T> {
    /// Begins to write behind `head`, whose fold is `market`. Its first append is `market.writer_started`. `prepares`
    /// says whether appends are announced to the log: see [`crate::log::EventLog::prepares`].
    pub fn start(
        market: Market,
        head: Head,
        config: WriterConfig,
        prepares: bool,
        now: Timestamp,
    ) -> (Self, Vec<Action<T>>) {
        assert!(market.position == head.position, "the state is that of the log's head");
        let WriterConfig { market: name, writer, version, opened } = config;
        let is_new = market.opened.is_none();
        let epoch = market.epoch + 1;
        let mut processor = Processor {
            market,
            head,
            name,
            writer,
            waiting: VecDeque::new(),
            parked: BTreeMap::new(),
            next_look_up: 0,
            forming: Group::new(head),
            preparation: Preparation::NotAsked,
            prepares,
            in_flight: None,
            deadlines_from: now.plus_ms(DEADLINES_GRACE_MS),
            next_wake: None,
            arrived: 0,
            taken: 0,
            due_behind: None,
            clock_doubted: false,
            shutting_down: false,
            stopped: false,
        };
        let now = processor.clamp(now);
        let started = WriterStarted { epoch, version, writer };
        let mut events: Vec<Event> = Vec::new();
        if is_new {
            events.push(opened.into());
        }
        events.push(started.into());
        let mut actions = Vec::new();
        let begun = processor.commit(Cause::Writer(writer), None, events, now, &mut actions);
        begun.expect("a writer's start moves no money");
        processor.send(&mut actions);
        (processor, actions)
    }

    /// Gives the state behind everything decided, durable or not.
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// Gives the head behind everything decided, durable or not.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Wakes the writer. `now` may go back; the market's time does not.
    pub fn step(&mut self, wake: Wake<T>, now: Timestamp) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        if self.stopped {
            if let Wake::Commands(late) = wake {
                actions.extend(late.into_iter().map(|late| Action::Answer(late.reply, Answer::Undecided)));
            }
            return actions;
        }
        let now = self.clamp(now);
        match wake {
            Wake::Commands(arrived) => self.arrive(arrived, &mut actions),
            Wake::Prepared => {
                assert!(
                    self.preparation == Preparation::UnderWay,
                    "the log is prepared only for what was announced"
                );
                self.preparation = Preparation::Done;
            }
            Wake::Appended => self.durable(&mut actions),
            Wake::AppendUnknown => self.unknown(now, &mut actions),
            Wake::AppendConflict => {
                let position = self.under_way().group.expected.position + 1;
                actions.push(Action::Inspect(position));
            }
            Wake::Failed(cause) => self.stop(StopReason::Failed(cause), &mut actions),
            Wake::Inspected(found) => self.inspected(found, &mut actions),
            Wake::Facts(number, facts) => self.answered(number, Some(&facts), now, &mut actions),
            Wake::FactsMissing(number) => self.answered(number, None, now, &mut actions),
            Wake::Tick => self.next_wake = None,
            Wake::GoOn => {}
            Wake::Replaced { epoch } => self.stop(StopReason::Fenced { epoch: Some(epoch) }, &mut actions),
            Wake::ClockJumped => self.doubt_clock(&mut actions),
            Wake::ClockBack => self.clock_doubted = false,
            Wake::Shutdown => self.shutting_down = true,
        }
        self.work(now, &mut actions);
        actions
    }

    fn clamp(&self, now: Timestamp) -> Timestamp {
        now.max(self.market.time)
    }

    fn under_way(&self) -> &InFlight<T> {
        self.in_flight
            .as_ref()
            .expect("the driver wakes with an append's outcome only while one is under way")
    }

    fn arrive(&mut self, arrived: Vec<Incoming<T>>, actions: &mut Vec<Action<T>>) {
        for incoming in arrived {
            if self.shutting_down {
                actions.push(Action::Answer(incoming.reply, Answer::Undecided));
            } else if self.clock_doubted || self.waiting.len() >= WAITING_MAX {
                actions.push(Action::Answer(incoming.reply, Answer::Refused(Refusal::Busy)));
            } else {
                self.arrived += 1;
                self.waiting.push_back(incoming);
            }
        }
    }

    /// Refuses what waits: no command can be decided, and no deadline, while nobody knows the time.
    fn doubt_clock(&mut self, actions: &mut Vec<Action<T>>) {
        self.clock_doubted = true;
        self.taken += self.waiting.len() as u64;
        let waiting = self.waiting.drain(..);
        let parked = std::mem::take(&mut self.parked).into_values().map(|(incoming, _)| incoming);
        let refused = waiting.chain(parked);
        actions
            .extend(refused.map(|incoming| Action::Answer(incoming.reply, Answer::Refused(Refusal::Busy))));
    }

    /// Decides what waits as far as it fits one group, then the deadlines that are due, and sends the group if none
    /// is under way.
    fn work(&mut self, now: Timestamp, actions: &mut Vec<Action<T>>) {
        if self.stopped {
            return;
        }
        loop {
            if !self.shutting_down && !self.clock_doubted {
                self.decide_waiting(now, actions);
                self.decide_deadlines(now, actions);
            }
            if self.stopped {
                return;
            }
            if self.forming.commits.is_empty() || self.preparation == Preparation::UnderWay {
                break;
            }
            let could_begin = self.in_flight.is_none();
            // Who still waits found the group full. One that could begin and is full gains nothing from growing on; one that
            // has to wait is announced when it is full, since preparing may hold up the append under way for a moment.
            let is_full = !self.waiting.is_empty();
            if self.prepares && self.preparation == Preparation::NotAsked && could_begin != is_full {
                self.preparation = Preparation::UnderWay;
                actions.push(Action::Prepare(self.forming.expected, self.forming.commits.clone()));
                break;
            }
            if !could_begin {
                break;
            }
            self.send(actions);
            if !self.waiting.is_empty() {
                actions.push(Action::GoOn);
                break;
            }
        }
        if self.shutting_down {
            self.finish(actions);
        }
    }

    fn decide_waiting(&mut self, now: Timestamp, actions: &mut Vec<Action<T>>) {
        while let Some(next) = self.waiting.front()
            && self.has_room_for(&next.verified)
            && let Some(incoming) = self.waiting.pop_front()
        {
            self.taken += 1;
            self.decide(incoming, &Facts::default(), 0, now, actions);
        }
    }

    fn has_room_for(&self, verified: &Verified) -> bool {
        self.forming.events + verified.command.events_max(&self.market) <= EVENTS_PER_APPEND_MAX
    }

    fn decide(
        &mut self,
        mut incoming: Incoming<T>,
        facts: &Facts,
        look_ups: u32,
        now: Timestamp,
        actions: &mut Vec<Action<T>>,
    ) {
        step_up::settle(&self.market, &mut incoming.verified, now);
        match decide(&self.market, &incoming.verified, facts, now) {
            Decision::Commit(events) => {
                let cause = Cause::Command(Box::new(incoming.verified.stamp));
                match self.commit(cause, incoming.traceparent, events, now, actions) {
                    Some(commit) => self.forming.answers.push((incoming.reply, Answer::Decided(commit))),
                    None => actions.push(Action::Answer(incoming.reply, Answer::Undecided)),
                }
            }
            Decision::Repeat(position) => self.answer(incoming.reply, Answer::Repeat(position), actions),
            Decision::Refuse(refusal) => self.answer(incoming.reply, Answer::Refused(refusal), actions),
            Decision::Ask(_) if look_ups >= LOOK_UPS_MAX || self.parked.len() >= PARKED_MAX => {
                self.answer(incoming.reply, Answer::Refused(Refusal::Busy), actions);
            }
            Decision::Ask(question) => {
                let number = self.next_look_up;
                self.next_look_up += 1;
                self.parked.insert(number, (incoming, look_ups + 1));
                actions.push(Action::LookUp(number, question));
            }
        }
    }

    /// Answers when everything decided so far is durable: that is what the answer has seen.
    fn answer(&mut self, reply: T, answer: Answer, actions: &mut Vec<Action<T>>) {
        if !self.forming.commits.is_empty() {
            self.forming.answers.push((reply, answer));
        } else if let Some(in_flight) = &mut self.in_flight {
            in_flight.group.answers.push((reply, answer));
        } else {
            actions.push(Action::Answer(reply, answer));
        }
    }

    fn answered(&mut self, number: u64, facts: Option<&Facts>, now: Timestamp, actions: &mut Vec<Action<T>>) {
        if self.shutting_down {
            // What still waits is undecided, and is told so with the end.
            return;
        }
        let Some((incoming, look_ups)) = self.parked.remove(&number) else { return };
        match facts {
            Some(facts) if self.has_room_for(&incoming.verified) => {
                self.decide(incoming, facts, look_ups, now, actions);
            }
            // No index, no decision; nor can an answer wait for room, since the state it is about moves on.
            Some(_) | None => self.answer(incoming.reply, Answer::Refused(Refusal::Busy), actions),
        }
    }

    /// Decides deadlines that are due, but only behind all commands that had arrived by then: a buyer's late word is
    /// read before his time is up.
    fn decide_deadlines(&mut self, now: Timestamp, actions: &mut Vec<Action<T>>) {
        let Some(first) = self.market.next_deadline() else { return };
        let due = first.due.max(self.deadlines_from);
        if due > now {
            if self.next_wake.is_none_or(|wake| wake > due) {
                self.next_wake = Some(due);
                actions.push(Action::WakeAt(due));
            }
            return;
        }
        let behind = *self.due_behind.get_or_insert(self.arrived);
        if self.taken < behind {
            return;
        }
        self.due_behind = None;
        for _ in 0..DEADLINES_PER_STEP_MAX {
            let next = self.market.next_deadline().filter(|deadline| deadline.due <= now);
            // What does not fit follows when this group is durable, which wakes the writer.
            let Some(deadline) =
                next.filter(|_| self.forming.events + DEADLINE_EVENTS_MAX <= EVENTS_PER_APPEND_MAX)
            else {
                return;
            };
            let events = decide_deadline(&self.market, deadline, now);
            if self.commit(Cause::Deadline(deadline), None, events, now, actions).is_none() {
                return;
            }
        }
    }

    /// Seals events behind everything decided, folds them and adds them to the group that forms. If they would break a
    /// promise about money, the writer stops, and nothing of the group is written.
    fn commit(
        &mut self,
        cause: Cause,
        traceparent: Option<String>,
        events: Vec<Event>,
        now: Timestamp,
        actions: &mut Vec<Action<T>>,
    ) -> Option<Arc<Commit>> {
        if let Err(what) = self.market.check_conserved(&events) {
            self.stop_unbalanced(&cause, what, actions);
            return None;
        }
        let id = CommitId::derive(self.writer, self.head.position + 1, now);
        let seal = Seal { id, market: self.name.clone(), time: now, cause, traceparent };
        let commit = Arc::new(Commit::seal(self.head, seal, events));
        self.market.evolve_commit(&commit);
        let decided = commit.events().iter().map(|recorded| &recorded.event);
        if let Err(what) = self.market.check_counted(decided) {
            self.stop_unbalanced(&commit.start().cause, what, actions);
            return None;
        }
        let keys = commit.events().iter().filter_map(|recorded| recorded.event.registered_key());
        actions.extend(keys.map(|(account, key)| Action::KeyRegistered(account, *key)));
        self.head = commit.head();
        self.forming.events += commit.events().len();
        self.forming.commits.push(Arc::clone(&commit));
        Some(commit)
    }

    fn stop_unbalanced(&mut self, cause: &Cause, what: Break, actions: &mut Vec<Action<T>>) {
        let decision = match cause {
            Cause::Command(stamp) => {
                format!("{} (command {} of account {})", stamp.name, stamp.command, stamp.account)
            }
            Cause::Deadline(DeadlineStamp { due, waiting }) => {
                format!("the deadline {:?} of {}, due at {due}", waiting.kind(), waiting.subject())
            }
            Cause::Writer(writer) => format!("the start of writer {writer}"),
        };
        self.stop(StopReason::Unbalanced { decision, what }, actions);
    }

    fn send(&mut self, actions: &mut Vec<Action<T>>) {
        let group = std::mem::replace(&mut self.forming, Group::new(self.head));
        assert!(group.events <= EVENTS_PER_APPEND_MAX, "a group is cut at what one append can hold");
        self.preparation = Preparation::NotAsked;
        actions.push(Action::Append(group.expected, group.commits.clone()));
        self.in_flight = Some(InFlight { group, unknown_since: None });
    }

    fn durable(&mut self, actions: &mut Vec<Action<T>>) {
        let in_flight = self.in_flight.take().expect("an append becomes durable only while it is under way");
        actions.push(Action::Durable(in_flight.group.commits, in_flight.group.answers));
    }

    fn unknown(&mut self, now: Timestamp, actions: &mut Vec<Action<T>>) {
        let in_flight = self.in_flight.as_mut().expect("an append is unknown only while it is under way");
        let since = *in_flight.unknown_since.get_or_insert(now);
        if now.ms_since(since) > UNKNOWN_MS_MAX {
            self.stop(StopReason::LogUnreachable, actions);
        } else {
            actions.push(Action::AppendAgain(in_flight.group.expected, in_flight.group.commits.clone()));
        }
    }

    /// Learns who wrote behind the expected head: an earlier try of this writer, or another writer.
    fn inspected(&mut self, found: Option<Arc<Commit>>, actions: &mut Vec<Action<T>>) {
        let ours = &self.under_way().group.commits[0];
        match found {
            None => self.stop(StopReason::LogShortened, actions),
            // The hash names the content, and a group is stored whole or not at all.
            Some(found) if found.head() == ours.head() => self.durable(actions),
            Some(found) => {
                let epoch = found.events().iter().find_map(|recorded| match &recorded.event {
                    Event::WriterStarted(started) => Some(started.epoch),
                    _ => None,
                });
                self.stop(StopReason::Fenced { epoch }, actions);
            }
        }
    }

    /// Ends a shutdown once nothing is under way.
    fn finish(&mut self, actions: &mut Vec<Action<T>>) {
        if self.in_flight.is_none() && self.forming.commits.is_empty() {
            self.stop(StopReason::Shutdown, actions);
        }
    }

    fn stop(&mut self, reason: StopReason, actions: &mut Vec<Action<T>>) {
        let waiting = self.waiting.drain(..).map(|incoming| incoming.reply);
        let parked = std::mem::take(&mut self.parked).into_values().map(|(incoming, _)| incoming.reply);
        let in_flight = self.in_flight.take().map(|in_flight| in_flight.group.answers).unwrap_or_default();
        let forming = std::mem::take(&mut self.forming.answers);
        let undurable = in_flight.into_iter().chain(forming).map(|(reply, _)| reply);
        let undecided = waiting.chain(parked).chain(undurable);
        actions.extend(undecided.map(|reply| Action::Answer(reply, Answer::Undecided)));
        actions.push(Action::Stop(reason));
        self.stopped = true;
    }
}

#[cfg(test)]
mod tests;
