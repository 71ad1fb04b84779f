//! Where in the files of a log a position stands.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use engine::log::segment::SegmentLog;
use engine::log::segment::format::{GROUP_HEADER_BYTES, GroupHeader, SEGMENT_HEADER_BYTES};
use events::Position;
use serde::Serialize;

/// The group of a segment file that holds a position.
#[derive(Debug, Serialize)]
pub(super) struct Place {
    position: Position,
    file: PathBuf,
    offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "position {} in the group at byte {} of {}",
            self.position,
            self.offset,
            self.file.display()
        )
    }
}

/// Finds where a position stands. It must be in the log.
pub(super) fn of(log: &SegmentLog, position: Position) -> io::Result<Place> {
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
            return Ok(Place { position, file: path.clone(), offset });
        }
        offset += header.group_bytes();
        let rest = header.group_bytes() - GROUP_HEADER_BYTES as u64;
        file.seek_relative(i64::try_from(rest).map_err(io::Error::other)?)?;
    }
}
