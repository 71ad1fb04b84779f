//! Opening a segment log: finding out where it ends, and cutting what an unfinished write has left.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use events::ids::MarketName;
use events::{Commit, Head, Position};

use super::disk::{Access, Disk, LockError};
use super::file::{Depth, Opened, SCAN_WINDOW_BYTES, Segment, Tail, damaged};
use super::format::FormatError;
use super::writer::{WriteError, Writer, WriterState};
use super::{LOCK_FILE, SEGMENTS_FOLDER, SegmentLog, SegmentOptions, Shared};
use crate::log::ReadError;
use crate::log::hot_tail::HotTail;

/// What was cut from the end of a log: the remains of a write that was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// Where in it the remains began; 0 when the whole file was removed.
    pub offset: u64,
    /// How many bytes there were.
    pub bytes: u64,
}

/// Why a segment log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes this log.
    #[error("{path} is locked: another process writes this log, and only one may; stop it first")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, or why that can't be found out.
        source: LockError,
    },
    /// A snapshot, a checkpoint or the index knows commits that the log does not have.
    #[error(
        "the log ends at position {head} or differs before it, but position {floor} was seen durable: it was \
         restored or truncated; restore the whole log, or remove what was derived from it and rebuild"
    )]
    BehindCheckpoint {
        /// The position of the checkpoint.
        floor: Position,
        /// The position of the last event in the log.
        head: Position,
    },
    /// The log is another market's.
    #[error("the log in {path} is of market {found}, not {expected}")]
    OtherMarket {
        /// The segment that says so.
        path: PathBuf,
        /// The market asked for.
        expected: MarketName,
        /// The market it is of.
        found: MarketName,
    },
    /// There is no log to read.
    #[error("there is no log in {path}")]
    NoLog {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// What stands there can't be read.
    #[error("the log can't be opened")]
    Read(#[from] ReadError),
    /// It can't be made ready to be written.
    #[error("the log can't be made ready to be written")]
    Write(#[from] WriteError),
    /// A file or folder can't be used.
    #[error("{path} can't be used")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The segments of a log as they were found, and how the last of them ends.
struct Found {
    segments: Vec<Arc<Segment>>,
    tail: Tail,
    /// A last file whose creation was not finished.
    unfinished: Option<Cut>,
}

impl SegmentLog {
    /// Opens the log in `dir` to write it, and makes it if there is none. Takes the writer's lock, checks the last
    /// segment byte for byte and cuts what an unfinished write has left, but only if what is left extends `floor`,
    /// the highest head that a snapshot, checkpoint or index holds. Blocks the thread.
    pub fn open_writer(
        dir: &Path,
        market: MarketName,
        floor: Option<Head>,
        options: SegmentOptions,
    ) -> Result<SegmentLog, OpenError> {
        let SegmentOptions { segment_bytes_max, disk } = options;
        let folder = dir.join(SEGMENTS_FOLDER);
        disk.create_dir(&folder).map_err(io_error(&folder))?;
        let lock_path = dir.join(LOCK_FILE);
        let lock = match disk.lock(&lock_path) {
            Ok(lock) => lock,
            Err(LockError::Io(source)) => return Err(OpenError::Io { path: lock_path, source }),
            Err(source) => return Err(OpenError::Locked { path: lock_path, source }),
        };
        let found = find(&*disk, &folder, Access::Write, Depth::Bodies)?;
        check_market(&found.segments, &market)?;
        let head = last_head(&found.segments)?;
        check_floor(&found.segments, floor, head)?;
        let cut = cut(&*disk, &folder, &found)?;
        let shared = Arc::new(Shared::new(disk, folder, found.segments, head));
        let last = shared.segments().last().cloned();
        let active = match last {
            Some(last) => last,
            None => shared.create_segment(&market, Head::EMPTY)?,
        };
        let state = WriterState {
            shared: Arc::clone(&shared),
            market,
            active,
            segment_bytes_max,
            group: Vec::new(),
            failure: None,
            _lock: lock,
        };
        let writer = Writer::start(state).map_err(io_error(dir))?;
        Ok(SegmentLog { shared, writer: Some(writer), cut })
    }

    /// Opens the log in `dir` to read it, while another process may write it. Changes nothing on the disk. What
    /// that process has written but not yet synced may be given too. Blocks the thread.
    pub fn open_reader(dir: &Path) -> Result<SegmentLog, OpenError> {
        Self::open_reader_with(dir, SegmentOptions::default())
    }

    /// Opens a log to read it as [`SegmentLog::open_reader`] does, with other options.
    pub fn open_reader_with(dir: &Path, options: SegmentOptions) -> Result<SegmentLog, OpenError> {
        let disk = options.disk;
        let folder = dir.join(SEGMENTS_FOLDER);
        let found = match find(&*disk, &folder, Access::Read, Depth::Headers) {
            Err(OpenError::Io { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::NoLog { path });
            }
            other => other?,
        };
        if found.segments.is_empty() {
            return Err(OpenError::NoLog { path: folder });
        }
        let head = last_head(&found.segments)?;
        let shared = Arc::new(Shared::new(disk, folder, found.segments, head));
        Ok(SegmentLog { shared, writer: None, cut: None })
    }

    /// Gives the market whose log this is.
    pub fn market(&self) -> MarketName {
        self.shared.segments()[0].header.market.clone()
    }
}

impl Shared {
    fn new(disk: Arc<dyn Disk>, folder: PathBuf, segments: Vec<Arc<Segment>>, head: Head) -> Shared {
        Shared {
            disk,
            folder,
            segments: RwLock::new(segments),
            tail: Arc::new(HotTail::new(head)),
            refreshing: Mutex::new(()),
        }
    }

    /// Finds out what another process has written since the last look.
    pub(super) fn refresh(&self) -> Result<Head, ReadError> {
        let _alone = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.tail.head();
        loop {
            let last = self.segment_of(Position::MAX);

            let path = self.segment_path(last.last() + 1);
            let next = match self.disk.open(&path, Access::Read) {
                Ok(file) if path != last.path => match Segment::open(path, file, last.last() + 1)? {
                    Opened::Segment(segment) => Some(segment),
                    Opened::Unfinished { .. } => None,
                },
                Ok(_) => None,
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(super::file::unavailable(error)),
            };
            if let Some(next) = next {
                self.segments_mut().push(Arc::new(next));
                continue;
            }
            let before = last.last();
            last.scan(Depth::Headers)?;
            if last.last() == before {
                break;
            }
        }
        let last = self.segment_of(Position::MAX);
        if last.last() == known.position {
            return Ok(known);
        }
        let head = last.last_head()?;
        self.tail.skip_to(head);
        Ok(head)
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io { path: path.to_owned(), source }
}

/// Opens the segments in `folder` and looks at their groups: at the last segment's as closely as `depth` says.
fn find(disk: &dyn Disk, folder: &Path, access: Access, depth: Depth) -> Result<Found, OpenError> {
    let names = disk.list(folder).map_err(io_error(folder))?;
    let mut firsts: Vec<(Position, PathBuf)> = names
        .iter()
        .filter_map(|name| Some((name.strip_suffix(".seg")?.parse().ok()?, folder.join(name))))
        .collect();
    firsts.sort_unstable();
    let mut found = Found { segments: Vec::new(), tail: Tail::Whole, unfinished: None };
    let mut expected = 1;
    let count = firsts.len();
    for (number, (first, path)) in firsts.into_iter().enumerate() {
        let is_last = number + 1 == count;
        if first != expected {
            return Err(damaged(&path, 0, FormatError::Position { expected, found: first }).into());
        }
        let file = disk.open(&path, access).map_err(io_error(&path))?;
        let segment = match Segment::open(path.clone(), file, first)? {
            Opened::Segment(segment) => segment,
            Opened::Unfinished { bytes } if is_last => {
                found.unfinished = Some(Cut { path, offset: 0, bytes });
                break;
            }
            Opened::Unfinished { .. } => {
                return Err(damaged(&path, 0, FormatError::SegmentHeader("it is not whole")).into());
            }
        };
        found.tail = segment.scan(if is_last { depth } else { Depth::Headers })?;
        if let Tail::Incomplete { offset, .. } = found.tail
            && !is_last
        {
            return Err(damaged(&path, offset, FormatError::Incomplete).into());
        }
        expected = segment.last() + 1;
        found.segments.push(Arc::new(segment));
    }
    Ok(found)
}

fn check_market(segments: &[Arc<Segment>], expected: &MarketName) -> Result<(), OpenError> {
    match segments.iter().find(|segment| segment.header.market != *expected) {
        None => Ok(()),
        Some(segment) => Err(OpenError::OtherMarket {
            path: segment.path.clone(),
            expected: expected.clone(),
            found: segment.header.market.clone(),
        }),
    }
}

/// Gives the head behind the last whole group. Where the last segment has none, the segment before must end as
/// the last one's header says.
fn last_head(segments: &[Arc<Segment>]) -> Result<Head, ReadError> {
    let Some((last, before)) = segments.split_last() else { return Ok(Head::EMPTY) };
    let head = last.last_head()?;
    if head != last.header.previous {
        return Ok(head);
    }
    let expected = before.last().map_or(Ok(Head::EMPTY), |before| before.last_head())?;
    if head.hash != expected.hash {
        let error = FormatError::Hash { expected: expected.hash, found: head.hash };
        return Err(damaged(&last.path, 0, error));
    }
    Ok(head)
}

/// Checks that the log has a commit that ends where `floor` does, with its hash.
fn check_floor(segments: &[Arc<Segment>], floor: Option<Head>, head: Head) -> Result<(), OpenError> {
    let Some(floor) = floor.filter(|floor| *floor != Head::EMPTY && *floor != head) else { return Ok(()) };
    let behind = OpenError::BehindCheckpoint { floor: floor.position, head: head.position };
    if floor.position >= head.position || floor.position == 0 {
        return Err(behind);
    }
    let after = segments.partition_point(|segment| segment.header.previous.position < floor.position);
    let segment = &segments[after - 1];
    let commits = segment.groups_from(floor.position, SCAN_WINDOW_BYTES)?.next_group(0)?;
    for commit in commits {
        if commit.first + commit.events.len() as u64 - 1 == floor.position {
            let commit = Commit::from_stored(commit.first, commit.events).map_err(ReadError::from)?;
            return if commit.head() == floor { Ok(()) } else { Err(behind) };
        }
    }
    Err(behind)
}

/// Cuts what an unfinished write has left, and says so.
fn cut(disk: &dyn Disk, folder: &Path, found: &Found) -> Result<Option<Cut>, OpenError> {
    let cut = match (&found.unfinished, found.tail, found.segments.last()) {
        (Some(unfinished), ..) => {
            disk.remove(&unfinished.path).map_err(io_error(&unfinished.path))?;
            disk.sync_dir(folder).map_err(io_error(folder))?;
            unfinished.clone()
        }
        (None, Tail::Incomplete { offset, bytes }, Some(last)) => {
            last.file.truncate(offset).map_err(io_error(&last.path))?;
            last.file.sync_data().map_err(io_error(&last.path))?;
            Cut { path: last.path.clone(), offset, bytes }
        }
        _ => return Ok(None),
    };
    tracing::warn!(path = %cut.path.display(), offset = cut.offset, bytes = cut.bytes,
        "cut an unfinished write from the end of the log; it was never acknowledged");
    Ok(Some(cut))
}
