//! The bytes of a segment file, as `docs/segment-format.md` lays them out. Numbers are little-endian.

use std::sync::Arc;

use events::commit::Stored;
use events::ids::MarketName;
use events::{Commit, Hash, Head, Position};

/// Version of the layout.
pub const VERSION: u32 = 1;

/// Bytes of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = 128;

/// Bytes of a group's header.
pub const GROUP_HEADER_BYTES: usize = 36;

/// Bytes behind a group's body.
pub const GROUP_END_BYTES: usize = 4;

const SEGMENT_MAGIC: [u8; 8] = *b"SKYLSEG\n";
const GROUP_MAGIC: [u8; 4] = *b"GRUP";
/// Its last byte has several bits set, so that neither a write that stopped early nor one flipped bit looks like it
/// was never written.
const GROUP_END: [u8; GROUP_END_BYTES] = *b"END\n";

/// What is wrong with bytes of a segment file.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The file is none of ours, or its first bytes are damaged.
    #[error("the segment's header is damaged: {0}")]
    SegmentHeader(&'static str),
    /// The layout is of another version.
    #[error("the segment has layout version {0}: it was written by a newer version of this program")]
    Version(u32),
    /// A group's header is damaged.
    #[error("the group's header is damaged: {0}")]
    GroupHeader(&'static str),
    /// A group's events are damaged.
    #[error("the group's events are damaged: {0}")]
    GroupBody(&'static str),
    /// Something is missing or stands in a wrong place.
    #[error("position {found} stands where {expected} belongs")]
    Position {
        /// What should stand there.
        expected: Position,
        /// What does.
        found: Position,
    },
    /// A segment that others follow ends in the middle of a group.
    #[error("the segment ends in the middle of a group, and another segment follows")]
    Incomplete,
    /// The end of one segment is not what the next says it follows.
    #[error("the segment follows {found}, but the one before ends with {expected}")]
    Hash {
        /// The hash of the last commit before.
        expected: Hash,
        /// What the header names.
        found: Hash,
    },
}

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The market.
    pub market: MarketName,
    /// The head of the log before this segment.
    pub previous: Head,
}

impl SegmentHeader {
    /// Writes the header.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let name = self.market.as_str().as_bytes();
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(name.len() as u32).to_le_bytes());
        bytes[16..16 + name.len()].copy_from_slice(name);
        bytes[48..56].copy_from_slice(&(self.previous.position + 1).to_le_bytes());
        bytes[56..88].copy_from_slice(self.previous.hash.as_bytes());
        let sum = crc32c::crc32c(&bytes[..124]);
        bytes[124..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, FormatError> {
        if bytes[..8] != SEGMENT_MAGIC {
            return Err(FormatError::SegmentHeader("it does not begin with SKYLSEG"));
        }
        if crc32c::crc32c(&bytes[..124]) != u32_at(bytes, 124) {
            return Err(FormatError::SegmentHeader("its sum is wrong"));
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        let name = bytes[16..48].get(..u32_at(bytes, 12) as usize);
        let market = name
            .and_then(|name| std::str::from_utf8(name).ok()?.parse().ok())
            .ok_or(FormatError::SegmentHeader("the market's name is none"))?;
        let first = u64_at(bytes, 48);
        let position = first.checked_sub(1).ok_or(FormatError::SegmentHeader("positions begin at 1"))?;
        let mut hash = [0; 32];
        hash.copy_from_slice(&bytes[56..88]);
        Ok(SegmentHeader { market, previous: Head { position, hash: Hash::from_bytes(hash) } })
    }
}

/// What a group says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupHeader {
    /// Position of its first event.
    pub first: Position,
    /// How many events it has.
    pub events: u32,
    /// How many commits it has.
    pub commits: u32,
    /// Bytes of its body.
    pub body_bytes: u32,
    /// CRC32C of its body.
    pub body_sum: u32,
}

impl GroupHeader {
    fn encode(&self) -> [u8; GROUP_HEADER_BYTES] {
        let mut bytes = [0; GROUP_HEADER_BYTES];
        bytes[..4].copy_from_slice(&GROUP_MAGIC);
        bytes[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.events.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.commits.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.body_sum.to_le_bytes());
        // Bytes 28 to 32 are zero, for what a later version may need.
        let sum = crc32c::crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let sum = crc32c::crc32c(&bytes[..32]);
        if sum != u32_at(bytes, 32) {
            return Err(FormatError::GroupHeader("its sum is wrong"));
        }
        if bytes[..4] != GROUP_MAGIC {
            return Err(FormatError::GroupHeader("it does not begin with GRUP"));
        }
        let header = GroupHeader {
            first: u64_at(bytes, 8),
            events: u32_at(bytes, 16),
            commits: u32_at(bytes, 20),
            body_bytes: u32_at(bytes, 4),
            body_sum: u32_at(bytes, 24),
        };
        if header.commits == 0 || header.events < header.commits {
            return Err(FormatError::GroupHeader("it has no events"));
        }
        Ok(header)
    }

    /// Gives the bytes of the whole group.
    pub fn group_bytes(&self) -> u64 {
        (GROUP_HEADER_BYTES + GROUP_END_BYTES) as u64 + u64::from(self.body_bytes)
    }

    /// Gives the position of its last event.
    pub fn last(&self) -> Position {
        self.first + u64::from(self.events) - 1
    }
}

/// Writes `commits` as one group into `bytes`, which is emptied first.
///
/// # Panics
/// If there are none, or more than 4 GiB of them.
pub fn encode_group(commits: &[Arc<Commit>], bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend_from_slice(&[0; GROUP_HEADER_BYTES]);
    let mut events = 0;
    for commit in commits {
        push_length(bytes, commit.events().len());
        for event in commit.events() {
            push_length(bytes, event.metadata_json.len());
            push_length(bytes, event.payload_json.len());
            bytes.extend_from_slice(&event.metadata_json);
            bytes.extend_from_slice(&event.payload_json);
            events += 1;
        }
    }
    let body = &bytes[GROUP_HEADER_BYTES..];
    let header = GroupHeader {
        first: commits[0].first_position(),
        events,
        commits: commits.len() as u32,
        body_bytes: u32::try_from(body.len())
            .expect("commands are bounded, and so are the events of an append"),
        body_sum: crc32c::crc32c(body),
    };
    bytes[..GROUP_HEADER_BYTES].copy_from_slice(&header.encode());
    bytes.extend_from_slice(&GROUP_END);
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("commands are bounded, and so are their events");
    bytes.extend_from_slice(&length.to_le_bytes());
}

/// The events of one commit as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommit {
    /// Position of its first event.
    pub first: Position,
    /// Its events.
    pub events: Vec<Stored>,
}

/// Checks what stands behind a group's header: its body and its end.
pub fn check_group<'a>(header: &GroupHeader, rest: &'a [u8]) -> Result<&'a [u8], FormatError> {
    let (body, end) = rest.split_at(header.body_bytes as usize);
    if end != GROUP_END {
        return Err(FormatError::GroupBody("its end mark is missing"));
    }
    if crc32c::crc32c(body) != header.body_sum {
        return Err(FormatError::GroupBody("their sum is wrong"));
    }
    Ok(body)
}

/// Reads the commits of a checked body; those that begin before `from` are passed over.
pub fn decode_body(
    header: &GroupHeader,
    body: &[u8],
    from: Position,
) -> Result<Vec<StoredCommit>, FormatError> {
    let mut cursor = Cursor(body);
    let mut commits = Vec::with_capacity(header.commits.min(1024) as usize);
    let mut first = header.first;
    for _ in 0..header.commits {
        let count = cursor.length()?;
        let mut events = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            let (metadata, payload) = (cursor.length()?, cursor.length()?);
            let (metadata, payload) = (cursor.take(metadata)?, cursor.take(payload)?);
            if first >= from {
                events.push(Stored { metadata_json: metadata.to_vec(), payload_json: payload.to_vec() });
            }
        }
        if first >= from {
            commits.push(StoredCommit { first, events });
        }
        first += count as u64;
    }
    if !cursor.0.is_empty() || first != header.last() + 1 {
        return Err(FormatError::GroupBody("there are not as many as the header says"));
    }
    Ok(commits)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or(FormatError::GroupBody("a length leads past their end"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize, FormatError> {
        Ok(u32_at(self.take(4)?, 0) as usize)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
