//! A log whose writer is this process: who follows it here gets the commits from memory, as they become durable, and
//! not from the broker a second time.

use std::sync::Arc;

use async_trait::async_trait;
use events::{Commit, Head, Position};

use super::hot_tail::HotTail;
use super::{AppendError, CommitStream, EventLog, ReadError};

/// A log and its last commits. Only for the process that owns the log: what another appends is seen only when an
/// append of this process meets it.
pub struct TailedLog<L> {
    log: Arc<L>,
    tail: Arc<HotTail>,
}

impl<L: EventLog> TailedLog<L> {
    /// Takes a log where it ends now.
    pub async fn new(log: L) -> Result<Self, ReadError> {
        let tail = Arc::new(HotTail::new(log.head().await?));
        Ok(TailedLog { log: Arc::new(log), tail })
    }

    /// Moves the tail to where the log ends, which was found out otherwise than by an append.
    async fn catch_up(&self) {
        // If the log can't be asked, the followers wait, as the writer does.
        if let Ok(head) = self.log.head().await
            && head != self.tail.head()
        {
            self.tail.skip_to(head);
        }
    }
}

#[async_trait]
impl<L: EventLog> EventLog for TailedLog<L> {
    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        let outcome = self.log.append(expected, commits).await;
        match &outcome {
            // Behind an end that was found out otherwise, the commits are read from the log.
            Ok(()) if self.tail.head() == expected => self.tail.push(commits),
            // An earlier try was stored, or another process wrote: what stands there is for the followers too.
            Ok(()) | Err(AppendError::Conflict { .. }) => self.catch_up().await,
            Err(AppendError::Unknown(_) | AppendError::Failed(_)) => {}
        }
        outcome
    }

    async fn head(&self) -> Result<Head, ReadError> {
        self.log.head().await
    }

    fn read(&self, from: Position) -> CommitStream {
        self.log.read(from)
    }

    fn follow(&self, from: Position) -> CommitStream {
        let log = Arc::clone(&self.log);
        Arc::clone(&self.tail).follow(from, move |from| log.read(from))
    }
}
