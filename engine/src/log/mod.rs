//! The event log: an append-only sequence of commits, written by one and read by many.

pub mod hot_tail;
pub mod jetstream;
pub mod memory;
pub mod segment;
pub mod tailed;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::commit::ChainError;
use events::{Commit, Head, Position, with_causes};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

/// Most events in one append: what an atomic batch of JetStream holds.
pub const EVENTS_PER_APPEND_MAX: usize = 1000;

/// Pause before a log that can't be read is followed again. Nothing bounds how often: who follows has nothing else to do,
/// and the log tells by its head, and the metrics by their count, that he waits.
const FOLLOW_PAUSE: Duration = Duration::from_millis(250);

/// Commits in order, each whole. A stream ends after its first error.
pub type CommitStream = BoxStream<'static, Result<Arc<Commit>, ReadError>>;

/// A market's log. All implementations pass the same contract tests.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Tells whether [`EventLog::prepare`] makes the append behind it shorter by more than it takes.
    fn prepares(&self) -> bool {
        false
    }

    /// Takes the first `commits` of the next append behind `expected` ahead of the rest, which may not be decided yet.
    /// Nothing is stored and nothing promised: whatever goes wrong here, the append meets it again. The append before that
    /// one may be under way meanwhile.
    async fn prepare(&self, _expected: Head, _commits: &[Arc<Commit>]) {}

    /// Appends all `commits` or none, and returns when they are durable. They must be chained to `expected` and to
    /// each other. One append is under way at a time; the caller sees to it.
    ///
    /// Repeating an append whose outcome was [`AppendError::Unknown`], with the same `expected` and commits, is
    /// harmless: it stores nothing twice and answers `Conflict` if the first try had succeeded.
    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError>;

    /// Gives the head of what is durable and whole.
    async fn head(&self) -> Result<Head, ReadError>;

    /// Gives the commits from `from`, the position of a commit's first event, up to the head at the time of the
    /// call, then ends. `from` right behind the head gives an empty stream; beyond it, [`ReadError::Beyond`].
    /// The chain is checked from the first commit given.
    fn read(&self, from: Position) -> CommitStream;

    /// Gives the commit whose first event stands at `first`; nothing, if the log ends before. For who wants this one
    /// only: the log reads no more than it must.
    async fn commit(&self, first: Position) -> Result<Option<Arc<Commit>>, ReadError> {
        match self.read(first).next().await.transpose() {
            Err(ReadError::Beyond { .. }) => Ok(None),
            found => found,
        }
    }

    /// Gives the commits from `from` as [`EventLog::read`] does, then every later one as it becomes durable, whoever
    /// has appended it; never ends by itself. While the log can't be read it waits, and goes on from where it was: it
    /// never gives [`ReadError::Unavailable`]. Every other error is final.
    fn follow(&self, from: Position) -> CommitStream;
}

/// Why an append did not succeed; says what the writer does next.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The log does not end at the expected head; nothing was stored by this call. The writer reads what stands
    /// there: its own commit means an earlier try succeeded, another's that it is no longer the writer.
    #[error("the log does not end at position {expected}")]
    Conflict {
        /// The position that was expected.
        expected: Position,
    },
    /// Whether it was stored is not known (an answer was lost). The writer appends the same again until it knows.
    #[error("whether the append was stored is not known: append the same again")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing more may be appended by this process (a failed fsync, a full disk), and nothing of this append may be
    /// acknowledged, though a restart may find it whole. The writer stops; only a restart, which reads the log anew,
    /// goes on.
    #[error("the log can't be written: mend the cause and restart")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a log can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What stands there is damaged. Never skipped: the operator restores it from a backup or a replica.
    #[error("the log is damaged at {place}: restore it from a backup, nothing was skipped")]
    Damaged {
        /// Where: file and offset, or stream and sequence.
        place: String,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log ends inside a commit: a broker kept a part of an append, as one may whose whole store is full. Nothing of
    /// that append was receipted, and nothing can be removed from the stream.
    #[error(
        "{stream} ends at sequence {end}, inside the commit that begins at {first}: the broker kept a part of an append, of which nothing was receipted. Restore a backup that has all before {first}, or save that with `skylink replay --into`: see docs/faults.md"
    )]
    Unfinished {
        /// The stream.
        stream: String,
        /// Where the commit begins.
        first: Position,
        /// The last sequence.
        end: Position,
    },
    /// A commit does not follow the one before.
    #[error("the log's chain is broken: restore it from a backup, nothing was skipped")]
    Chain(#[from] ChainError),
    /// Nothing stands there yet.
    #[error("position {from} is beyond the log's head {head}")]
    Beyond {
        /// The position asked for.
        from: Position,
        /// Where the log ends.
        head: Position,
    },
    /// The position is inside a commit, not at its beginning.
    #[error("no commit begins at position {from}")]
    NotACommit {
        /// The position asked for.
        from: Position,
    },
    /// The log can't be reached now. Only readers up to the head are told so; who follows waits.
    #[error("the log can't be reached: try again")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Whoever keeps the log does not let this reader read it. Final, and no damage.
    #[error("the log may not be read")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ReadError {
    /// Says the same once more, to another who wants to read from `from`; the causes become text.
    fn again(&self, from: Position) -> ReadError {
        let place = match self {
            ReadError::Damaged { place, .. } => place.clone(),
            _ => format!("position {from}"),
        };
        ReadError::Damaged { place, source: with_causes(self).into() }
    }
}

/// Checks what a caller of [`EventLog::append`] has promised.
///
/// # Panics
/// If the commits are not chained to `expected` and to each other, or are too many.
pub(crate) fn check_append(expected: Head, commits: &[Arc<Commit>]) {
    let mut head = expected;
    let mut events = 0;
    for commit in commits {
        assert_eq!(commit.previous_head(), head, "commits are appended behind what they are chained to");
        head = commit.head();
        events += commit.events().len();
    }
    assert!(events <= EVENTS_PER_APPEND_MAX, "an append has at most {EVENTS_PER_APPEND_MAX} events");
}

/// Checks the chain of commits read from `from` on, and ends the stream after its first error.
pub(crate) fn checked(from: Position, commits: CommitStream) -> CommitStream {
    // What stands before the first commit is known only where the log begins.
    let last = (from == 1).then_some(Head::EMPTY);
    stream::unfold(Some((commits, last)), |state| async move {
        let (mut commits, last) = state?;
        let checked = commits.next().await?.and_then(|commit| {
            last.map_or(Ok(()), |last| commit.check_follows(last))?;
            Ok(commit)
        });
        // After an error nothing is asked for any more: one that follows would wait for ever.
        let state = checked.as_ref().ok().map(|commit| commit.head()).map(|head| (commits, Some(head)));
        Some((checked, state))
    })
    .boxed()
}

/// Follows a log from `from` on by `follow`, and by `follow` once more from where it was whenever the log could not be
/// read. All that [`EventLog::follow`] promises about a log that goes away and comes back is kept here. The chain is
/// checked over each new beginning.
pub(crate) fn resumed<F>(from: Position, follow: F) -> CommitStream
where
    F: Fn(Position) -> CommitStream + Send + 'static,
{
    let resumed = Resumed { commits: follow(from), follow, next: from, interruption: None };
    let commits = stream::unfold(resumed, |mut resumed| async move {
        let commit = resumed.next().await?;
        Some((commit, resumed))
    });
    checked(from, commits.boxed())
}

struct Resumed<F> {
    follow: F,
    commits: CommitStream,
    /// Where the next commit begins.
    next: Position,
    interruption: Option<Interruption>,
}

impl<F: Fn(Position) -> CommitStream + Send> Resumed<F> {
    async fn next(&mut self) -> Option<Result<Arc<Commit>, ReadError>> {
        loop {
            match self.commits.next().await? {
                Ok(commit) => {
                    self.next = commit.head().position + 1;
                    if self.interruption.take().is_some() {
                        tracing::info!(position = commit.first_position(), "the log can be read again");
                    }
                    return Some(Ok(commit));
                }
                Err(error @ ReadError::Unavailable(_)) => {
                    if self.interruption.is_none() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(
                            error,
                            next = self.next,
                            "the log can't be read now; it is tried again"
                        );
                        self.interruption = Some(Interruption::begin());
                    }
                    tokio::time::sleep(FOLLOW_PAUSE).await;
                    self.commits = (self.follow)(self.next);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// One follower's wait for a log that can't be read, as the metrics count it.
struct Interruption;

impl Interruption {
    fn begin() -> Self {
        metrics::counter!("skylink_log_interruptions_total").increment(1);
        metrics::gauge!("skylink_log_followers_waiting").increment(1.0);
        Interruption
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        metrics::gauge!("skylink_log_followers_waiting").decrement(1.0);
    }
}
