//! A process that writes the simulated market, and how what it wants is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use commands::{Market, Question};
use engine::log::EVENTS_PER_APPEND_MAX;
use engine::processor::{Action, Answer, DEADLINES_GRACE_MS, Processor, Wake};
use events::ids::WriterId;
use events::{Commit, Head, Position, Timestamp};
use uuid::Uuid;

use super::Simulation;
use super::world::config;

/// How far an append is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not arrived at the log.
    Sent,
    /// It is stored, the answer is on its way.
    Stored,
    /// The log did not end there; the answer is on its way.
    Conflict,
    /// Its answer is lost.
    Unknown,
    /// The log can't be written; the answer is on its way.
    Failed,
    /// The writer knows that its answer is lost.
    Known,
    /// The writer knows of the conflict and looks who wrote.
    Inspected,
}

pub(super) struct Append {
    pub(super) expected: Head,
    pub(super) commits: Vec<Arc<Commit>>,
    pub(super) stage: Stage,
    pub(super) was_unknown: bool,
}

pub(super) struct Process {
    pub(super) processor: Processor<u64>,
    pub(super) writer: WriterId,
    /// The last head that it knows to be durable.
    pub(super) durable: Head,
    /// The beginning of an append that the log prepares for.
    pub(super) preparing: Option<(Head, Vec<Arc<Commit>>)>,
    /// The same, when the log is prepared.
    prepared: Option<(Head, Vec<Arc<Commit>>)>,
    pub(super) append: Option<Append>,
    pub(super) inspect: Option<Position>,
    pub(super) look_ups: Vec<(u64, Question)>,
    pub(super) wake_at: Option<Timestamp>,
    /// How many commits its index covers.
    pub(super) covered: usize,
    pub(super) grace_ends: Timestamp,
    /// The head behind everything decided when it was asked to stop.
    pub(super) shutdown_asked: Option<Head>,
    pub(super) failed: bool,
    /// It was told of another writer that it had not met.
    pub(super) replaced: bool,
    /// The head behind everything decided when its clock jumped, until it is back.
    pub(super) clock_jumped_at: Option<Head>,
    /// Commands that wait for an answer.
    pub(super) open: BTreeSet<u64>,
}

impl Process {
    pub(super) fn start(
        writer: u128,
        market: Market,
        head: Head,
        covered: usize,
        prepares: bool,
        now: Timestamp,
    ) -> (Process, Vec<Action<u64>>) {
        let writer = WriterId::from_uuid(Uuid::from_u128(writer));
        let (processor, actions) = Processor::start(market, head, config(writer), prepares, now);
        let process = Process {
            processor,
            writer,
            durable: head,
            preparing: None,
            prepared: None,
            append: None,
            inspect: None,
            look_ups: Vec::new(),
            wake_at: None,
            covered,
            grace_ends: now.plus_ms(DEADLINES_GRACE_MS),
            shutdown_asked: None,
            failed: false,
            replaced: false,
            clock_jumped_at: None,
            open: BTreeSet::new(),
        };
        (process, actions)
    }

    fn appends_again(&mut self, expected: Head, commits: &[Arc<Commit>]) {
        let append = self.append.as_mut().expect("only what is under way is appended again");
        assert!(append.stage == Stage::Known, "an append is sent again only when its outcome is unknown");
        assert!(append.expected == expected && append.commits == commits, "the same is appended again");
        append.stage = Stage::Sent;
    }
}

impl Process {
    /// Notes that the log is prepared, if it was to be.
    pub(super) fn is_prepared(&mut self) -> bool {
        self.prepared = self.preparing.take();
        self.prepared.is_some()
    }
}

impl Simulation {
    /// Does what a process wants, in the order it wants it.
    pub(super) fn perform(&mut self, at: usize, actions: Vec<Action<u64>>) {
        let mut actions = actions.into_iter();
        let (mut was_undecided, mut goes_on) = (false, false);
        for action in actions.by_ref() {
            match action {
                Action::Prepare(expected, commits) => {
                    let process = &mut self.processes[at];
                    if let Some(under_way) = &process.append {
                        let behind = under_way.commits.last().map(|last| last.head());
                        assert!(
                            behind == Some(expected),
                            "what is prepared stands behind the append under way"
                        );
                        self.tally.prepared_under_way += 1;
                    }
                    let earlier = process.preparing.replace((expected, commits));
                    assert!(
                        earlier.is_none() && process.prepared.is_none(),
                        "one append is prepared at a time"
                    );
                }
                Action::Append(expected, commits) => {
                    let process = &mut self.processes[at];
                    assert!(process.preparing.is_none(), "what is prepared is waited for");
                    if let Some((prepared_for, first)) = process.prepared.take() {
                        assert!(
                            prepared_for == expected && commits.starts_with(&first),
                            "it is what was announced"
                        );
                        self.tally.grown_while_prepared += usize::from(commits.len() > first.len());
                    }
                    let events: usize = commits.iter().map(|commit| commit.events().len()).sum();
                    assert!(events <= EVENTS_PER_APPEND_MAX, "an append holds {events} events");
                    self.tally.full_groups += usize::from(events > EVENTS_PER_APPEND_MAX - 300);
                    let append = Append { expected, commits, stage: Stage::Sent, was_unknown: false };
                    let earlier = self.processes[at].append.replace(append);
                    assert!(earlier.is_none(), "one append is under way at a time");
                }
                Action::AppendAgain(expected, commits) => {
                    self.processes[at].appends_again(expected, &commits);
                }
                Action::Inspect(position) => self.processes[at].inspect = Some(position),
                Action::Durable(commits, answers) => self.durable(at, &commits, answers),
                Action::Answer(reply, answer) => {
                    was_undecided |= matches!(answer, Answer::Undecided);
                    self.tell(at, reply, answer, true);
                }
                Action::LookUp(number, question) => self.processes[at].look_ups.push((number, question)),
                Action::KeyRegistered(..) => {}
                Action::WakeAt(due) => self.processes[at].wake_at = Some(due),
                Action::GoOn => goes_on = true,
                Action::Stop(reason) => {
                    assert!(actions.next().is_none(), "nothing is wanted after the end");
                    return self.stop(at, &reason);
                }
            }
        }
        let process = &self.processes[at];
        let is_over = process.shutdown_asked.is_none_or(|head| head == process.processor.head());
        assert!(is_over, "something is decided after the shutdown");
        let stands_still = process.clock_jumped_at.is_none_or(|head| head == process.processor.head());
        assert!(stands_still, "something is decided by a clock that jumped");
        assert!(
            !was_undecided || self.processes[at].shutdown_asked.is_some(),
            "undecided, but the writer goes on"
        );
        if goes_on {
            self.wake(at, Wake::GoOn);
        }
    }

    fn durable(&mut self, at: usize, commits: &[Arc<Commit>], answers: Vec<(u64, Answer)>) {
        for commit in commits {
            assert!(self.world.contains(commit), "what is called durable is in the log");
        }
        let append = self.processes[at].append.take().expect("only what is under way becomes durable");
        assert!(append.commits == commits, "what is called durable is what was appended");
        if let Some(last) = commits.last() {
            self.processes[at].durable = last.head();
        }
        for (reply, answer) in answers {
            self.tell(at, reply, answer, false);
        }
    }
}
