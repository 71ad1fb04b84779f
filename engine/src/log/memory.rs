//! A log in memory, for tests and simulation. It does what a real log does, and goes wrong when it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use events::{Commit, Head, Position};
use futures::{StreamExt, stream};
use tokio::sync::watch;

use super::{AppendError, CommitStream, EventLog, ReadError, check_append, checked, resumed};

/// What happens to one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None: it goes as it should. Lets a queue of faults aim at a later append.
    Spared,
    /// It is stored, but the answer is lost: `Unknown`.
    AnswerLost,
    /// It never arrives, and no answer comes: `Unknown`.
    RequestLost,
    /// It is definitely not stored, and nothing is stored afterwards: `Failed`.
    Failed,
}

/// Says which injected fault an append met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("injected fault: {0:?}")]
pub struct InjectedFault(pub Fault);

/// Says that the log was told to be out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("injected fault: the log is out of reach")]
pub struct OutOfReach;

/// A log in memory. Clones are handles of the same log.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    head: watch::Sender<Head>,
    /// How often a reader found the log out of reach.
    missed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    commits: Vec<Arc<Commit>>,
    faults: VecDeque<Fault>,
    failed: bool,
    out_of_reach: bool,
}

impl State {
    fn head(&self) -> Head {
        self.commits.last().map_or(Head::EMPTY, |commit| commit.head())
    }

    /// Gives the index of the commit that begins at `from`; that of the next one if `from` is right behind the head.
    fn index_of(&self, from: Position) -> Result<usize, ReadError> {
        let head = self.head().position;
        if from > head + 1 {
            return Err(ReadError::Beyond { from, head });
        }
        if from == head + 1 {
            return Ok(self.commits.len());
        }
        self.commits
            .binary_search_by_key(&from, |commit| commit.first_position())
            .map_err(|_| ReadError::NotACommit { from })
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// Makes an empty log.
    pub fn new() -> Self {
        let (head, missed) = (watch::Sender::new(Head::EMPTY), watch::Sender::new(0));
        let shared = Shared { state: Mutex::default(), head, missed };
        MemoryLog { shared: Arc::new(shared) }
    }

    /// Puts a fault behind those that wait already. Each append that reaches the log takes one.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// Appends a commit as another writer would, past the faults and past every check: whoever appends next with
    /// the old head gets `Conflict`, and a commit that does not follow is found by whoever reads.
    pub fn append_foreign(&self, commit: Arc<Commit>) {
        self.store(&mut self.lock(), &[commit]);
    }

    /// Ends the effect of [`Fault::Failed`], as a restart of the writer does.
    pub fn restart(&self) {
        self.lock().failed = false;
    }

    /// Puts the log out of the reach of readers, or back. Appends still arrive, as they may over another connection.
    pub fn set_out_of_reach(&self, out_of_reach: bool) {
        self.lock().out_of_reach = out_of_reach;
    }

    /// Gives a receiver that sees how often a reader found the log out of reach.
    pub fn missed(&self) -> watch::Receiver<u64> {
        self.shared.missed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, state: &mut State, commits: &[Arc<Commit>]) {
        state.commits.extend(commits.iter().cloned());
        self.shared.head.send_replace(state.head());
    }

    /// Gives what is stored from `from` up to the present head, unchecked.
    fn stored(&self, from: Position) -> CommitStream {
        let found = self.reach().and_then(|state| Ok(state.commits[state.index_of(from)?..].to_vec()));
        match found {
            Ok(commits) => stream::iter(commits).map(Ok).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    /// Gives what is stored to a reader, if the log can be reached.
    fn reach(&self) -> Result<MutexGuard<'_, State>, ReadError> {
        let state = self.lock();
        if state.out_of_reach {
            self.shared.missed.send_modify(|missed| *missed += 1);
            return Err(ReadError::Unavailable(Box::new(OutOfReach)));
        }
        Ok(state)
    }

    fn append_now(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        let mut state = self.lock();
        if state.failed {
            return Err(AppendError::Failed(Box::new(InjectedFault(Fault::Failed))));
        }
        let fault = state.faults.pop_front().unwrap_or(Fault::Spared);
        match fault {
            Fault::RequestLost => return Err(AppendError::Unknown(Box::new(InjectedFault(fault)))),
            Fault::Failed => {
                state.failed = true;
                return Err(AppendError::Failed(Box::new(InjectedFault(fault))));
            }
            Fault::Spared | Fault::AnswerLost => {}
        }
        let outcome = if state.head() == expected {
            self.store(&mut state, commits);
            Ok(())
        } else {
            Err(AppendError::Conflict { expected: expected.position })
        };
        if fault == Fault::AnswerLost {
            return Err(AppendError::Unknown(Box::new(InjectedFault(fault))));
        }
        outcome
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        check_append(expected, commits);
        self.append_now(expected, commits)
    }

    async fn head(&self) -> Result<Head, ReadError> {
        Ok(self.reach()?.head())
    }

    fn read(&self, from: Position) -> CommitStream {
        checked(from, self.stored(from))
    }

    fn follow(&self, from: Position) -> CommitStream {
        let log = self.clone();
        resumed(from, move |from| log.follow_while_readable(from))
    }
}

impl MemoryLog {
    fn follow_while_readable(&self, from: Position) -> CommitStream {
        let start = (self.clone(), self.shared.head.subscribe(), self.stored(from), from);
        let commits = stream::unfold(start, |(log, mut changes, mut reading, next)| async move {
            loop {
                if let Some(commit) = reading.next().await {
                    let next = commit.as_ref().map_or(next, |commit| commit.head().position + 1);
                    return Some((commit, (log, changes, reading, next)));
                }
                changes
                    .wait_for(|head| head.position >= next)
                    .await
                    .expect("this follower holds the log, which is the sender");
                reading = log.stored(next);
            }
        });
        commits.boxed()
    }
}
