//! Commits and the chain they form.
//!
//! A commit is the events of one decision. Its hash covers its events and, through the first event's metadata,
//! the hash of the commit before; so a position and a hash together name one history and no other.

use crate::event::{DecodeError, Event};
use crate::hash::{Hash, Hasher};
use crate::ids::{CommitId, MarketName};
use crate::metadata::{Cause, CommitStart, EVENTS_PER_COMMIT_MAX, Metadata};
use crate::time::Timestamp;

/// The place of an event in its market's log, counted from 1 without gaps. On JetStream it is the stream sequence.
pub type Position = u64;

/// The end of a log: how far it goes and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Head {
    /// Position of the last event; 0 for an empty log.
    pub position: Position,
    /// Hash of the last commit; zero for an empty log.
    pub hash: Hash,
}

impl Head {
    /// The head of a log that holds nothing.
    pub const EMPTY: Head = Head { position: 0, hash: Hash::ZERO };
}

/// An event as it stands in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Where it stands.
    pub position: Position,
    /// What is known of it.
    pub metadata: Metadata,
    /// What it says.
    pub event: Event,
    /// The canonical JSON of the metadata: what is stored and hashed.
    pub metadata_json: Vec<u8>,
    /// The JSON of the payload: what is stored and hashed.
    pub payload_json: Vec<u8>,
    leaf: Hash,
}

impl Recorded {
    fn new(
        position: Position,
        metadata: Metadata,
        event: Event,
        metadata_json: Vec<u8>,
        payload_json: Vec<u8>,
    ) -> Recorded {
        let leaf = leaf(&metadata_json, &payload_json);
        Recorded { position, metadata, event, metadata_json, payload_json, leaf }
    }

    /// Gives the event's id, unique for ever: that of its commit and its place in it.
    pub fn id(&self) -> String {
        event_id(self.metadata.commit, self.metadata.index)
    }

    /// Gives what the market's Merkle tree has as its leaf:
    /// `SHA-256(0x00 ‖ u32 length of the metadata, big-endian ‖ metadata ‖ payload)`.
    pub fn leaf(&self) -> Hash {
        self.leaf
    }
}

/// Writes an event's id.
pub fn event_id(commit: CommitId, index: u16) -> String {
    format!("{commit}.{index}")
}

fn leaf(metadata_json: &[u8], payload_json: &[u8]) -> Hash {
    let length = u32::try_from(metadata_json.len()).expect("metadata is bounded by the size of a command");
    let mut hasher = Hasher::new();
    hasher.update(&[0x00]);
    hasher.update(&length.to_be_bytes());
    hasher.update(metadata_json);
    hasher.update(payload_json);
    hasher.finish()
}

/// The events of one decision, sealed: complete, in order, and chained to the commit before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    events: Vec<Recorded>,
    hash: Hash,
}

/// What a decision needs besides its events to become a commit.
#[derive(Debug, Clone)]
pub struct Seal {
    /// The id it will have.
    pub id: CommitId,
    /// The market.
    pub market: MarketName,
    /// When it was decided.
    pub time: Timestamp,
    /// What made the market decide.
    pub cause: Cause,
    /// W3C trace context, if any.
    pub traceparent: Option<String>,
}

/// Why stored events are no commit that follows another.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// An event can't be understood.
    #[error("event at position {position}")]
    Decode {
        /// Where it stands.
        position: Position,
        /// What is wrong.
        source: DecodeError,
    },
    /// Metadata is not what it must be.
    #[error("metadata at position {position} is damaged")]
    Metadata {
        /// Where it stands.
        position: Position,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Events of a commit are missing, doubled or mixed with another's.
    #[error("commit at position {position} is not whole: {rule}")]
    NotWhole {
        /// Where the commit begins.
        position: Position,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The commit names another predecessor than the log has.
    #[error("commit at position {position} follows {found}, but the log before it ends with {expected}")]
    Broken {
        /// Where the commit begins.
        position: Position,
        /// The hash of what stands before.
        expected: Hash,
        /// The hash it names.
        found: Hash,
    },
}

/// An event as bytes, before it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The canonical JSON of the metadata.
    pub metadata_json: Vec<u8>,
    /// The JSON of the payload.
    pub payload_json: Vec<u8>,
}

impl Commit {
    /// Seals the events of a decision behind `head`.
    ///
    /// # Panics
    /// If there are no events, or more than [`EVENTS_PER_COMMIT_MAX`]: deciders are written so that it can't be.
    pub fn seal(head: Head, seal: Seal, events: Vec<Event>) -> Commit {
        assert!(!events.is_empty(), "a decision has at least one event");
        assert!(
            events.len() <= EVENTS_PER_COMMIT_MAX,
            "a decision has at most {EVENTS_PER_COMMIT_MAX} events"
        );
        let count = events.len() as u16;
        let Seal { id, market, time, cause, traceparent } = seal;
        let mut start = Some(CommitStart { cause, previous: head.hash, traceparent });
        let recorded = events.into_iter().zip(0u16..).map(|(event, index)| {
            let metadata = Metadata {
                commit: id,
                count,
                index,
                market: market.clone(),
                start: start.take(),
                subject: event.subject(),
                time,
                type_name: event.type_name().to_owned(),
            };
            let metadata_json =
                serde_json::to_vec(&metadata).expect("metadata holds nothing that JSON can't say");
            let payload_json = event.encode();
            let position = head.position + 1 + u64::from(index);
            Recorded::new(position, metadata, event, metadata_json, payload_json)
        });
        Commit::hashed(recorded.collect())
    }

    /// Reads a commit whose first event stands at `first` from what is stored. Whether it follows the commit
    /// before is asked with [`Commit::check_follows`].
    pub fn from_stored(first: Position, stored: Vec<Stored>) -> Result<Commit, ChainError> {
        let mut events = Vec::with_capacity(stored.len());
        for (position, Stored { metadata_json, payload_json }) in (first..).zip(stored) {
            let metadata: Metadata = serde_json::from_slice(&metadata_json)
                .map_err(|source| ChainError::Metadata { position, source })?;
            let event = Event::decode(&metadata.type_name, &payload_json)
                .map_err(|source| ChainError::Decode { position, source })?;
            events.push(Recorded::new(position, metadata, event, metadata_json, payload_json));
        }
        check_whole(first, &events)?;
        Ok(Commit::hashed(events))
    }

    fn hashed(events: Vec<Recorded>) -> Commit {
        let mut hasher = Hasher::new();
        hasher.update(&[0x02]);
        for recorded in &events {
            hasher.update(recorded.leaf().as_bytes());
        }
        Commit { events, hash: hasher.finish() }
    }

    /// Checks that this commit is the one after `head`.
    pub fn check_follows(&self, head: Head) -> Result<(), ChainError> {
        let position = self.first_position();
        if position != head.position + 1 {
            return Err(ChainError::NotWhole {
                position,
                rule: "it does not stand right behind the commit before",
            });
        }
        let found = self.start().previous;
        if found != head.hash {
            return Err(ChainError::Broken { position, expected: head.hash, found });
        }
        Ok(())
    }

    /// Gives the events in order.
    pub fn events(&self) -> &[Recorded] {
        &self.events
    }

    /// Gives the log's head behind this commit.
    pub fn head(&self) -> Head {
        Head { position: self.first_position() + self.events.len() as u64 - 1, hash: self.hash }
    }

    /// Gives the position of its first event.
    pub fn first_position(&self) -> Position {
        self.events[0].position
    }

    /// Gives its id.
    pub fn id(&self) -> CommitId {
        self.events[0].metadata.commit
    }

    /// Gives when it was decided.
    pub fn time(&self) -> Timestamp {
        self.events[0].metadata.time
    }

    /// Gives where it comes from.
    pub fn start(&self) -> &CommitStart {
        self.events[0].metadata.start.as_ref().expect("the first event of a sealed commit has its start")
    }

    /// Gives the head of the log before this commit.
    pub fn previous_head(&self) -> Head {
        Head { position: self.first_position() - 1, hash: self.start().previous }
    }
}

fn check_whole(position: Position, events: &[Recorded]) -> Result<(), ChainError> {
    let not_whole = |rule| ChainError::NotWhole { position, rule };
    let first = events.first().ok_or(not_whole("it has no events"))?;
    if first.metadata.start.is_none() {
        return Err(not_whole("its first event does not say where it comes from"));
    }
    if events.len() != usize::from(first.metadata.count) {
        return Err(not_whole("it has not as many events as it says"));
    }
    for (event, index) in events.iter().zip(0u16..) {
        let metadata = &event.metadata;
        if metadata.index != index {
            return Err(not_whole("its events are out of order"));
        }
        if metadata.commit != first.metadata.commit || metadata.count != first.metadata.count {
            return Err(not_whole("events of two commits are mixed"));
        }
        if index > 0 && metadata.start.is_some() {
            return Err(not_whole("a later event claims to be its first"));
        }
    }
    Ok(())
}
