//! The writing side of a segment log: one thread that owns the last segment and the lock.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use events::ids::MarketName;
use events::{Commit, Head};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::disk::Lock;
use super::file::Segment;
use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader, encode_group};
use crate::log::AppendError;

/// Most appends that wait for the thread. The contract allows one at a time; a few more only wait their turn.
const APPENDS_WAITING_MAX: usize = 8;

/// Says that a write failed, and where.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{action} {path} at byte {offset} failed")]
pub struct WriteError {
    /// What was done.
    pub action: &'static str,
    /// To which file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What the system says.
    #[source]
    pub source: Arc<io::Error>,
}

/// Says that this process can't append any more.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// An earlier append failed; what is on the disk is known only after a restart.
    #[error("an earlier append failed")]
    EarlierFailure(#[source] WriteError),
    /// The log was opened to be read.
    #[error("this log was opened to be read only")]
    ReadOnly,
    /// The writer's thread is gone, which is a bug.
    #[error("the writer's thread has ended")]
    ThreadGone,
}

struct Append {
    expected: Head,
    commits: Vec<Arc<Commit>>,
    answer: oneshot::Sender<Result<(), AppendError>>,
}

/// The way to the writer's thread, which ends when this is dropped.
pub(super) struct Writer {
    appends: Option<mpsc::Sender<Append>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(state: WriterState) -> io::Result<Writer> {
        let (appends, mut waiting) = mpsc::channel::<Append>(APPENDS_WAITING_MAX);
        let mut state = state;
        let thread = thread::Builder::new().name("segment-writer".to_owned()).spawn(move || {
            while let Some(Append { expected, commits, answer }) = waiting.blocking_recv() {
                let outcome = state.append(expected, &commits);
                // Whoever asked may have gone; what is stored stays stored.
                let _ = answer.send(outcome);
            }
        })?;
        Ok(Writer { appends: Some(appends), thread: Some(thread) })
    }

    pub(super) async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        let gone = || AppendError::Failed(Box::new(Stopped::ThreadGone));
        let (answer, outcome) = oneshot::channel();
        let appends = self.appends.as_ref().expect("only drop takes the sender");
        let append = Append { expected, commits: commits.to_vec(), answer };
        appends.send(append).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    /// Waits for the append under way, so that whoever opens the log next finds the lock free.
    fn drop(&mut self) {
        self.appends = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the segment log's writer panicked");
        }
    }
}

/// What the writer's thread owns.
pub(super) struct WriterState {
    pub(super) shared: Arc<Shared>,
    pub(super) market: MarketName,
    pub(super) active: Arc<Segment>,
    pub(super) segment_bytes_max: u64,
    pub(super) group: Vec<u8>,
    pub(super) failure: Option<WriteError>,
    pub(super) _lock: Lock,
}

impl WriterState {
    fn append(&mut self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        if let Some(failure) = &self.failure {
            return Err(AppendError::Failed(Box::new(Stopped::EarlierFailure(failure.clone()))));
        }
        if self.shared.tail.head() != expected {
            return Err(AppendError::Conflict { expected: expected.position });
        }
        if commits.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.write(expected, commits) {
            tracing::error!(path = %error.path.display(), offset = error.offset, error = %error.source,
                "the log can't be written: mend the cause and restart");
            self.failure = Some(error.clone());
            return Err(AppendError::Failed(Box::new(error)));
        }
        self.shared.tail.push(commits);
        Ok(())
    }

    fn write(&mut self, head: Head, commits: &[Arc<Commit>]) -> Result<(), WriteError> {
        let end = self.active.end();
        if end >= self.segment_bytes_max && end > SEGMENT_HEADER_BYTES as u64 {
            self.active = self.shared.create_segment(&self.market, head)?;
        }
        let offset = self.active.end();
        let failed = |action, source: io::Error| WriteError {
            action,
            path: self.active.path.clone(),
            offset,
            source: Arc::new(source),
        };
        encode_group(commits, &mut self.group);
        self.active.file.write_at(offset, &self.group).map_err(|error| failed("writing", error))?;
        self.active.file.sync_data().map_err(|error| failed("syncing", error))?;
        let last = commits[commits.len() - 1].head().position;
        self.active.note(head.position + 1, last, self.group.len() as u64);
        Ok(())
    }
}

impl Shared {
    /// Makes the segment that begins behind `previous`, durably, and makes it known.
    pub(super) fn create_segment(
        &self,
        market: &MarketName,
        previous: Head,
    ) -> Result<Arc<Segment>, WriteError> {
        let path = self.segment_path(previous.position + 1);
        let failed = |action, source: io::Error| WriteError {
            action,
            path: path.clone(),
            offset: 0,
            source: Arc::new(source),
        };
        let header = SegmentHeader { market: market.clone(), previous };
        let file = self.disk.create(&path).map_err(|error| failed("creating", error))?;
        file.write_at(0, &header.encode()).map_err(|error| failed("writing", error))?;
        file.sync_data().map_err(|error| failed("syncing", error))?;
        self.disk.sync_dir(&self.folder).map_err(|error| failed("syncing the folder of", error))?;
        let segment = Arc::new(Segment::new(path, file, header));
        self.segments_mut().push(Arc::clone(&segment));
        Ok(segment)
    }
}
