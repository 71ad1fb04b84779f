//! Reading a segment log: groups are read, checked and decoded on a thread of their own, a few batches ahead.

use std::sync::Arc;

use events::{Commit, Position};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::Shared;
use super::file::READ_WINDOW_BYTES;
use crate::log::{CommitStream, ReadError};

/// Events after which a batch is handed over.
const EVENTS_PER_BATCH: usize = 512;

/// Most batches decoded ahead of their reader.
const BATCHES_AHEAD_MAX: usize = 4;

/// How much is read at once of a log of which one group is wanted.
const GROUP_WINDOW_BYTES: usize = 64 * 1024;

type Batch = Vec<Arc<Commit>>;

/// Gives the commits from `from` to `until`, the position of the last event, unchecked as to their chain.
pub(super) fn read(shared: Arc<Shared>, from: Position, until: Position) -> CommitStream {
    if from > until + 1 {
        return stream::iter([Err(ReadError::Beyond { from, head: until })]).boxed();
    }
    if from == 0 {
        return stream::iter([Err(ReadError::NotACommit { from })]).boxed();
    }
    if from == until + 1 {
        return stream::empty().boxed();
    }
    // The thread starts when the stream is first asked.
    let batches = stream::once(async move {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD_MAX);
        tokio::task::spawn_blocking(move || {
            let mut reading = Reading { sender: &sender, batch: Batch::new(), events: 0 };
            let error = match reading.run(&shared, from, until) {
                Ok(()) => return,
                Err(Ended::ReaderGone) => return,
                Err(Ended::Error(error)) => error,
            };
            // What stands before the error is given first.
            if reading.hand_over().is_ok() {
                let _ = sender.blocking_send(Err(error));
            }
        });
        stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
    });
    batches
        .flatten()
        .flat_map(|batch: Result<Batch, ReadError>| match batch {
            Ok(batch) => stream::iter(batch).map(Ok).left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        })
        .boxed()
}

/// Reads the commit whose first event stands at `first`, which is not beyond the end, and the group that it is in.
/// Blocks.
pub(super) fn read_one(shared: &Shared, first: Position) -> Result<Arc<Commit>, ReadError> {
    if first == 0 {
        return Err(ReadError::NotACommit { from: first });
    }
    let stored = shared.segment_of(first).groups_from(first, GROUP_WINDOW_BYTES)?.next_group(first)?;
    match stored.into_iter().next() {
        Some(commit) if commit.first == first => Ok(Arc::new(Commit::from_stored(first, commit.events)?)),
        _ => Err(ReadError::NotACommit { from: first }),
    }
}

enum Ended {
    ReaderGone,
    Error(ReadError),
}

impl<E: Into<ReadError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Ended::Error(error.into())
    }
}

struct Reading<'a> {
    sender: &'a mpsc::Sender<Result<Batch, ReadError>>,
    batch: Batch,
    events: usize,
}

impl Reading<'_> {
    fn run(&mut self, shared: &Shared, from: Position, until: Position) -> Result<(), Ended> {
        let mut next = from;
        while next <= until {
            let segment = shared.segment_of(next);
            let segment_last = segment.last().min(until);
            let mut groups = segment.groups_from(next, READ_WINDOW_BYTES)?;
            while next <= segment_last {
                let commits = groups.next_group(next)?;
                if commits.first().is_none_or(|commit| commit.first != next) {
                    return Err(ReadError::NotACommit { from: next }.into());
                }
                for commit in commits {
                    let commit = Commit::from_stored(commit.first, commit.events)?;
                    next = commit.head().position + 1;
                    self.push(commit)?;
                }
            }
        }
        self.hand_over()
    }

    fn push(&mut self, commit: Commit) -> Result<(), Ended> {
        self.events += commit.events().len();
        self.batch.push(Arc::new(commit));
        if self.events >= EVENTS_PER_BATCH { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), Ended> {
        self.events = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(Ok(batch)).map_err(|_| Ended::ReaderGone)
    }
}
