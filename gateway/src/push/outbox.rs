//! What waits to be told, and up to where the log was looked at, on disk: both change together. When it is deleted, what waited is
//! forgotten, and the log says about how far this process was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use events::ids::{AccountId, PushSubscriptionId};
use events::push::Topic;
use events::{Position, Timestamp};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use super::WAITING_MAX;
use crate::disk;
use crate::outside::NotSent;

/// Under what keys things stand: how far this is, what waits, and what was sent to a device last.
const PROGRESS: &[u8] = b"p";
const WAITING: u8 = b'w';
const LAST: u8 = b'l';
/// Bytes of a key of [`WAITING`] behind its first: account, subscription, and of what it is the newest message.
const WAITING_KEY_BYTES: usize = 16 + 16 + 24;

/// Why what waits can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The disk, or the files.
    #[error(
        "the outbox of notifications failed: mend the disk, or delete its folder, and what waited is forgotten"
    )]
    Disk(#[from] sled::Error),
    /// A value can't be understood.
    #[error(
        "a value in the outbox of notifications is damaged: delete its folder, and what waited is forgotten"
    )]
    Damaged(#[from] serde_json::Error),
}

/// Up to where the log was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The last event that was.
    pub(super) position: Position,
    /// What of it the log says.
    pub(super) noted: Position,
}

/// One device, and of what it is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) account: AccountId,
    pub(super) subscription: PushSubscriptionId,
    /// A message takes the place of the one of the same collapse.
    pub(super) collapse: [u8; 24],
}

impl Slot {
    fn key(&self) -> Vec<u8> {
        let (account, subscription) = (self.account.uuid(), self.subscription.uuid());
        [&[WAITING], account.as_bytes().as_slice(), subscription.as_bytes(), &self.collapse].concat()
    }

    fn read(key: &[u8]) -> Option<Slot> {
        let rest: &[u8; WAITING_KEY_BYTES] = key.get(1..)?.try_into().ok()?;
        let (account, rest) = rest.split_first_chunk()?;
        let (subscription, rest) = rest.split_first_chunk()?;
        Some(Slot {
            account: AccountId::from_uuid(uuid::Uuid::from_bytes(*account)),
            subscription: PushSubscriptionId::from_uuid(uuid::Uuid::from_bytes(*subscription)),
            collapse: rest.try_into().ok()?,
        })
    }
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Where the event stands.
    pub(super) position: Position,
    /// What is told, in JSON.
    pub(super) text: String,
    /// The event's type.
    pub(super) type_name: String,
    pub(super) topic: Topic,
    pub(super) is_urgent: bool,
    /// When it is to be sent.
    pub(super) due: Timestamp,
    /// Until when it is worth to be told.
    pub(super) worth_until: Timestamp,
    /// How often it was tried.
    pub(super) attempts: u32,
}

/// What was sent to a device last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LastNotification")]
pub(crate) struct Last {
    /// The event's type.
    #[serde(rename = "type")]
    pub(super) type_name: String,
    /// Where the event stands in the log.
    pub(super) position: Position,
    /// When it was tried.
    pub(super) time: Timestamp,
    /// The status of the service's answer; null: there was none.
    pub(super) status: Option<u16>,
    /// Why there was no answer; null: there was one.
    pub(super) error: Option<NotSent>,
}

/// What waits.
pub(super) struct Outbox {
    tree: Tree,
    /// What is due when, but for what is being sent.
    due: Mutex<Due>,
}

/// By when it is due, and by what it is about.
#[derive(Default)]
struct Due {
    in_order: BTreeSet<(Timestamp, Slot)>,
    by_slot: BTreeMap<Slot, Timestamp>,
}

impl Due {
    fn set(&mut self, slot: Slot, due: Timestamp) {
        self.remove(&slot);
        self.by_slot.insert(slot, due);
        self.in_order.insert((due, slot));
    }

    fn remove(&mut self, slot: &Slot) {
        if let Some(due) = self.by_slot.remove(slot) {
            self.in_order.remove(&(due, *slot));
        }
    }
}

impl Outbox {
    pub(super) fn open(dir: &Path) -> Result<Outbox, OutboxError> {
        let db = disk::open(dir)?;
        let tree = db.open_tree("outbox")?;
        let mut due = Due::default();
        for row in tree.scan_prefix([WAITING]) {
            let (key, value) = row?;
            let waiting: Waiting = serde_json::from_slice(&value)?;
            if let Some(slot) = Slot::read(&key) {
                due.set(slot, waiting.due);
            }
        }
        Ok(Outbox { tree, due: Mutex::new(due) })
    }

    fn lock(&self) -> MutexGuard<'_, Due> {
        // Whatever a holder that panicked left undone, the next start reads from the disk.
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> Result<Option<Progress>, OutboxError> {
        self.read(PROGRESS)
    }

    /// Adds messages and says up to where the log was looked at, in one write. Gives how many found no room.
    pub(super) fn add(&self, new: Vec<(Slot, Waiting)>, progress: &Progress) -> Result<u64, OutboxError> {
        let mut due = self.lock();
        let (mut batch, mut added, mut left_out) = (Batch::default(), BTreeMap::new(), 0);
        for (slot, mut waiting) in new {
            let known = due.by_slot.contains_key(&slot) || added.contains_key(&slot);
            if !known && due.by_slot.len() + added.len() >= WAITING_MAX {
                left_out += 1;
                continue;
            }
            // A device that took nothing is left alone as long, whatever is new.
            let before: Option<Waiting> = self.read(&slot.key())?;
            if let Some(before) = before.filter(|before| before.attempts > 0) {
                waiting.due = waiting.due.max(before.due);
            }
            batch.insert(slot.key(), serde_json::to_vec(&waiting)?);
            added.insert(slot, waiting.due);
        }
        batch.insert(PROGRESS, serde_json::to_vec(progress)?);
        self.tree.apply_batch(batch)?;
        added.into_iter().for_each(|(slot, at)| due.set(slot, at));
        Ok(left_out)
    }

    /// Takes what is due out to be sent, one of each account and none of some accounts. Whoever takes it says what became of it.
    pub(super) fn take_due(
        &self,
        now: Timestamp,
        limit: usize,
        but_of: &BTreeSet<AccountId>,
    ) -> Result<Vec<(Slot, Waiting)>, OutboxError> {
        let mut due = self.lock();
        let mut accounts = but_of.clone();
        let ready = due.in_order.iter().take_while(|(at, _)| *at <= now).map(|(_, slot)| *slot);
        let taken: Vec<Slot> = ready.filter(|slot| accounts.insert(slot.account)).take(limit).collect();
        let mut found = Vec::with_capacity(taken.len());
        for slot in taken {
            due.remove(&slot);
            let waiting: Option<Waiting> = self.read(&slot.key())?;
            found.extend(waiting.map(|waiting| (slot, waiting)));
        }
        Ok(found)
    }

    /// Ends a message, unless a newer one took its place meanwhile, and notes what was sent.
    pub(super) fn end(&self, slot: Slot, sent: &Waiting, last: Option<&Last>) -> Result<(), OutboxError> {
        let _due = self.lock();
        let mut batch = Batch::default();
        let now: Option<Waiting> = self.read(&slot.key())?;
        if now.is_some_and(|now| now.position == sent.position) {
            batch.remove(slot.key());
        }
        if let Some(last) = last {
            batch.insert(last_key(slot.subscription), serde_json::to_vec(last)?);
        }
        self.tree.apply_batch(batch)?;
        Ok(())
    }

    /// Has a message wait on, unless a newer one took its place meanwhile, and notes what was tried.
    pub(super) fn put_back(
        &self,
        slot: Slot,
        waiting: &Waiting,
        last: Option<&Last>,
    ) -> Result<(), OutboxError> {
        let mut due = self.lock();
        let mut batch = Batch::default();
        let now: Option<Waiting> = self.read(&slot.key())?;
        match now {
            Some(now) if now.position != waiting.position => {
                // It is left alone as long as the one before would have been.
                let later = now.due.max(waiting.due);
                batch.insert(slot.key(), serde_json::to_vec(&Waiting { due: later, ..now })?);
                due.set(slot, later);
            }
            _ => {
                batch.insert(slot.key(), serde_json::to_vec(waiting)?);
                due.set(slot, waiting.due);
            }
        }
        if let Some(last) = last {
            batch.insert(last_key(slot.subscription), serde_json::to_vec(last)?);
        }
        self.tree.apply_batch(batch)?;
        Ok(())
    }

    /// Gives what was sent to a device last.
    pub(super) fn last(&self, subscription: PushSubscriptionId) -> Result<Option<Last>, OutboxError> {
        self.read(&last_key(subscription))
    }

    /// Forgets what was sent to a device last.
    pub(super) fn forget(&self, subscription: PushSubscriptionId) -> Result<(), OutboxError> {
        self.tree.remove(last_key(subscription))?;
        Ok(())
    }

    /// Tells how much waits.
    pub(super) fn waiting(&self) -> usize {
        self.lock().by_slot.len()
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, OutboxError> {
        Ok(self.tree.get(key)?.map(|value| serde_json::from_slice(&value)).transpose()?)
    }
}

fn last_key(subscription: PushSubscriptionId) -> Vec<u8> {
    [&[LAST], subscription.uuid().as_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn slot(account: u128, order: u8) -> Slot {
        let account = AccountId::from_uuid(Uuid::from_u128(account));
        let subscription = PushSubscriptionId::from_uuid(Uuid::from_u128(7));
        Slot { account, subscription, collapse: [order; 24] }
    }

    fn waiting(position: Position, due: i64) -> Waiting {
        Waiting {
            position,
            text: "{}".to_owned(),
            type_name: "order.shipped.v1".to_owned(),
            topic: Topic::Orders,
            is_urgent: false,
            due: at(due),
            worth_until: at(1_000),
            attempts: 0,
        }
    }

    fn due(outbox: &Outbox, now: i64) -> Vec<Position> {
        let taken = outbox.take_due(at(now), 9, &BTreeSet::new()).unwrap();
        taken.into_iter().map(|(_, waiting)| waiting.position).collect()
    }

    #[test]
    fn the_newest_of_an_order_takes_the_place_of_those_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path()).unwrap();
        let progress = Progress { position: 3, noted: 0 };
        let new =
            vec![(slot(1, 1), waiting(1, 0)), (slot(2, 1), waiting(2, 50)), (slot(1, 1), waiting(3, 0))];
        assert_eq!(outbox.add(new, &progress).unwrap(), 0);
        assert_eq!(outbox.waiting(), 2);
        assert_eq!(due(&outbox, 10), [3]);
        assert_eq!(due(&outbox, 10), [] as [Position; 0], "it is being sent");
        // What is being sent when a newer one comes ends by itself alone.
        outbox.add(vec![(slot(1, 1), waiting(4, 0))], &progress).unwrap();
        outbox.end(slot(1, 1), &waiting(3, 0), None).unwrap();
        assert_eq!(due(&outbox, 60), [4, 2]);
        // What was under way when the process ended is there again at the next start, with how far the log was looked at.
        drop(outbox);
        let outbox = Outbox::open(dir.path()).unwrap();
        assert_eq!(outbox.progress().unwrap(), Some(progress));
        assert_eq!(due(&outbox, 60), [4, 2]);
        outbox.end(slot(1, 1), &waiting(4, 0), None).unwrap();
        outbox.end(slot(2, 1), &waiting(2, 50), None).unwrap();
        drop(outbox);
        assert_eq!(Outbox::open(dir.path()).unwrap().waiting(), 0);
    }

    #[test]
    fn a_device_that_takes_nothing_is_left_alone_whatever_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path()).unwrap();
        let progress = Progress::default();
        outbox.add(vec![(slot(1, 1), waiting(1, 0))], &progress).unwrap();
        assert_eq!(due(&outbox, 0), [1]);
        outbox.put_back(slot(1, 1), &Waiting { attempts: 1, ..waiting(1, 500) }, None).unwrap();
        outbox.add(vec![(slot(1, 1), waiting(2, 100))], &progress).unwrap();
        assert_eq!(due(&outbox, 499), [] as [Position; 0]);
        assert_eq!(due(&outbox, 500), [2]);
        // A newer one came while it was tried.
        outbox.add(vec![(slot(1, 1), waiting(3, 500))], &progress).unwrap();
        outbox.put_back(slot(1, 1), &Waiting { attempts: 2, ..waiting(2, 900) }, None).unwrap();
        assert_eq!(due(&outbox, 899), [] as [Position; 0]);
        assert_eq!(due(&outbox, 900), [3]);
    }

    #[test]
    fn one_message_of_each_account_is_sent_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path()).unwrap();
        let new = vec![(slot(1, 1), waiting(1, 0)), (slot(1, 2), waiting(2, 0)), (slot(2, 1), waiting(3, 0))];
        outbox.add(new, &Progress::default()).unwrap();
        let busy = BTreeSet::from([slot(2, 1).account]);
        let taken = outbox.take_due(at(0), 9, &busy).unwrap();
        assert_eq!(taken.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [slot(1, 1)]);
        assert_eq!(due(&outbox, 0), [2, 3]);
    }
}
