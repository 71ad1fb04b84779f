//! How far each address was told, and what was tried, on disk. When it is deleted, the log says about how far each was.

use std::path::Path;

use events::ids::WebhookId;
use events::{Position, Timestamp};
use projections::webhook::Webhook;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::Tree;

use super::letters::Letters;
use super::message::Message;
use crate::disk;
use crate::outside::{NotSent, Sent};

/// How many attempts are kept of each webhook, the last ones.
pub(crate) const ATTEMPTS_KEPT_MAX: u64 = 1_000;

/// Why how far addresses were told can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the files.
    #[error("the store of webhooks failed")]
    Disk(#[from] sled::Error),
    /// A value can't be understood.
    #[error("a value in the store of webhooks is damaged")]
    Damaged(#[from] serde_json::Error),
}

/// How far an address was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The last event that it needs to be told of no more.
    pub(crate) position: Position,
    /// How often in a row the next message was not taken.
    pub(crate) failures: u32,
    /// Since when nothing was taken.
    pub(crate) failing_since: Option<Timestamp>,
    /// When it is tried again.
    pub(crate) next_at: Option<Timestamp>,
    /// Counts how often its owner had it go elsewhere.
    pub(crate) turn: u64,
    /// Where the owner's last word stands that was heeded.
    pub(crate) heard: Position,
    /// How far the log says that it was told.
    pub(crate) noted: Position,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Attempt {
    /// Counts the requests of the webhook.
    pub(crate) attempt: u64,
    /// The message: the header `webhook-id`.
    message: String,
    /// Where the event stands in the log.
    position: Position,
    /// The event's type.
    #[serde(rename = "type")]
    type_name: String,
    /// When.
    pub(super) time: Timestamp,
    /// How long it took, in milliseconds.
    took_ms: u64,
    /// The status of the answer; null: there was none.
    pub(super) status: Option<u16>,
    /// Why there was no answer; null: there was one.
    pub(super) error: Option<NotSent>,
    /// Whether its owner asked for this one.
    again: bool,
}

impl Attempt {
    pub(super) fn new(message: &Message, time: Timestamp, took_ms: u64, sent: &Sent, again: bool) -> Attempt {
        let (status, error) = match sent {
            Sent::Answered { status, .. } => (Some(*status), None),
            Sent::Not(why) => (None, Some(*why)),
        };
        let (position, type_name) = (message.position, message.type_name.clone());
        Attempt {
            attempt: 0,
            message: message.id.clone(),
            position,
            type_name,
            time,
            took_ms,
            status,
            error,
            again,
        }
    }
}

/// What is kept on disk.
pub(super) struct Store {
    pub(super) letters: Letters,
    progress: Tree,
    attempts: Tree,
}

impl Store {
    pub(super) fn open(dir: &Path) -> Result<Store, StoreError> {
        let db = disk::open(dir)?;
        let (progress, attempts) = (db.open_tree("progress")?, db.open_tree("attempts")?);
        Ok(Store { letters: Letters::open(&db, progress.clone())?, progress, attempts })
    }

    pub(super) fn progress(&self, webhook: WebhookId) -> Result<Option<Progress>, StoreError> {
        read(self.progress.get(webhook.uuid().as_bytes())?)
    }

    /// Keeps how far an address is, unless its owner has had it go elsewhere meanwhile. Tells whether it did.
    pub(super) fn keep(&self, webhook: WebhookId, progress: &Progress) -> Result<bool, StoreError> {
        let key = webhook.uuid().into_bytes();
        loop {
            let old = self.progress.get(key)?;
            let known: Option<Progress> = read(old.clone())?;
            if known.is_some_and(|known| known.turn != progress.turn) {
                return Ok(false);
            }
            let new = serde_json::to_vec(progress)?;
            if self.progress.compare_and_swap(key, old, Some(new))?.is_ok() {
                return Ok(true);
            }
        }
    }

    /// Has an address told from behind a position on. The letters from there on end: their events come anew. Durable when it returns.
    pub(super) fn go_to(&self, row: &Webhook, position: Position) -> Result<(), StoreError> {
        let change = |known: Progress| Progress {
            position,
            turn: known.turn + 1,
            heard: row.changed_at,
            noted: known.noted.max(row.reached),
            ..Progress::default()
        };
        self.letters.remove_range(row.webhook, position + 1..=Position::MAX, Some(&change))?;
        self.progress.flush()?;
        Ok(())
    }

    /// Keeps an attempt under the next number, and forgets the oldest if there are too many.
    pub(super) fn add(&self, webhook: WebhookId, attempt: Attempt) -> Result<Attempt, StoreError> {
        let own = webhook.uuid().into_bytes();
        let key = |number: u64| [own.as_slice(), &number.to_be_bytes()].concat();
        loop {
            let last = self.attempts.scan_prefix(own).next_back().transpose()?;
            let last = last.and_then(|(key, _)| Some(u64::from_be_bytes(key.get(16..)?.try_into().ok()?)));
            let number = last.unwrap_or(0) + 1;
            let attempt = Attempt { attempt: number, ..attempt.clone() };
            let value = serde_json::to_vec(&attempt)?;
            // Two may be under way, when its owner asks for one.
            if self.attempts.compare_and_swap(key(number), None::<&[u8]>, Some(value))?.is_ok() {
                if let Some(over) = number.checked_sub(ATTEMPTS_KEPT_MAX) {
                    self.attempts.remove(key(over))?;
                }
                return Ok(attempt);
            }
        }
    }

    pub(super) fn attempts(
        &self,
        webhook: WebhookId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Attempt>, StoreError> {
        let own = webhook.uuid().into_bytes();
        let key = |number: u64| [own.as_slice(), &number.to_be_bytes()].concat();
        let found = self.attempts.range(key(0)..key(before.unwrap_or(u64::MAX))).rev().take(limit);
        found.map(|row| Ok(serde_json::from_slice(&row?.1)?)).collect()
    }

    /// Forgets an address.
    pub(super) fn forget(&self, webhook: WebhookId) -> Result<(), StoreError> {
        self.letters.forget(webhook)?;
        self.progress.remove(webhook.uuid().as_bytes())?;
        for row in self.attempts.scan_prefix(webhook.uuid().as_bytes()) {
            self.attempts.remove(row?.0)?;
        }
        Ok(())
    }

    /// Lists the addresses of which something is kept.
    pub(super) fn known(&self) -> Result<Vec<WebhookId>, StoreError> {
        let keys = self.progress.iter().keys();
        let ids =
            keys.map(|key| Ok::<_, StoreError>(uuid::Uuid::from_slice(&key?).ok().map(WebhookId::from_uuid)));
        ids.filter_map(Result::transpose).collect()
    }
}

pub(super) fn read<T: DeserializeOwned>(value: Option<sled::IVec>) -> Result<Option<T>, StoreError> {
    Ok(value.map(|value| serde_json::from_slice(&value)).transpose()?)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn webhook(n: u128) -> WebhookId {
        WebhookId::from_uuid(Uuid::from_u128(n))
    }

    fn attempt(position: Position) -> Attempt {
        let message = Message {
            id: "m".to_owned(),
            position,
            type_name: "order.placed.v1".to_owned(),
            body: "".into(),
        };
        Attempt::new(
            &message,
            Timestamp::from_ms(0),
            1,
            &Sent::Answered { status: 200, retry_after_s: None },
            false,
        )
    }

    #[test]
    fn the_last_attempts_are_kept_and_listed_the_last_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for n in 1..=ATTEMPTS_KEPT_MAX + 3 {
            assert_eq!(store.add(webhook(1), attempt(n)).unwrap().attempt, n);
        }
        store.add(webhook(2), attempt(7)).unwrap();
        let numbers = |before, limit| -> Vec<u64> {
            store.attempts(webhook(1), before, limit).unwrap().iter().map(|one| one.attempt).collect()
        };
        assert_eq!(numbers(None, 2), [ATTEMPTS_KEPT_MAX + 3, ATTEMPTS_KEPT_MAX + 2]);
        assert_eq!(numbers(Some(6), 9), [5, 4], "those before are forgotten");
        store.forget(webhook(1)).unwrap();
        assert_eq!(numbers(None, 9), [] as [u64; 0]);
        assert_eq!(store.attempts(webhook(2), None, 9).unwrap().len(), 1);
    }

    #[test]
    fn what_is_told_late_does_not_undo_where_the_owner_wants_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let row = Webhook {
            webhook: webhook(1),
            account: events::ids::AccountId::from_uuid(Uuid::nil()),
            url: "https://a.example".parse().unwrap(),
            types: ["*".parse().unwrap()].into(),
            on: true,
            disabled: None,
            secret: events::Hash::ZERO,
            replaced: None,
            reached: 4,
            registered_at: Timestamp::from_ms(0),
            changed_at: 3,
        };
        let mut own = Progress { position: 20, ..Progress::default() };
        assert!(store.keep(webhook(1), &own).unwrap());
        store.go_to(&row, 10).unwrap();
        own.position = 21;
        assert!(!store.keep(webhook(1), &own).unwrap());
        let known = store.progress(webhook(1)).unwrap().unwrap();
        assert_eq!((known.position, known.turn, known.noted, known.heard), (10, 1, 4, 3));
        assert_eq!(store.known().unwrap(), [webhook(1)]);
    }
}
