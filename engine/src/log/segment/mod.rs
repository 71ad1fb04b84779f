//! The embedded log: segment files in a folder, one writing process, any number of reading ones.
//!
//! `docs/segment-format.md` describes the files. [`disk`] is what it needs of a disk, [`format`] the bytes.

pub mod disk;
mod file;
pub mod format;
mod open;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use async_trait::async_trait;
use events::{Commit, Head, Position};
use futures::{StreamExt, stream};

use self::disk::{Disk, RealDisk};
use self::file::Segment;
use self::writer::Writer;
use super::hot_tail::HotTail;
use super::{AppendError, CommitStream, EventLog, ReadError, check_append, checked, resumed};

pub use self::open::{Cut, OpenError};
pub use self::writer::{Stopped, WriteError};

/// Bytes after which a segment is closed and the next one begun.
pub const SEGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How often a log that another process writes is looked at by those who follow it here.
const FOREIGN_POLL: Duration = Duration::from_millis(50);

/// The folder with the segments, inside the log's.
const SEGMENTS_FOLDER: &str = "segments";

/// The file whose lock the writer has.
const LOCK_FILE: &str = "writer.lock";

/// What can be chosen about a segment log.
#[derive(Clone)]
pub struct SegmentOptions {
    /// Bytes after which a segment is closed and the next one begun.
    pub segment_bytes_max: u64,
    /// The disk it stands on.
    pub disk: Arc<dyn Disk>,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        SegmentOptions { segment_bytes_max: SEGMENT_BYTES_MAX, disk: Arc::new(RealDisk) }
    }
}

/// A log in segment files.
pub struct SegmentLog {
    shared: Arc<Shared>,
    writer: Option<Writer>,
    cut: Option<Cut>,
}

/// What the writer, the readers and those who follow have in common.
struct Shared {
    disk: Arc<dyn Disk>,
    /// The folder with the segments.
    folder: PathBuf,
    segments: RwLock<Vec<Arc<Segment>>>,
    tail: Arc<HotTail>,
    /// Held while a log of another process is looked at anew.
    refreshing: Mutex<()>,
}

impl Shared {
    fn segments(&self) -> RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        // Nothing panics between two changes that belong together.
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments_mut(&self) -> RwLockWriteGuard<'_, Vec<Arc<Segment>>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the last segment that begins at or before `position`, which is at least 1.
    fn segment_of(&self, position: Position) -> Arc<Segment> {
        let segments = self.segments();
        let after = segments.partition_point(|segment| segment.header.previous.position < position);
        Arc::clone(&segments[after.saturating_sub(1)])
    }

    fn segment_path(&self, first: Position) -> PathBuf {
        self.folder.join(segment_name(first))
    }
}

/// Gives the name of the segment whose first event stands at `first`.
fn segment_name(first: Position) -> String {
    format!("{first:020}.seg")
}

impl SegmentLog {
    /// Tells what an unfinished write had left at the end and was cut away when the log was opened.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// Gives the paths of the segments, oldest first.
    pub fn segment_paths(&self) -> Vec<PathBuf> {
        self.shared.segments().iter().map(|segment| segment.path.clone()).collect()
    }

    /// Gives the folder of the segments of the log in `dir`.
    pub fn segments_folder(dir: &Path) -> PathBuf {
        dir.join(SEGMENTS_FOLDER)
    }

    /// Follows a log that another process writes, by looking at its files again and again.
    fn follow_foreign(shared: Arc<Shared>, from: Position) -> CommitStream {
        let start = (shared, stream::empty().boxed() as CommitStream, from, true);
        let commits = stream::unfold(start, |(shared, mut reading, next, mut at_once)| async move {
            loop {
                if let Some(commit) = reading.next().await {
                    let next = commit.as_ref().map_or(next, |commit| commit.head().position + 1);
                    return Some((commit, (shared, reading, next, true)));
                }
                if !at_once {
                    tokio::time::sleep(FOREIGN_POLL).await;
                }
                at_once = false;
                match refresh(&shared).await {
                    Ok(head) => reading = reader::read(Arc::clone(&shared), next, head.position),
                    Err(error) => return Some((Err(error), (shared, reading, next, false))),
                }
            }
        });
        commits.boxed()
    }
}

/// Looks at a log of another process anew, and gives its head.
async fn refresh(shared: &Arc<Shared>) -> Result<Head, ReadError> {
    let shared = Arc::clone(shared);
    let refreshed = tokio::task::spawn_blocking(move || shared.refresh()).await;
    refreshed.map_err(|error| ReadError::Unavailable(Box::new(error)))?
}

#[async_trait]
impl EventLog for SegmentLog {
    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        check_append(expected, commits);
        match &self.writer {
            Some(writer) => writer.append(expected, commits).await,
            None => Err(AppendError::Failed(Box::new(Stopped::ReadOnly))),
        }
    }

    async fn head(&self) -> Result<Head, ReadError> {
        match &self.writer {
            Some(_) => Ok(self.shared.tail.head()),
            None => refresh(&self.shared).await,
        }
    }

    fn read(&self, from: Position) -> CommitStream {
        let shared = Arc::clone(&self.shared);
        if self.writer.is_some() {
            let until = shared.tail.head().position;
            return checked(from, reader::read(shared, from, until));
        }
        let commits = stream::once(async move {
            match refresh(&shared).await {
                Ok(head) => reader::read(shared, from, head.position),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        });
        checked(from, commits.flatten().boxed())
    }

    async fn commit(&self, first: Position) -> Result<Option<Arc<Commit>>, ReadError> {
        if let Some(commit) = self.shared.tail.commit(first) {
            return Ok(Some(commit));
        }
        if first > self.head().await?.position {
            return Ok(None);
        }
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || reader::read_one(&shared, first)).await;
        read.map_err(|error| ReadError::Unavailable(Box::new(error)))?.map(Some)
    }

    fn follow(&self, from: Position) -> CommitStream {
        if self.writer.is_none() {
            let shared = Arc::clone(&self.shared);
            return resumed(from, move |from| Self::follow_foreign(Arc::clone(&shared), from));
        }
        let shared = Arc::clone(&self.shared);
        let tail = Arc::clone(&shared.tail);
        let read = move |from| {
            let until = shared.tail.head().position;
            reader::read(Arc::clone(&shared), from, until)
        };
        tail.follow(from, read)
    }
}
