//! One segment file: what it holds, found by its groups' headers, and how its groups are read.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events::{Commit, Head, Position};

use super::disk::DiskFile;
use super::format::{
    FormatError, GROUP_HEADER_BYTES, GroupHeader, SEGMENT_HEADER_BYTES, SegmentHeader, StoredCommit,
    check_group, decode_body,
};
use crate::log::ReadError;

/// Bytes between two marks of the index: a reader passes over this many to find its group.
const MARK_EVERY_BYTES: u64 = 256 * 1024;

/// Bytes read at once when only headers are looked at.
pub(super) const SCAN_WINDOW_BYTES: usize = 4 * 1024;

/// Bytes read at once when everything is.
pub(super) const READ_WINDOW_BYTES: usize = 512 * 1024;

/// A segment and what is known of its groups.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<dyn DiskFile>,
    known: Mutex<Known>,
}

/// What is known of a segment's groups: a sparse index, and where the last of them ends.
struct Known {
    marks: Vec<Mark>,
    /// Offset of the last group, if there is one.
    last_group: Option<u64>,
    /// Offset behind the last group.
    end: u64,
    /// Position of the last event.
    last: Position,
}

#[derive(Clone, Copy)]
struct Mark {
    first: Position,
    offset: u64,
}

/// How closely a scan looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// At the headers of groups.
    Headers,
    /// At every byte's sum.
    Bodies,
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// With a whole group, or none.
    Whole,
    /// With part of a group, or with zeros, from this offset on.
    Incomplete {
        /// Where the part begins.
        offset: u64,
        /// How long it is.
        bytes: u64,
    },
}

/// What stands at an offset.
enum Step {
    Group(GroupHeader),
    Tail(Tail),
}

/// What was found where a segment should begin.
pub(super) enum Opened {
    /// A segment.
    Segment(Segment),
    /// A file whose creation was not finished; it holds no group.
    Unfinished {
        /// How long it is.
        bytes: u64,
    },
}

impl Segment {
    /// Reads the header of the segment that should begin at `first`.
    pub(super) fn open(path: PathBuf, file: Arc<dyn DiskFile>, first: Position) -> Result<Opened, ReadError> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let read = file.read_at(0, &mut bytes).map_err(unavailable)?;
        let size = file.size().map_err(unavailable)?;
        if read < SEGMENT_HEADER_BYTES {
            return Ok(Opened::Unfinished { bytes: size });
        }
        let header = match SegmentHeader::decode(&bytes) {
            Ok(header) => header,
            Err(_) if zeros_to_end(&*file, SEGMENT_HEADER_BYTES as u64 - 1).map_err(unavailable)? => {
                return Ok(Opened::Unfinished { bytes: size });
            }
            Err(error) => return Err(damaged(&path, 0, error)),
        };
        let found = header.previous.position + 1;
        if found != first {
            return Err(damaged(&path, 0, FormatError::Position { expected: first, found }));
        }
        Ok(Opened::Segment(Segment::new(path, file, header)))
    }

    /// Takes a file whose header has just been written or read.
    pub(super) fn new(path: PathBuf, file: Arc<dyn DiskFile>, header: SegmentHeader) -> Segment {
        let known = Known {
            marks: Vec::new(),
            last_group: None,
            end: SEGMENT_HEADER_BYTES as u64,
            last: header.previous.position,
        };
        Segment { path, header, file, known: Mutex::new(known) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics between two changes that belong together.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the position of the last event known of.
    pub(super) fn last(&self) -> Position {
        self.known().last
    }

    /// Gives the offset behind the last group known of.
    pub(super) fn end(&self) -> u64 {
        self.known().end
    }

    /// Notes a group that stands behind those known of.
    pub(super) fn note(&self, first: Position, last: Position, bytes: u64) {
        let mut known = self.known();
        let offset = known.end;
        if known.marks.last().is_none_or(|mark| offset - mark.offset >= MARK_EVERY_BYTES) {
            known.marks.push(Mark { first, offset });
        }
        known.last_group = Some(offset);
        known.end = offset + bytes;
        known.last = last;
    }

    /// Looks at the groups behind those known of, up to the end of the file, and notes them.
    pub(super) fn scan(&self, depth: Depth) -> Result<Tail, ReadError> {
        let window_bytes = match depth {
            Depth::Headers => SCAN_WINDOW_BYTES,
            Depth::Bodies => READ_WINDOW_BYTES,
        };
        let size = self.file.size().map_err(unavailable)?;
        let mut window = Window::new(&*self.file, window_bytes.min(size as usize));
        loop {
            let (offset, expected) = {
                let known = self.known();
                (known.end, known.last + 1)
            };
            let header = match self.step(&mut window, offset, size)? {
                Step::Group(header) => header,
                Step::Tail(tail) => return Ok(tail),
            };
            self.check_position(offset, expected, &header)?;
            if depth == Depth::Bodies {
                self.body(&mut window, offset, &header)?;
            }
            self.note(header.first, header.last(), header.group_bytes());
        }
    }

    fn step(&self, window: &mut Window<'_>, offset: u64, size: u64) -> Result<Step, ReadError> {
        let incomplete = Ok(Step::Tail(Tail::Incomplete { offset, bytes: size.saturating_sub(offset) }));
        if offset >= size {
            return Ok(Step::Tail(Tail::Whole));
        }
        let bytes = window.bytes(offset, GROUP_HEADER_BYTES).map_err(unavailable)?;
        if bytes.len() < GROUP_HEADER_BYTES {
            return incomplete;
        }
        let header = match GroupHeader::decode(bytes) {
            Ok(header) => header,
            // The header's own bytes stop being written somewhere, and nothing but zeros comes after.
            Err(_)
                if zeros_to_end(&*self.file, offset + GROUP_HEADER_BYTES as u64 - 1)
                    .map_err(unavailable)? =>
            {
                return incomplete;
            }
            Err(error) => return Err(damaged(&self.path, offset, error)),
        };
        let end = offset + header.group_bytes();
        if end > size {
            return incomplete;
        }
        // A whole group ends in a byte that is not zero, and another begins with one.
        let around_end = window.bytes(end - 1, 2).map_err(unavailable)?;
        let could_be_unwritten = around_end.iter().all(|byte| *byte == 0);
        if could_be_unwritten && zeros_to_end(&*self.file, end - 1).map_err(unavailable)? {
            return incomplete;
        }
        Ok(Step::Group(header))
    }

    fn check_position(&self, offset: u64, expected: Position, header: &GroupHeader) -> Result<(), ReadError> {
        let found = header.first;
        if found == expected {
            return Ok(());
        }
        Err(damaged(&self.path, offset, FormatError::Position { expected, found }))
    }

    fn body<'w>(
        &self,
        window: &'w mut Window<'_>,
        offset: u64,
        header: &GroupHeader,
    ) -> Result<&'w [u8], ReadError> {
        let bytes = window.bytes(offset, header.group_bytes() as usize).map_err(unavailable)?;
        if (bytes.len() as u64) < header.group_bytes() {
            return Err(damaged(&self.path, offset, FormatError::GroupBody("the file ends before they do")));
        }
        check_group(header, &bytes[GROUP_HEADER_BYTES..]).map_err(|error| damaged(&self.path, offset, error))
    }

    /// Gives a walk over the groups from the one that holds `position`, which must be known.
    pub(super) fn groups_from(
        &self,
        position: Position,
        window_bytes: usize,
    ) -> Result<Groups<'_>, ReadError> {
        let (mark, end) = {
            let known = self.known();
            let after = known.marks.partition_point(|mark| mark.first <= position);
            (known.marks[after.saturating_sub(1)], known.end)
        };
        let mut groups = Groups {
            segment: self,
            window: Window::new(&*self.file, window_bytes.min(end as usize)),
            offset: mark.offset,
            next: mark.first,
        };
        while groups.header()?.last() < position {
            groups.pass_over()?;
        }
        Ok(groups)
    }

    /// Gives the head behind the last group known of.
    pub(super) fn last_head(&self) -> Result<Head, ReadError> {
        let (last_group, last) = {
            let known = self.known();
            (known.last_group, known.last)
        };
        if last_group.is_none() {
            return Ok(self.header.previous);
        }
        let commits = self.groups_from(last, SCAN_WINDOW_BYTES)?.next_group(0)?;
        let mut head = None;
        for StoredCommit { first, events } in commits {
            let commit = Commit::from_stored(first, events)?;
            if let Some(head) = head {
                commit.check_follows(head)?;
            }
            head = Some(commit.head());
        }
        Ok(head.expect("a group has at least one commit, as its header was checked to say"))
    }
}

/// A walk over the groups of a segment. Whoever walks knows where the durable groups end and stops there.
pub(super) struct Groups<'s> {
    segment: &'s Segment,
    window: Window<'s>,
    offset: u64,
    next: Position,
}

impl Groups<'_> {
    fn header(&mut self) -> Result<GroupHeader, ReadError> {
        let Groups { segment, window, offset, next } = self;
        let bytes = window.bytes(*offset, GROUP_HEADER_BYTES).map_err(unavailable)?;
        let header = match bytes.len() {
            GROUP_HEADER_BYTES => GroupHeader::decode(bytes),
            _ => Err(FormatError::GroupHeader("the file ends before it does")),
        };
        let header = header.map_err(|error| damaged(&segment.path, *offset, error))?;
        segment.check_position(*offset, *next, &header)?;
        Ok(header)
    }

    fn pass_over(&mut self) -> Result<(), ReadError> {
        let header = self.header()?;
        self.offset += header.group_bytes();
        self.next = header.last() + 1;
        Ok(())
    }

    /// Reads and checks the next group and gives its commits from `from` on.
    pub(super) fn next_group(&mut self, from: Position) -> Result<Vec<StoredCommit>, ReadError> {
        let header = self.header()?;
        let Groups { segment, window, offset, .. } = self;
        let body = segment.body(window, *offset, &header)?;
        let commits =
            decode_body(&header, body, from).map_err(|error| damaged(&segment.path, *offset, error))?;
        self.offset += header.group_bytes();
        self.next = header.last() + 1;
        Ok(commits)
    }
}

/// The part of a file that is in memory.
struct Window<'f> {
    file: &'f dyn DiskFile,
    buffer: Vec<u8>,
    start: u64,
    bytes_min: usize,
}

impl<'f> Window<'f> {
    fn new(file: &'f dyn DiskFile, bytes_min: usize) -> Self {
        Window { file, buffer: Vec::new(), start: 0, bytes_min }
    }

    /// Gives `count` bytes at `offset`; fewer only where the file ends.
    fn bytes(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let inside = offset >= self.start && offset + count as u64 <= self.start + self.buffer.len() as u64;
        if !inside {
            let wanted = count.max(self.bytes_min);
            self.buffer.resize(wanted, 0);
            self.start = offset;
            let read = self.file.read_at(offset, &mut self.buffer);
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let at = (offset - self.start) as usize;
        let end = self.buffer.len().min(at + count);
        Ok(&self.buffer[at..end])
    }
}

/// Tells whether the file has nothing but zeros from `offset` on.
fn zeros_to_end(file: &dyn DiskFile, offset: u64) -> io::Result<bool> {
    let mut buffer = vec![0; SCAN_WINDOW_BYTES];
    let mut at = offset;
    loop {
        let read = file.read_at(at, &mut buffer)?;
        if buffer[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if read < buffer.len() {
            return Ok(true);
        }
        at += read as u64;
    }
}

pub(super) fn unavailable(error: io::Error) -> ReadError {
    ReadError::Unavailable(Box::new(error))
}

pub(super) fn damaged(path: &std::path::Path, offset: u64, error: FormatError) -> ReadError {
    ReadError::Damaged { place: format!("{} at byte {offset}", path.display()), source: Box::new(error) }
}
