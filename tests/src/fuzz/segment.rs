//! The file of a segment: whatever is done to it, nobody is given anything but what was written, and what is missing is said.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use engine::log::segment::format::{
    GROUP_END_BYTES, GROUP_HEADER_BYTES, GroupHeader, SEGMENT_HEADER_BYTES, check_group, decode_body,
};
use engine::log::segment::{OpenError, SegmentLog, SegmentOptions};
use engine::log::{EventLog, ReadError};
use events::{Commit, Head};
use futures::TryStreamExt;
use tokio::runtime::Runtime;

use super::edits;
use crate::log_contract::{commits, head_of, market};
use crate::sim_disk::SimDisk;

const DIR: &str = "log";

/// A log of three groups in one file, and its commits.
struct Written {
    commits: Vec<Arc<Commit>>,
    /// Where each group ends, from the header's end on.
    ends: Vec<usize>,
    file: Vec<u8>,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built")
});

static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        let disk = SimDisk::new();
        let log = open(&disk).expect("an empty disk can be written");
        let commits = commits(Head::EMPTY, &[1, 2, 1]);
        let mut ends = vec![SEGMENT_HEADER_BYTES];
        for (at, commit) in commits.iter().enumerate() {
            let appended = log.append(head_of(&commits[..at]), &[Arc::clone(commit)]).await;
            appended.expect("nothing else is written here");
            ends.push(disk.bytes(&path()).map_or(0, |bytes| bytes.len()));
        }
        let file = disk.bytes(&path()).expect("it was written");
        Written { commits, ends, file }
    })
});

fn path() -> PathBuf {
    SegmentLog::segments_folder(Path::new(DIR)).join(format!("{:020}.seg", 1))
}

fn open(disk: &SimDisk) -> Result<SegmentLog, OpenError> {
    let options = SegmentOptions { disk: Arc::new(disk.clone()), ..SegmentOptions::default() };
    SegmentLog::open_writer(Path::new(DIR), market(), None, options)
}

/// The first byte says what the rest is: a whole file; edits of a good file; or such edits whose sums are then made good, as
/// somebody would who wants to be believed.
pub(super) fn any_file(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    match how % 3 {
        0 => drop(read(rest.to_vec())),
        1 => {
            let mut file = WRITTEN.file.clone();
            edits::apply(rest, &mut file);
            nothing_is_hidden(file);
        }
        _ => {
            let mut file = WRITTEN.file.clone();
            edits::apply(rest, &mut file);
            make_sums_good(&mut file);
            let read = read(file.clone());
            assert!(read.is_ok() || file != WRITTEN.file);
            groups(&file);
        }
    }
}

/// What is read out of a damaged file are the first of the commits that were written; those that are missing were cut as an
/// unfinished write, which is of the last bytes only; anything else is an error.
fn nothing_is_hidden(file: Vec<u8>) {
    let Written { commits, ends, file: good } = &*WRITTEN;
    let Ok((found, end)) = read(file.clone()) else {
        assert_ne!(file, *good, "a good file is read");
        return;
    };
    assert_eq!(found, commits[..found.len()], "nobody is given what was never written");
    let kept = ends[found.len()];
    if end == 0 {
        // Not even the header was whole: the file was begun and is thrown away.
        let is_begun = file.len() < SEGMENT_HEADER_BYTES
            || file[SEGMENT_HEADER_BYTES - 1..].iter().all(|byte| *byte == 0);
        assert!(is_begun && found.is_empty());
        return;
    }
    assert_eq!(end, kept, "what was kept ends behind the last commit that is given");
    assert_eq!(file[..kept], good[..kept], "what is kept was not touched");
    let rest = &file[kept..];
    let Some(header) = rest.first_chunk::<GROUP_HEADER_BYTES>() else { return };
    let is_unwritten = rest[GROUP_HEADER_BYTES - 1..].iter().all(|byte| *byte == 0);
    let is_short = GroupHeader::decode(header).is_ok_and(|header| {
        let end = header.group_bytes() as usize;
        end > rest.len() || rest[end - 1..].iter().all(|byte| *byte == 0)
    });
    assert!(is_unwritten || is_short, "only an unfinished write is cut");
}

/// Opens a file, and gives what is read of it and where what was kept of it ends.
fn read(file: Vec<u8>) -> Result<(Vec<Arc<Commit>>, usize), ReadError> {
    let disk = SimDisk::new();
    let size = file.len();
    disk.set_bytes(&path(), file);
    RUNTIME.block_on(async {
        let log = match open(&disk) {
            Ok(log) => log,
            Err(OpenError::Read(error)) => return Err(error),
            Err(OpenError::OtherMarket { .. }) => return Err(ReadError::NotACommit { from: 0 }),
            Err(other) => panic!("a disk that works: {other}"),
        };
        let end = log.cut().map_or(size, |cut| cut.offset as usize);
        let read: Vec<Arc<Commit>> = log.read(1).try_collect().await?;
        assert_eq!(head_of(&read), log.head().await?, "all is given");
        Ok((read, end))
    })
}

/// Walks over the groups of a file as far as their lengths lead.
fn groups(file: &[u8]) {
    let mut rest = file.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
    while let Some((bytes, behind)) = rest.split_first_chunk::<GROUP_HEADER_BYTES>() {
        let Ok(header) = GroupHeader::decode(bytes) else { return };
        let size = header.body_bytes as usize + GROUP_END_BYTES;
        let Some((group, next)) = behind.split_at_checked(size) else { return };
        if let Ok(body) = check_group(&header, group) {
            drop(decode_body(&header, body, 0));
        }
        rest = next;
    }
}

/// Computes the sums of a file anew, so that damage is found by what it says or not at all.
fn make_sums_good(file: &mut [u8]) {
    if let Some((header, sum)) =
        file.get_mut(..SEGMENT_HEADER_BYTES).and_then(|bytes| bytes.split_last_chunk_mut())
    {
        *sum = crc32c::crc32c(header).to_le_bytes();
    }
    let mut at = SEGMENT_HEADER_BYTES;
    while let Some(rest) = file.get_mut(at..).filter(|rest| rest.len() >= GROUP_HEADER_BYTES) {
        let (header, behind) = rest.split_at_mut(GROUP_HEADER_BYTES);
        let size = header[4..8].iter().rev().fold(0usize, |size, byte| size << 8 | usize::from(*byte));
        let Some(body) = behind.get(..size) else {
            let sum = crc32c::crc32c(&header[..32]);
            header[32..].copy_from_slice(&sum.to_le_bytes());
            return;
        };
        header[24..28].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        let sum = crc32c::crc32c(&header[..32]);
        header[32..].copy_from_slice(&sum.to_le_bytes());
        at += GROUP_HEADER_BYTES + size + GROUP_END_BYTES;
    }
}

/// The good file as it is, cut, flipped in places, with its numbers changed.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![[&[0], WRITTEN.file.as_slice()].concat(), vec![1], vec![2]];
    for how in [1, 2] {
        for at in [0usize, 8, 12, 48, 56, 124, 128, 132, 136, 144, 148, 152, 156, 160, 164, 168, 172] {
            let [high, low] = (at as u16).to_be_bytes();
            seeds.push(vec![how, 0, high, low, 0xff]);
            seeds.push(vec![how, 4, high, low, 0]);
        }
    }
    seeds
}
