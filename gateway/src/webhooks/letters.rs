//! Letters: events that an address was not told, on disk. They wait in lanes, one for each subject, in the order of the log; so what
//! an address is told of one subject is a beginning of it.
//!
//! A letter is a place and no copy: the event stays in the log, and is rendered anew whenever it is sent. All that changes letters is
//! done under one lock and in one transaction, with how far the address is where that changes too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use events::ids::WebhookId;
use events::webhook::EventFilter;
use events::{Position, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::transaction::{ConflictableTransactionError, TransactionError};
use sled::{Batch, Db, Transactional, Tree};

use super::progress::{Attempt, Progress, StoreError, read};
use crate::outside::NotSent;

/// Why an address was not told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LetterError {
    /// The address refused it: a status from 400 to 499, other than 408, 410 and 429.
    Refused,
    /// There was no answer, or one that asks to try again, as often as it is tried.
    Failed,
    /// It can't be shown as a message.
    Unrenderable,
    /// The message would be larger than any that is sent.
    TooLarge,
    /// It was not tried: an event before it, of the same subject, is a letter.
    Behind,
}

/// An event that an address was not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Letter {
    /// Where the event stands in the log.
    pub(crate) position: Position,
    /// The event's type, as it is stored.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// What the event is about; null: nothing, and its lane is that of its type.
    pub(crate) subject: Option<String>,
    /// Why it was not told.
    pub(crate) error: LetterError,
    /// The status of the last answer; null: there was none, or it was not tried.
    pub(crate) status: Option<u16>,
    /// Why there was no answer; null: there was one, or it was not tried.
    pub(crate) no_answer: Option<NotSent>,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it was tried last; null: it was not.
    pub(crate) tried_at: Option<Timestamp>,
    /// Since when it is a letter.
    pub(crate) parked_at: Timestamp,
}

impl Letter {
    /// Makes a letter of an event that was not tried.
    pub(super) fn new(recorded: &Recorded, error: LetterError, now: Timestamp) -> Letter {
        Letter {
            position: recorded.position,
            type_name: recorded.metadata.type_name.clone(),
            subject: recorded.metadata.subject.clone(),
            error,
            status: None,
            no_answer: None,
            attempts: 0,
            tried_at: None,
            parked_at: now,
        }
    }

    /// Gives the letter after an attempt, which was the `attempts`th.
    pub(super) fn tried(self, error: LetterError, attempt: &Attempt, attempts: u32) -> Letter {
        let (status, no_answer) = (attempt.status, attempt.error);
        Letter { error, status, no_answer, attempts, tried_at: Some(attempt.time), ..self }
    }

    fn lane(&self) -> Lane {
        Lane::of(self.subject.as_deref(), &self.type_name)
    }
}

/// What waits in one order: the events of a subject; of those without one, the events of a type, in whatever version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane(Vec<u8>);

impl Lane {
    fn of(subject: Option<&str>, type_name: &str) -> Lane {
        let unversioned = type_name.rsplit_once(".v").map_or(type_name, |(name, _)| name);
        let (kind, name) = subject.map_or((b't', unversioned), |subject| (b's', subject));
        Lane([&[kind], name.as_bytes()].concat())
    }

    /// Gives the key of the lane at an address. Its length comes first, so that no lane's is the beginning of another's.
    fn key(&self, webhook: WebhookId) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("a subject is an id, or a short name");
        [webhook.uuid().as_bytes().as_slice(), &length.to_be_bytes(), &self.0].concat()
    }

    /// Gives the key of a letter in the lane.
    fn key_at(&self, webhook: WebhookId, position: Position) -> Vec<u8> {
        [self.key(webhook).as_slice(), &position.to_be_bytes()].concat()
    }
}

/// Which letters are meant: those that are all of what is named here.
#[derive(Debug, Clone, Default)]
pub(crate) struct LetterFilter {
    /// Those about this.
    pub(crate) subject: Option<String>,
    /// Those of a type, or of types that begin so.
    pub(crate) types: Option<EventFilter>,
    /// Those that were not told for this reason.
    pub(crate) error: Option<LetterError>,
    /// Those that are letters since this moment or later.
    pub(crate) from: Option<Timestamp>,
    /// Those that are letters since before this moment.
    pub(crate) to: Option<Timestamp>,
}

impl LetterFilter {
    fn holds(&self, letter: &Letter) -> bool {
        self.subject.as_ref().is_none_or(|subject| letter.subject.as_ref() == Some(subject))
            && self.types.as_ref().is_none_or(|types| types.holds(&letter.type_name))
            && self.error.is_none_or(|error| error == letter.error)
            && self.from.is_none_or(|from| letter.parked_at >= from)
            && self.to.is_none_or(|to| letter.parked_at < to)
    }
}

/// A lane that is redriven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) lane: Lane,
    /// How far the views must have read the log, so that what somebody said before of its letters is known.
    pub(super) views: Position,
}

/// What came of parking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parked {
    /// It is a letter.
    Done,
    /// There are as many letters as may be.
    Full,
    /// Its owner has had the address go elsewhere meanwhile.
    Over,
}

type Aborted = ConflictableTransactionError<StoreError>;

impl From<TransactionError<StoreError>> for StoreError {
    fn from(error: TransactionError<StoreError>) -> StoreError {
        match error {
            TransactionError::Abort(error) => error,
            TransactionError::Storage(error) => StoreError::Disk(error),
        }
    }
}

/// The letters of all addresses.
pub(super) struct Letters {
    progress: Tree,
    /// By webhook and position.
    letters: Tree,
    /// Which letters there are, by webhook, lane and position.
    lanes: Tree,
    /// The lanes that are redriven, by webhook and lane.
    redrives: Tree,
    /// How many letters each address has. Whoever changes letters holds it.
    counts: Mutex<BTreeMap<WebhookId, u64>>,
}

type Counts<'a> = MutexGuard<'a, BTreeMap<WebhookId, u64>>;

impl Letters {
    pub(super) fn open(db: &Db, progress: Tree) -> Result<Letters, StoreError> {
        let letters = db.open_tree("letters")?;
        let mut counts = BTreeMap::new();
        for key in letters.iter().keys() {
            let key = key?;
            if let Some(id) = key.get(..16).and_then(|id| uuid::Uuid::from_slice(id).ok()) {
                *counts.entry(WebhookId::from_uuid(id)).or_insert(0) += 1;
            }
        }
        let (lanes, redrives) = (db.open_tree("lanes")?, db.open_tree("redrives")?);
        Ok(Letters { progress, letters, lanes, redrives, counts: Mutex::new(counts) })
    }

    /// Counts the letters of an address.
    pub(super) fn count(&self, webhook: WebhookId) -> u64 {
        self.lock().get(&webhook).copied().unwrap_or(0)
    }

    /// Counts the letters of all addresses.
    pub(super) fn total(&self) -> u64 {
        self.lock().values().sum()
    }

    /// Gives where the first letter of an address stands.
    pub(super) fn first_position(&self, webhook: WebhookId) -> Result<Option<Position>, StoreError> {
        let first = self.letters.scan_prefix(webhook.uuid().as_bytes()).keys().next().transpose()?;
        Ok(first.as_deref().and_then(last_position))
    }

    /// Makes an event a letter, and keeps in the same write how far the address is. `max`: most letters of it.
    pub(super) fn park(
        &self,
        webhook: WebhookId,
        letter: &Letter,
        progress: &Progress,
        max: u64,
    ) -> Result<Parked, StoreError> {
        self.put(self.lock(), webhook, letter, progress, max)
    }

    /// The same, if another event of its lane is a letter; none: there is none, so it is to be tried.
    pub(super) fn park_behind(
        &self,
        webhook: WebhookId,
        letter: &Letter,
        progress: &Progress,
        max: u64,
    ) -> Result<Option<Parked>, StoreError> {
        let counts = self.lock();
        if self.lanes.scan_prefix(letter.lane().key(webhook)).next().transpose()?.is_none() {
            return Ok(None);
        }
        self.put(counts, webhook, letter, progress, max).map(Some)
    }

    fn put(
        &self,
        mut counts: Counts<'_>,
        webhook: WebhookId,
        letter: &Letter,
        progress: &Progress,
        max: u64,
    ) -> Result<Parked, StoreError> {
        let (key, position) = (letter_key(webhook, letter.position), letter.position);
        let is_new = !self.letters.contains_key(&key)?;
        let count = counts.entry(webhook).or_insert(0);
        if is_new && *count >= max {
            return Ok(Parked::Full);
        }
        let (value, told) = (serde_json::to_vec(letter)?, serde_json::to_vec(progress)?);
        let lane = letter.lane().key_at(webhook, position);
        let own = webhook.uuid().into_bytes();
        let trees = (&self.progress, &self.letters, &self.lanes);
        let parked = trees.transaction(|(all, letters, lanes)| {
            let known: Option<Progress> = read(all.get(own)?).map_err(Aborted::Abort)?;
            if known.is_some_and(|known| known.turn != progress.turn) {
                return Ok(false);
            }
            all.insert(&own, told.as_slice())?;
            if is_new {
                letters.insert(key.as_slice(), value.as_slice())?;
                lanes.insert(lane.as_slice(), &[])?;
            }
            Ok(true)
        })?;
        if !parked {
            return Ok(Parked::Over);
        }
        *count += u64::from(is_new);
        Ok(Parked::Done)
    }

    /// Lists letters of an address from a position on, in the order of the log.
    pub(super) fn list(
        &self,
        webhook: WebhookId,
        filter: &LetterFilter,
        from: Position,
        limit: usize,
    ) -> Result<Vec<Letter>, StoreError> {
        let found = self.letters.range(letter_key(webhook, from)..=letter_key(webhook, Position::MAX));
        let all = found.map(|row| Ok::<Letter, StoreError>(serde_json::from_slice(&row?.1)?));
        all.filter(|letter| letter.as_ref().map_or(true, |letter| filter.holds(letter))).take(limit).collect()
    }

    /// Tells whether the lane of a letter is redriven.
    pub(super) fn is_redriven(&self, webhook: WebhookId, letter: &Letter) -> Result<bool, StoreError> {
        Ok(self.redrives.contains_key(letter.lane().key(webhook))?)
    }

    /// Has lanes redriven: those whose first letter is one that is meant. `views`: how far the views must have read the log before.
    /// Gives how many lanes that are, and how many letters they have.
    pub(super) fn mark(
        &self,
        webhook: WebhookId,
        filter: &LetterFilter,
        views: Position,
    ) -> Result<(u64, u64), StoreError> {
        let _counts = self.lock();
        let (mut seen, mut batch) = (BTreeMap::new(), Batch::default());
        let (mut lanes, mut letters) = (0, 0);
        for row in self.letters.scan_prefix(webhook.uuid().as_bytes()) {
            let letter: Letter = serde_json::from_slice(&row?.1)?;
            let lane = letter.lane();
            let is_meant = *seen.entry(lane.clone()).or_insert_with(|| {
                let is_meant = filter.holds(&letter);
                if is_meant {
                    lanes += 1;
                    batch.insert(lane.key(webhook), &views.to_be_bytes());
                }
                is_meant
            });
            letters += u64::from(is_meant);
        }
        self.redrives.apply_batch(batch)?;
        self.redrives.flush()?;
        Ok((lanes, letters))
    }

    /// Lists the lanes of an address that are redriven.
    pub(super) fn marked(&self, webhook: WebhookId) -> Result<Vec<Marked>, StoreError> {
        let found = self.redrives.scan_prefix(webhook.uuid().as_bytes());
        let marked = found.map(|row| {
            let (key, value) = row?;
            let lane = Lane(key.get(20..).unwrap_or_default().to_vec());
            Ok(Marked { lane, views: last_position(&value).unwrap_or(0) })
        });
        marked.collect()
    }

    /// Ends with redriving an address; its letters stay.
    pub(super) fn unmark_all(&self, webhook: WebhookId) -> Result<(), StoreError> {
        let _counts = self.lock();
        let mut batch = Batch::default();
        for key in self.redrives.scan_prefix(webhook.uuid().as_bytes()).keys() {
            batch.remove(key?);
        }
        Ok(self.redrives.apply_batch(batch)?)
    }

    /// Gives the first letter of a lane; none: it is empty, and redriven no more.
    pub(super) fn first(&self, webhook: WebhookId, lane: &Lane) -> Result<Option<Letter>, StoreError> {
        let _counts = self.lock();
        for key in self.lanes.scan_prefix(lane.key(webhook)).keys() {
            let key = key?;
            let position = last_position(&key).unwrap_or(0);
            if let Some(letter) = read(self.letters.get(letter_key(webhook, position))?)? {
                return Ok(Some(letter));
            }
            // It says nothing.
            self.lanes.remove(key)?;
        }
        self.redrives.remove(lane.key(webhook))?;
        Ok(None)
    }

    /// Keeps what came of trying a letter, if it still is one. `is_end`: its lane is redriven no more.
    pub(super) fn keep(&self, webhook: WebhookId, letter: &Letter, is_end: bool) -> Result<(), StoreError> {
        let _counts = self.lock();
        let (key, value) = (letter_key(webhook, letter.position), serde_json::to_vec(letter)?);
        let lane = letter.lane().key(webhook);
        let kept = (&self.letters, &self.redrives).transaction(|(letters, redrives)| {
            if letters.get(&key)?.is_some() {
                letters.insert(key.as_slice(), value.as_slice())?;
            }
            if is_end {
                redrives.remove(lane.as_slice())?;
            }
            Ok::<_, Aborted>(())
        });
        Ok(kept?)
    }

    /// Ends a letter: its address was told, or is not to be. With its last letter a lane is redriven no more.
    pub(super) fn remove(&self, webhook: WebhookId, letter: &Letter) -> Result<(), StoreError> {
        self.remove_range(webhook, letter.position..=letter.position, None)
    }

    /// Ends letters in a range of positions. `change` says how far the address is then, in the same write.
    pub(super) fn remove_range(
        &self,
        webhook: WebhookId,
        range: RangeInclusive<Position>,
        change: Option<&dyn Fn(Progress) -> Progress>,
    ) -> Result<(), StoreError> {
        let mut counts = self.lock();
        let own = webhook.uuid().into_bytes();
        let (mut ended, mut lanes) = (BTreeSet::new(), BTreeMap::<Lane, BTreeSet<Vec<u8>>>::new());
        for row in self.letters.range(letter_key(webhook, *range.start())..=letter_key(webhook, *range.end()))
        {
            let (key, value) = row?;
            let letter: Letter = serde_json::from_slice(&value)?;
            let lane = letter.lane();
            lanes.entry(lane.clone()).or_default().insert(lane.key_at(webhook, letter.position));
            ended.insert(key);
        }
        let mut emptied = Vec::new();
        for (lane, gone) in &lanes {
            let left = self.lanes.scan_prefix(lane.key(webhook)).keys();
            let mut left = left.filter(|key| key.as_ref().map_or(true, |key| !gone.contains(key.as_ref())));
            if left.next().transpose()?.is_none() {
                emptied.push(lane.key(webhook));
            }
        }
        let trees = (&self.progress, &self.letters, &self.lanes, &self.redrives);
        trees.transaction(|(all, letters, in_lanes, redrives)| {
            if let Some(change) = change {
                let known: Option<Progress> = read(all.get(own)?).map_err(Aborted::Abort)?;
                let new = serde_json::to_vec(&change(known.unwrap_or_default()));
                all.insert(&own, new.map_err(|error| Aborted::Abort(error.into()))?)?;
            }
            for key in &ended {
                letters.remove(key)?;
            }
            for key in lanes.values().flatten() {
                in_lanes.remove(key.as_slice())?;
            }
            for key in &emptied {
                redrives.remove(key.as_slice())?;
            }
            Ok::<_, Aborted>(())
        })?;
        let count = counts.entry(webhook).or_insert(0);
        *count = count.saturating_sub(ended.len() as u64);
        if *count == 0 {
            counts.remove(&webhook);
        }
        Ok(())
    }

    /// Forgets the letters of an address.
    pub(super) fn forget(&self, webhook: WebhookId) -> Result<(), StoreError> {
        self.remove_range(webhook, 0..=Position::MAX, None)
    }

    fn lock(&self) -> Counts<'_> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn letter_key(webhook: WebhookId, position: Position) -> Vec<u8> {
    [webhook.uuid().as_bytes().as_slice(), &position.to_be_bytes()].concat()
}

/// Reads the position at the end of a key or a value.
fn last_position(bytes: &[u8]) -> Option<Position> {
    Some(Position::from_be_bytes(*bytes.last_chunk()?))
}

#[cfg(test)]
mod tests;
