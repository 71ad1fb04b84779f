//! Where in a log a position stands.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use engine::log::segment::SegmentLog;
use engine::log::segment::format::{GROUP_HEADER_BYTES, GroupHeader, SEGMENT_HEADER_BYTES};
use events::Position;
use serde::Serialize;

use crate::log::Log;

/// Where a position is looked at with other tools.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Place {
    /// In a group of a segment file.
    Group {
        /// The position.
        position: Position,
        /// The segment file.
        file: PathBuf,
        /// The byte where the group begins.
        offset: u64,
    },
    /// In a stream.
    Sequence {
        /// The position, which is the message's sequence too.
        position: Position,
        /// The stream.
        stream: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Group { position, file, offset } => {
                write!(f, "position {position} in the group at byte {offset} of {}", file.display())
            }
            Place::Sequence { position, stream } => write!(f, "sequence {position} of stream {stream}"),
        }
    }
}

impl Place {
    /// Finds where a position stands. It must be in the log.
    pub(super) fn of(log: &Log, position: Position) -> io::Result<Place> {
        match log {
            Log::Segments(log) => group_of(log, position),
            Log::JetStream(log) => Ok(Place::Sequence { position, stream: log.stream_name() }),
        }
    }
}

fn group_of(log: &SegmentLog, position: Position) -> io::Result<Place> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "no segment holds the position");
    let first_of = |path: &PathBuf| -> Option<Position> { path.file_stem()?.to_str()?.parse().ok() };
    let paths = log.segment_paths();
    let path = paths.iter().rfind(|path| first_of(path).is_some_and(|first| first <= position));
    let path = path.ok_or_else(missing)?;
    let mut file = BufReader::new(File::open(path)?);
    let mut offset = SEGMENT_HEADER_BYTES as u64;
    file.seek_relative(SEGMENT_HEADER_BYTES as i64)?;
    loop {
        let mut bytes = [0; GROUP_HEADER_BYTES];
        file.read_exact(&mut bytes)?;
        let header = GroupHeader::decode(&bytes).map_err(io::Error::other)?;
        if header.last() >= position {
            return Ok(Place::Group { position, file: path.clone(), offset });
        }
        offset += header.group_bytes();
        let rest = header.group_bytes() - GROUP_HEADER_BYTES as u64;
        file.seek_relative(i64::try_from(rest).map_err(io::Error::other)?)?;
    }
}
