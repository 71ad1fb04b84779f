//! The index of old ids: every command ever decided, every payment, payout and closed order, by id, on disk, and what each payment
//! paid and banks made of it. It follows the log and
//! can be rebuilt from it at any time. The writer's memory holds only what is recent; what it has forgotten it asks
//! here, and it decides nothing that depends on an answer the index can't give yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use commands::chargeback::ClosedChargeback;
use commands::funding::CreditId;
use commands::order::ClosedOrder;
use commands::payment::{ClosedPayment, PaidOrder, paid_by};
use commands::payout::ClosedPayout;
use commands::replay::Decided;
use commands::{Charged, Facts, Question};
use events::commit::ChainError;
use events::ids::{AccountId, ChargebackId, CommandId, OrderId, PaymentId, PayoutId};
use events::metadata::Cause;
use events::payment::RefundRequested;
use events::{Commit, Event, Head, Position};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::disk;
use crate::seen::{self, Seen};

/// The form of the index; another one on disk is thrown away and rebuilt.
const FORM: u8 = 5;
const CHECKPOINT_KEY: &[u8] = b"checkpoint";
/// How often the index goes to disk by itself. What a crash takes is read from the log again.
const FLUSH_EVERY_MS: u64 = 10_000;
/// Memory for the index's pages.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Why the index can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Another process uses it, which is well and must be left alone.
    #[error("another process uses the index of old ids in {path}, and only one may: stop it first")]
    Locked {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: sled::Error,
    },
    /// The disk refuses.
    #[error(
        "the index of old ids can't be read or written: mend the cause and restart; its folder may be deleted, it is rebuilt from the log"
    )]
    Store(#[from] sled::Error),
    /// An entry is not what it must be.
    #[error("the index of old ids is damaged: delete its folder and restart, it is rebuilt from the log")]
    Damaged,
    /// The log is not the one the index was made from.
    #[error(
        "the log does not extend what the index has seen at position {position}: the log was restored or truncated. Restore the newest log; only if it is lost, delete the index and the snapshots, knowing that answers already given are void"
    )]
    Foreign {
        /// How far the index has seen the log.
        position: Position,
        /// What does not fit.
        #[source]
        source: ChainError,
    },
}

fn open_db(dir: &Path) -> Result<sled::Db, IndexError> {
    let config =
        sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_EVERY_MS));
    match disk::open(&config) {
        // The folder of a live index must not be deleted.
        Err(source) if disk::is_locked(&source) => Err(IndexError::Locked { path: dir.to_owned(), source }),
        outcome => Ok(outcome?),
    }
}

/// Removes everything from the folder of a damaged index but how far it had seen the log.
fn remove_database(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != seen::NAME {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The index.
#[derive(Clone)]
pub struct Index {
    tree: sled::Tree,
    covered: Arc<watch::Sender<Head>>,
    /// Somebody waits for what is not covered yet.
    wanted: Arc<Notify>,
    seen: Arc<Mutex<Seen>>,
}

impl Index {
    /// Opens the index in a folder, an empty one where there is none, its form is old, or it is damaged.
    pub fn open(dir: &Path) -> Result<Index, IndexError> {
        let db = match open_db(dir) {
            // A full disk leaves such behind. It was ours alone to open, and the log has all that was in it.
            Err(IndexError::Store(error @ sled::Error::Corruption { .. })) => {
                tracing::warn!(%error, "the index of old ids is damaged, and is built again from the log");
                remove_database(dir).map_err(sled::Error::Io)?;
                open_db(dir)?
            }
            opened => opened?,
        };
        let seen = Seen::open(dir).map_err(sled::Error::Io)?;
        let tree = db.open_tree("ids")?;
        let checkpoint = match tree.get(CHECKPOINT_KEY)? {
            None => Head::EMPTY,
            Some(bytes) => match decode::<Head>(&bytes) {
                Ok(head) => head,
                Err(_) => {
                    tree.clear()?;
                    Head::EMPTY
                }
            },
        };
        let (covered, wanted) = (Arc::new(watch::Sender::new(checkpoint)), Arc::new(Notify::new()));
        Ok(Index { tree, covered, wanted, seen: Arc::new(Mutex::new(seen)) })
    }

    /// Gives the head that the log must reach: what the index covers or, if it lost its last seconds or was built
    /// again, what it covered before.
    pub fn seen(&self) -> Head {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).head();
        let covered = self.covered();
        if seen.position > covered.position { seen } else { covered }
    }

    /// Tells how far the index covers the log.
    pub fn covered(&self) -> Head {
        *self.covered.borrow()
    }

    /// Adds commits that follow what is covered, all or none. Blocks on the disk.
    pub fn apply(&self, commits: &[Arc<Commit>]) -> Result<(), IndexError> {
        let mut head = self.covered();
        let mut batch = sled::Batch::default();
        for commit in commits {
            commit
                .check_follows(head)
                .map_err(|source| IndexError::Foreign { position: head.position, source })?;
            if let Cause::Command(stamp) = &commit.start().cause {
                let decided = Decided { fingerprint: stamp.fingerprint, position: commit.first_position() };
                batch.insert(command_key(stamp.account, stamp.command).as_slice(), encode(&decided));
            }
            for recorded in commit.events() {
                if let Some(credit) = CreditId::given_by(&recorded.event) {
                    batch.insert(credit_key(credit).as_slice(), encode(&recorded.position));
                }
                if let Some((payment, closed)) = ClosedPayment::left_by(&recorded.event, recorded.position) {
                    batch.insert(payment_key(payment).as_slice(), encode(&closed));
                }
                if let Some((payout, closed)) = ClosedPayout::left_by(&recorded.event, recorded.position) {
                    batch.insert(payout_key(payout).as_slice(), encode(&closed));
                }
                note_charged(&recorded.event, recorded.position, &mut batch);
                if let Some(end) = recorded.event.order_end() {
                    let closed = ClosedOrder::of(end, recorded.position);
                    batch.insert(order_key(end.order).as_slice(), encode(&closed));
                }
            }
            if let Some((payment, orders)) = paid_by(commit) {
                batch.insert(key_of(b'y', &[payment.uuid()]), encode(&orders));
            }
            head = commit.head();
        }
        batch.insert(CHECKPOINT_KEY, encode(&head));
        self.tree.apply_batch(batch)?;
        self.covered.send_replace(head);
        self.with_seen(|seen| seen.note(head))
    }

    /// Waits until the index covers the log up to `position`. The caller bounds the time.
    pub async fn wait_for(&self, position: Position) {
        let mut covered = self.covered.subscribe();
        if covered.borrow().position < position {
            self.wanted.notify_one();
        }
        // The sender lives as long as this index, so the wait ends only with the condition.
        let _ = covered.wait_for(|head| head.position >= position).await;
    }

    /// Ends when somebody has begun to wait for more than the index covered then.
    pub(crate) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Answers a question. Blocks on the disk.
    pub fn look_up(&self, question: &Question) -> Result<Facts, IndexError> {
        // Read first: what is added meanwhile is in the answer or after what the answer claims to cover.
        let covered = self.covered().position;
        let (account, command) = question.command;
        let command = self.get::<Decided>(&command_key(account, command))?;
        let mut closed_orders = BTreeMap::new();
        if let Some(order) = question.order
            && let Some(closed) = self.get::<ClosedOrder>(&order_key(order))?
        {
            closed_orders.insert(order, closed);
        }
        let credit = match question.credit {
            Some(credit) => self.get::<Position>(&credit_key(credit))?,
            None => None,
        };
        let closed_payment = match question.payment {
            Some(payment) => {
                self.get::<ClosedPayment>(&payment_key(payment))?.map(|closed| (payment, closed))
            }
            None => None,
        };
        let closed_payout = match question.payout {
            Some(payout) => {
                self.get::<ClosedPayout>(&payout_key(payout))?.map(|closed| Box::new((payout, closed)))
            }
            None => None,
        };
        let charged = match &closed_payment {
            Some((payment, _)) => Some(Box::new(self.charged(*payment)?)),
            None => None,
        };
        Ok(Facts { covered, command, closed_orders, credit, closed_payment, charged, closed_payout })
    }

    /// Gives what a closed payment paid, less what went back of that, and what banks made of it.
    fn charged(&self, payment: PaymentId) -> Result<Charged, IndexError> {
        let mut charged = Charged::default();
        let orders = self.get::<Vec<(OrderId, i64)>>(&key_of(b'y', &[payment.uuid()]))?.unwrap_or_default();
        for (order, paid) in orders {
            // One that is open is in memory, and so is its payment.
            let Some(closed) = self.get::<ClosedOrder>(&order_key(order))? else { continue };
            let back = self.sum(&key_of(b'z', &[payment.uuid(), order.uuid()]))?;
            if paid > back {
                charged.orders.push(PaidOrder { order, seller: closed.seller, minor: paid - back });
            }
        }
        for pair in self.tree.scan_prefix(key_of(b'b', &[payment.uuid()])) {
            let (key, bytes) = pair?;
            let id = key.get(17..33).and_then(|id| Uuid::from_slice(id).ok()).ok_or(IndexError::Damaged)?;
            let mut closed = decode::<ClosedChargeback>(&bytes)?;
            let covered = self.sum(&key_of(b'w', &[payment.uuid(), id]))?;
            closed.advanced_minor -= covered.min(closed.advanced_minor);
            closed.charged_minor += covered;
            charged.chargebacks.insert(ChargebackId::from_uuid(id), closed);
        }
        Ok(charged)
    }

    /// Sums the amounts under a prefix.
    fn sum(&self, prefix: &[u8]) -> Result<i64, IndexError> {
        self.tree.scan_prefix(prefix).try_fold(0i64, |sum, pair| Ok(sum + decode::<i64>(&pair?.1)?))
    }

    /// Finds where a command was decided, for those who ask for its receipt. Blocks on the disk.
    pub fn find_command(
        &self,
        account: AccountId,
        command: CommandId,
    ) -> Result<Option<Position>, IndexError> {
        Ok(self.get::<Decided>(&command_key(account, command))?.map(|decided| decided.position))
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, IndexError> {
        match self.tree.get(key)? {
            None => Ok(None),
            Some(bytes) => decode(&bytes).map(Some),
        }
    }

    /// Writes everything to disk. Blocks.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.tree.flush()?;
        let covered = self.covered();
        self.with_seen(|seen| seen.write(covered))
    }

    fn with_seen(&self, act: impl FnOnce(&mut Seen) -> std::io::Result<()>) -> Result<(), IndexError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(act(&mut seen).map_err(sled::Error::Io)?)
    }
}

/// Adds what must be known of an event if a bank disputes its payment when that is no longer in memory.
fn note_charged(event: &Event, position: Position, batch: &mut sled::Batch) {
    if let Some((chargeback, closed)) = ClosedChargeback::left_by(event) {
        batch.insert(key_of(b'b', &[closed.payment.uuid(), chargeback.uuid()]), encode(&closed));
    }
    match event {
        Event::RefundRequested(RefundRequested { order: Some(order), payment, transfer, refund, .. }) => {
            let key = key_of(b'z', &[payment.uuid(), order.uuid(), refund.uuid()]);
            batch.insert(key, encode(&transfer.amount.minor));
        }
        Event::ChargebackCovered(covered) => {
            let mut key = key_of(b'w', &[covered.payment.uuid(), covered.chargeback.uuid()]);
            key.extend(position.to_be_bytes());
            batch.insert(key, encode(&covered.transfer.amount.minor));
        }
        _ => {}
    }
}

/// Names an entry by its kind and ids: what is of one payment stands side by side.
fn key_of(kind: u8, ids: &[Uuid]) -> Vec<u8> {
    [kind].into_iter().chain(ids.iter().flat_map(|id| *id.as_bytes())).collect()
}

/// Ids made at about the same time stand side by side, which is where the next ones are added.
fn command_key(account: AccountId, command: CommandId) -> [u8; 33] {
    let mut key = [b'c'; 33];
    key[1..17].copy_from_slice(command.uuid().as_bytes());
    key[17..].copy_from_slice(account.uuid().as_bytes());
    key
}

fn order_key(order: OrderId) -> [u8; 17] {
    let mut key = [b'o'; 17];
    key[1..].copy_from_slice(order.uuid().as_bytes());
    key
}

fn credit_key(credit: CreditId) -> [u8; 33] {
    let mut key = [b'p'; 33];
    key[1..].copy_from_slice(credit.as_bytes());
    key
}

fn payment_key(payment: PaymentId) -> [u8; 17] {
    let mut key = [b'q'; 17];
    key[1..].copy_from_slice(payment.uuid().as_bytes());
    key
}

fn payout_key(payout: PayoutId) -> [u8; 17] {
    let mut key = [b'r'; 17];
    key[1..].copy_from_slice(payout.uuid().as_bytes());
    key
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORM];
    bincode::serde::encode_into_std_write(value, &mut bytes, bincode::config::standard())
        .expect("an entry of the index can always be written to memory");
    bytes
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, IndexError> {
    match bytes.split_first() {
        Some((&FORM, rest)) => bincode::serde::decode_from_slice(rest, bincode::config::standard())
            .map(|(value, _)| value)
            .map_err(|_| IndexError::Damaged),
        _ => Err(IndexError::Damaged),
    }
}
