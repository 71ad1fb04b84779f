//! A log on JetStream whose readers are told when the broker does not let them read.

use std::sync::Arc;

use async_trait::async_trait;
use engine::log::jetstream::{self, JetStreamLog};
use engine::log::{AppendError, CommitStream, EventLog, ReadError};
use events::ids::MarketName;
use events::{Commit, Head, Position};
use futures::{StreamExt, stream};

use super::{Connection, Refused};

/// Why a log can't be opened to be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The broker refuses what a reader needs.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such log, or it can't be reached.
    #[error(transparent)]
    Log(#[from] jetstream::OpenError),
}

/// A log that is read over a connection, until the broker refuses something on it.
///
/// Without the guard a reader would take a refusal for a broker that is silent, and ask again and again.
#[derive(Debug)]
pub struct GuardedLog {
    log: JetStreamLog,
    connection: Connection,
}

impl GuardedLog {
    /// Opens the log of `market` to read it; makes no stream.
    pub async fn open_reader(connection: Connection, market: MarketName) -> Result<Self, OpenError> {
        let opening = JetStreamLog::open_reader(connection.client().clone(), market);
        let log = connection.unless_refused(opening).await??;
        Ok(GuardedLog { log, connection })
    }

    /// Gives the market whose log this is.
    pub fn market(&self) -> &MarketName {
        self.log.market()
    }

    /// Gives the name of the stream that holds the log.
    pub fn stream_name(&self) -> String {
        self.log.stream_name()
    }

    fn guard(&self, commits: CommitStream) -> CommitStream {
        stream::unfold(Some((commits, self.connection.clone())), |reading| async {
            let (mut commits, connection) = reading?;
            match connection.unless_refused(commits.next()).await {
                Ok(commit) => Some((commit?, Some((commits, connection)))),
                Err(refused) => Some((Err(ReadError::Refused(refused.into())), None)),
            }
        })
        .boxed()
    }
}

#[async_trait]
impl EventLog for GuardedLog {
    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        // It was opened to be read, and says so itself.
        self.log.append(expected, commits).await
    }

    async fn head(&self) -> Result<Head, ReadError> {
        let head = self.connection.unless_refused(self.log.head()).await;
        head.map_err(|refused| ReadError::Refused(refused.into()))?
    }

    fn read(&self, from: Position) -> CommitStream {
        self.guard(self.log.read(from))
    }

    async fn commit(&self, first: Position) -> Result<Option<Arc<Commit>>, ReadError> {
        let commit = self.connection.unless_refused(self.log.commit(first)).await;
        commit.map_err(|refused| ReadError::Refused(refused.into()))?
    }

    fn follow(&self, from: Position) -> CommitStream {
        self.guard(self.log.follow(from))
    }
}
