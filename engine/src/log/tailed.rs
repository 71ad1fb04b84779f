//! A log on a broker, and its last commits in memory: who follows it in this process gets from memory what this process
//! appends, and all of them together get once from the broker what another appends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::{Commit, Head, Position};
use futures::StreamExt;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

use super::hot_tail::HotTail;
use super::{AppendError, CommitStream, EventLog, Interruption, ReadError};

/// How often is looked whether another has appended, while this process does not append itself. As late a standby follows
/// and a replaced writer notices, at most, while the log can be read.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A log and its last commits.
pub struct TailedLog<L> {
    log: Arc<L>,
    tail: Arc<HotTail>,
    /// Held during an append.
    appending: Arc<Mutex<()>>,
    /// Asks for a look at once.
    look: Arc<Notify>,
    looking: JoinHandle<()>,
}

impl<L: EventLog> TailedLog<L> {
    /// Takes a log where it ends now, and looks from then on what others append.
    pub async fn new(log: L) -> Result<Self, ReadError> {
        let tail = Arc::new(HotTail::new(log.head().await?));
        let (log, appending, look) = (Arc::new(log), Arc::new(Mutex::new(())), Arc::new(Notify::new()));
        let looker = Looker {
            log: Arc::clone(&log),
            tail: Arc::clone(&tail),
            appending: Arc::clone(&appending),
            look: Arc::clone(&look),
            interruption: None,
        };
        Ok(TailedLog { log, tail, appending, look, looking: tokio::spawn(looker.run()) })
    }
}

impl<L> Drop for TailedLog<L> {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

#[async_trait]
impl<L: EventLog> EventLog for TailedLog<L> {
    fn prepares(&self) -> bool {
        self.log.prepares()
    }

    async fn prepare(&self, expected: Head, commits: &[Arc<Commit>]) {
        self.log.prepare(expected, commits).await;
    }

    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        let _appending = self.appending.lock().await;
        let outcome = self.log.append(expected, commits).await;
        let misses_some = match &outcome {
            Ok(()) => !self.tail.offer(commits),
            // An earlier try was stored, or another process wrote: what stands there is for the followers too.
            Err(AppendError::Conflict { .. }) => true,
            Err(AppendError::Unknown(_) | AppendError::Failed(_)) => false,
        };
        if misses_some {
            self.look.notify_one();
        }
        outcome
    }

    async fn head(&self) -> Result<Head, ReadError> {
        let head = self.log.head().await?;
        if head.position > self.tail.head().position {
            self.look.notify_one();
        }
        Ok(head)
    }

    fn read(&self, from: Position) -> CommitStream {
        self.log.read(from)
    }

    async fn commit(&self, first: Position) -> Result<Option<Arc<Commit>>, ReadError> {
        match self.tail.commit(first) {
            Some(commit) => Ok(Some(commit)),
            None => self.log.commit(first).await,
        }
    }

    fn follow(&self, from: Position) -> CommitStream {
        let log = Arc::clone(&self.log);
        Arc::clone(&self.tail).follow(from, move |from| log.read(from))
    }
}

/// Brings what others append into the tail.
struct Looker<L> {
    log: Arc<L>,
    tail: Arc<HotTail>,
    appending: Arc<Mutex<()>>,
    look: Arc<Notify>,
    interruption: Option<Interruption>,
}

impl<L: EventLog> Looker<L> {
    async fn run(mut self) {
        loop {
            let is_asked = tokio::time::timeout(LOOK_INTERVAL, self.look.notified()).await.is_ok();
            // An append finds out by itself whether another has written, and brings its own commits.
            let is_appending = self.appending.try_lock().is_err();
            if (is_asked || !is_appending)
                && let Err(error) = self.look().await
            {
                // Whoever comes to this place is told, the keeper first, which stops the market.
                return self.tail.fail(error);
            }
        }
    }

    /// Reads what stands behind the tail, if anything.
    async fn look(&mut self) -> Result<(), ReadError> {
        let mut commits = self.log.read(self.tail.head().position + 1);
        while let Some(commit) = commits.next().await {
            match commit {
                Ok(commit) => {
                    self.tail.offer(&[commit]);
                }
                // A broker of a cluster may lag behind what another has acknowledged.
                Err(error @ (ReadError::Unavailable(_) | ReadError::Beyond { .. })) => {
                    if self.interruption.is_none() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the log can't be looked at now; it is tried again");
                        self.interruption = Some(Interruption::begin());
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        if self.interruption.take().is_some() {
            tracing::info!("the log can be looked at again");
        }
        Ok(())
    }
}
