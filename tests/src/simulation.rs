//! A market in a world that goes wrong on purpose: a deterministic driver of [`engine::processor::Processor`].
//!
//! One thread, no clock, no disk: every choice follows from a seed. Processes start, crash, stop and write at the
//! same time; appends are late, lost or answered twice; the index lags; clients retry and thieves replay. After each
//! step, what an engine promises is checked against the log and against what the clients were told. A run panics
//! when a promise is broken.

mod changes;
mod chargebacks;
mod checks;
mod money;
mod people;
mod process;
mod promotions;
mod reconcile;
mod returns;
mod risk;
mod world;

use std::sync::Arc;

use commands::{Market, Verified};
use engine::processor::{Incoming, Wake};
use events::{Commit, Event, Head, Position, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::people::{BUYERS, Clients, PAYMENTS, PROVIDER, Sight, fund};
use self::process::{Process, Stage};
use self::world::{Base, START, World};

/// Steps of a run before it is brought to its end.
const STEPS: usize = 260;
/// Most steps that the end of a run may take; a run that needs more never ends.
const ENDING_STEPS_MAX: usize = 20_000;
/// Most processes that run at the same time.
const PROCESSES_MAX: usize = 2;
/// Commands of the burst that some runs have: more than one append can hold.
const BURST: usize = 2_000;

/// What happened in a run; a simulation in which something never happens proves nothing about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commits that were stored.
    pub commits: usize,
    /// Deadlines among them.
    pub deadlines: usize,
    /// Commands that were told their outcome when it was decided.
    pub decided: usize,
    /// Commands that were told an earlier outcome.
    pub repeats: usize,
    /// Commands that were refused.
    pub refusals: usize,
    /// Commands whose asker was told to ask again.
    pub undecided: usize,
    /// Appends with an unknown outcome.
    pub unknown: usize,
    /// Appends that arrived after their writer had given them up or was gone.
    pub late_appends: usize,
    /// Appends that grew while the log prepared for them.
    pub grown_while_prepared: usize,
    /// Appends that the log prepared for while the one before was under way.
    pub prepared_under_way: usize,
    /// Conflicts in which the writer found its own commit.
    pub own_conflicts: usize,
    /// Writers that found another's commit.
    pub fenced: usize,
    /// Writers that were told that the log can't be written.
    pub failed: usize,
    /// Idle writers that were told of another's start.
    pub replaced: usize,
    /// Clocks that jumped.
    pub jumps: usize,
    /// Processes that crashed.
    pub crashes: usize,
    /// Processes that started from a snapshot.
    pub from_snapshot: usize,
    /// Look-ups answered by an index that covered enough.
    pub look_ups: usize,
    /// Look-ups answered too early, or not at all.
    pub bad_look_ups: usize,
    /// Appends with as many events as one may have, nearly.
    pub full_groups: usize,
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: Tally) {
        self.commits += other.commits;
        self.deadlines += other.deadlines;
        self.decided += other.decided;
        self.repeats += other.repeats;
        self.refusals += other.refusals;
        self.undecided += other.undecided;
        self.unknown += other.unknown;
        self.late_appends += other.late_appends;
        self.grown_while_prepared += other.grown_while_prepared;
        self.prepared_under_way += other.prepared_under_way;
        self.own_conflicts += other.own_conflicts;
        self.fenced += other.fenced;
        self.failed += other.failed;
        self.replaced += other.replaced;
        self.jumps += other.jumps;
        self.crashes += other.crashes;
        self.from_snapshot += other.from_snapshot;
        self.look_ups += other.look_ups;
        self.bad_look_ups += other.bad_look_ups;
        self.full_groups += other.full_groups;
    }
}

/// A command that a client sent to a process, and what it was told.
struct Ask {
    verified: Arc<Verified>,
    /// Where its outcome stood when it was sent, if the process had to know it.
    known: Option<Position>,
    /// Whether the process had to know the key.
    key_known: bool,
    told: Option<Told>,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// The outcome, whose commit begins here.
    Outcome(Position),
    /// That it was not taken.
    Refused,
    /// That it has to ask again.
    Undecided,
    /// Nothing: the process crashed.
    Nothing,
}

/// An append that is still somewhere in the network.
struct Late {
    expected: Head,
    commits: Vec<Arc<Commit>>,
}

struct Simulation {
    rng: StdRng,
    now: Timestamp,
    /// The latest time that any clock has shown.
    latest: Timestamp,
    world: World,
    clients: Clients,
    asks: Vec<Ask>,
    processes: Vec<Process>,
    late: Vec<Late>,
    snapshot: Option<(usize, Market)>,
    writers: u128,
    tally: Tally,
}

/// What came of a simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What happened in it.
    pub tally: Tally,
    /// Everything that was stored.
    pub log: Vec<Arc<Commit>>,
    /// The market behind it; what it has forgotten is the index's to know.
    pub market: Market,
}

/// Runs the simulation that follows from a seed.
///
/// # Panics
/// If the engine breaks a promise.
pub fn run(seed: u64) -> Run {
    let mut simulation = Simulation {
        rng: StdRng::seed_from_u64(seed),
        now: START.plus_ms(1_000),
        latest: START.plus_ms(1_000),
        world: World::new(),
        clients: Base::get().clients.clone(),
        asks: Vec::new(),
        processes: Vec::new(),
        late: Vec::new(),
        snapshot: None,
        writers: 0x1000,
        tally: Tally::default(),
    };
    simulation.start_process();
    if seed % 50 == 7 {
        simulation.burst();
    }
    simulation.clients.with_money = true;
    simulation.clients.with_risk = risk::has_rules(seed);
    for _ in 0..STEPS {
        simulation.step();
    }
    simulation.end();
    simulation.check();
    let World { log, market, .. } = simulation.world;
    Run { tally: simulation.tally, log, market }
}

impl Simulation {
    fn step(&mut self) {
        match self.rng.random_range(0..1_000) {
            0..330 => self.send_commands(),
            330..600 => self.move_append(true),
            600..640 => self.inspect(),
            640..700 => self.look_up(),
            700..740 => self.index_advances(),
            740..820 => self.tick(),
            820..930 => self.time_passes(),
            930..950 => self.deliver_late(),
            950..956 => self.crash(),
            956..960 => self.start_process(),
            960..962 => self.shut_down(),
            962 => self.index_fails(),
            963..968 => self.see_another_writer(),
            968..974 => self.clock_jumps_or_comes_back(),
            _ => self.save_snapshot(),
        }
        if self.processes.is_empty() {
            self.start_process();
        }
    }

    fn some_process(&mut self) -> Option<usize> {
        let count = self.processes.len();
        (count > 0).then(|| self.rng.random_range(0..count))
    }

    fn send_commands(&mut self) {
        let Some(at) = self.some_process() else { return };
        let count = self.rng.random_range(1..5);
        self.send(at, count);
    }

    /// Sends more than an append can hold while one is under way.
    fn burst(&mut self) {
        // Late enough that no new id can be among the forgotten ones, so that none waits for the index.
        self.now = START.plus_ms(60_000);
        self.latest = self.now;
        self.send(0, BURST);
    }

    fn send(&mut self, at: usize, count: usize) {
        let mut batch = Vec::new();
        for _ in 0..count {
            let World { market, orders, payments, refunds, .. } = &self.world;
            let sight = Sight { now: self.now, market, orders, payments, refunds };
            let verified = self.clients.next(&mut self.rng, &sight);
            batch.push(self.ask(at, verified));
        }
        self.wake(at, Wake::Commands(batch));
    }

    fn ask(&mut self, at: usize, verified: Arc<Verified>) -> Incoming<u64> {
        let process = &mut self.processes[at];
        let seen = process.durable.position;
        let stamp = &verified.stamp;
        let found = self.world.find(stamp.account, stamp.command);
        let known = found.map(|found| found.position).filter(|position| *position <= seen);
        let key_known = self.world.key_since(stamp.key).is_some_and(|position| position <= seen);
        let reply = self.asks.len() as u64;
        process.open.insert(reply);
        let incoming = Incoming { verified: Verified::clone(&verified), traceparent: None, reply };
        self.asks.push(Ask { verified, known, key_known, told: None });
        incoming
    }

    fn time_passes(&mut self) {
        let ms = match self.rng.random_range(0..40) {
            0 => self.rng.random_range(60_000..200_000),
            1..4 => self.rng.random_range(2_000..20_000),
            4..7 => -self.rng.random_range(0..2_000),
            _ => self.rng.random_range(0..200),
        };
        self.now = self.now.plus_ms(ms);
        self.latest = self.latest.max(self.now);
    }

    /// Lets the append of a process arrive, or its answer.
    fn move_append(&mut self, may_fail: bool) {
        if let Some(at) = self.some_process() {
            self.move_append_of(at, may_fail);
        }
    }

    fn move_append_of(&mut self, at: usize, may_fail: bool) {
        let fault = if may_fail { self.rng.random_range(0..100) } else { 99 };
        // The log may prepare for the next append while one is under way, and be done with either first.
        let is_appending = self.processes[at].append.is_some();
        if (!is_appending || self.rng.random()) && self.processes[at].is_prepared() {
            return self.wake(at, Wake::Prepared);
        }
        let Some(append) = &mut self.processes[at].append else { return };
        match append.stage {
            Stage::Sent => {
                append.stage = match fault {
                    0..6 => Stage::Unknown,
                    6..12 => {
                        self.late.push(Late { expected: append.expected, commits: append.commits.clone() });
                        Stage::Unknown
                    }
                    12 => Stage::Failed,
                    _ => {
                        let (expected, commits) = (append.expected, append.commits.clone());
                        let stored = self.world.append(expected, &commits);
                        match stored {
                            _ if fault < 20 => Stage::Unknown,
                            Ok(()) => Stage::Stored,
                            Err(()) => Stage::Conflict,
                        }
                    }
                };
            }
            Stage::Stored => self.wake(at, Wake::Appended),
            Stage::Conflict => {
                append.stage = Stage::Inspected;
                self.wake(at, Wake::AppendConflict);
            }
            Stage::Unknown => {
                self.tally.unknown += 1;
                append.stage = Stage::Known;
                append.was_unknown = true;
                self.wake(at, Wake::AppendUnknown);
            }
            Stage::Failed => {
                self.tally.failed += 1;
                self.processes[at].failed = true;
                self.wake(at, Wake::Failed("injected fault".to_owned()));
            }
            // The inspection is under way.
            Stage::Inspected | Stage::Known => {}
        }
    }

    fn inspect(&mut self) {
        if let Some(at) = self.some_process() {
            self.inspect_of(at);
        }
    }

    fn inspect_of(&mut self, at: usize) {
        let Some(position) = self.processes[at].inspect.take() else { return };
        let found = self.world.commit_at(position).cloned();
        let ours = self.processes[at].append.as_ref().and_then(|append| append.commits.first());
        let is_ours = ours.map(|ours| ours.head()) == found.as_ref().map(|found| found.head());
        self.tally.own_conflicts += usize::from(is_ours);
        self.wake(at, Wake::Inspected(found));
    }

    fn look_up(&mut self) {
        let Some(at) = self.some_process() else { return };
        let count = self.processes[at].look_ups.len();
        if count > 0 {
            let which = self.rng.random_range(0..count);
            let (number, question) = self.processes[at].look_ups.swap_remove(which);
            if self.rng.random_ratio(1, 10) {
                self.tally.bad_look_ups += 1;
                return self.wake(at, Wake::FactsMissing(number));
            }
            let facts = self.world.look_up(&question, self.processes[at].covered);
            if facts.covered < question.covering {
                self.tally.bad_look_ups += 1;
            } else {
                self.tally.look_ups += 1;
            }
            self.wake(at, Wake::Facts(number, facts));
        }
    }

    fn index_advances(&mut self) {
        let Some(at) = self.some_process() else { return };
        let (covered, end) = (self.processes[at].covered, self.world.log.len());
        self.processes[at].covered = self.rng.random_range(covered..=end);
    }

    fn index_fails(&mut self) {
        if let Some(at) = self.some_process() {
            self.tally.failed += 1;
            self.processes[at].failed = true;
            self.wake(at, Wake::Failed("the index can't be kept".to_owned()));
        }
    }

    /// Tells a process of a writer that has begun behind what it knows to be durable.
    fn see_another_writer(&mut self) {
        let Some(at) = self.some_process() else { return };
        let process = &self.processes[at];
        let (own, seen) = (process.writer, process.durable.position);
        let begun = self.world.log.iter().rev().take_while(|commit| commit.first_position() > seen);
        let epochs = begun.filter_map(|commit| match &commit.events().last()?.event {
            Event::WriterStarted(started) if started.writer != own => Some(started.epoch),
            _ => None,
        });
        if let Some(epoch) = epochs.last() {
            self.tally.replaced += 1;
            self.processes[at].replaced = true;
            self.wake(at, Wake::Replaced { epoch });
        }
    }

    fn clock_jumps_or_comes_back(&mut self) {
        let Some(at) = self.some_process() else { return };
        let process = &mut self.processes[at];
        if process.clock_jumped_at.take().is_some() {
            return self.wake(at, Wake::ClockBack);
        }
        process.clock_jumped_at = Some(process.processor.head());
        self.tally.jumps += 1;
        self.wake(at, Wake::ClockJumped);
    }

    fn tick(&mut self) {
        if let Some(at) = self.some_process() {
            let is_due = self.processes[at].wake_at.is_some_and(|due| due <= self.now);
            if is_due || self.rng.random_ratio(1, 20) {
                self.processes[at].wake_at = None;
                self.wake(at, Wake::Tick);
            }
        }
    }

    fn deliver_late(&mut self) {
        if !self.late.is_empty() {
            let which = self.rng.random_range(0..self.late.len());
            let late = self.late.swap_remove(which);
            if self.world.append(late.expected, &late.commits).is_ok() {
                self.tally.late_appends += 1;
            }
        }
    }

    fn crash(&mut self) {
        if let Some(at) = self.some_process() {
            let process = self.processes.swap_remove(at);
            self.tally.crashes += 1;
            for reply in &process.open {
                self.asks[*reply as usize].told = Some(Told::Nothing);
            }
            self.leave_append(process);
        }
    }

    /// What a process has sent may still arrive when it is gone.
    fn leave_append(&mut self, process: Process) {
        if let Some(append) = process.append
            && append.stage == Stage::Sent
            && self.rng.random_ratio(1, 2)
        {
            self.late.push(Late { expected: append.expected, commits: append.commits });
        }
    }

    fn start_process(&mut self) {
        if self.processes.len() >= PROCESSES_MAX {
            return;
        }
        let base = Base::get();
        let mut covered = base.log.len();
        let market = match &self.snapshot {
            Some((count, market)) if self.rng.random_ratio(2, 3) => {
                self.tally.from_snapshot += 1;
                covered = *count;
                let mut market = market.clone();
                for commit in &self.world.log[*count..] {
                    market.evolve_commit(commit);
                }
                market
            }
            _ => self.world.fold_from_base(),
        };
        assert!(market == self.world.market, "a restart gives the state of the log");
        self.writers += 1;
        let (head, prepares) = (self.world.head(), self.rng.random());
        let (process, actions) = Process::start(self.writers, market, head, covered, prepares, self.now);
        self.processes.push(process);
        self.perform(self.processes.len() - 1, actions);
    }

    fn shut_down(&mut self) {
        if let Some(at) = self.some_process() {
            self.ask_to_stop(at);
        }
    }

    fn ask_to_stop(&mut self, at: usize) {
        let process = &mut self.processes[at];
        let _ = process.shutdown_asked.get_or_insert(process.processor.head());
        self.wake(at, Wake::Shutdown);
    }

    fn save_snapshot(&mut self) {
        self.snapshot = Some((self.world.log.len(), self.world.market.clone()));
    }

    fn wake(&mut self, at: usize, wake: Wake<u64>) {
        let actions = self.processes[at].processor.step(wake, self.now);
        self.perform(at, actions);
    }

    /// Brings everything to its end without further faults, then asks a last writer for one thing more.
    fn end(&mut self) {
        for at in 0..self.processes.len() {
            if self.processes[at].clock_jumped_at.take().is_some() {
                self.wake(at, Wake::ClockBack);
            }
        }
        self.settle();
        for at in 0..self.processes.len() {
            self.check_settled(at);
        }
        for left in (0..self.processes.len()).rev() {
            self.ask_to_stop(0);
            assert!(self.processes.len() == left, "a writer with nothing under way ends when it is asked to");
        }
        while !self.late.is_empty() {
            self.deliver_late();
        }
        self.start_process();
        let probe = self.clients.sign(PROVIDER, fund(BUYERS[0], 1, PAYMENTS), self.latest);
        self.now = self.latest;
        let probe = self.ask(0, probe);
        let reply = probe.reply as usize;
        self.wake(0, Wake::Commands(vec![probe]));
        self.settle();
        assert!(
            matches!(self.asks[reply].told, Some(Told::Outcome(_))),
            "a market that can be written decides"
        );
        self.check_settled(0);
        assert!(
            *self.processes[0].processor.market() == self.world.fold_from_base(),
            "the fold is the state"
        );
    }

    /// Lets everything that is under way come to its end.
    fn settle(&mut self) {
        for _ in 0..ENDING_STEPS_MAX {
            let busy = |process: &Process| {
                process.append.is_some()
                    || process.preparing.is_some()
                    || process.inspect.is_some()
                    || !process.look_ups.is_empty()
                    || process.wake_at.is_some_and(|due| due <= self.now)
            };
            let Some(at) = self.processes.iter().position(busy) else { return };
            let process = &mut self.processes[at];
            if process.inspect.is_some() {
                self.inspect_of(at);
            } else if process.append.is_some() || process.preparing.is_some() {
                self.move_append_of(at, false);
            } else if let Some((number, question)) = process.look_ups.pop() {
                process.covered = self.world.log.len();
                let facts = self.world.look_up(&question, self.world.log.len());
                self.wake(at, Wake::Facts(number, facts));
            } else {
                process.wake_at = None;
                self.wake(at, Wake::Tick);
            }
        }
        panic!("what is under way never ends");
    }
}
