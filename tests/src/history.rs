//! What clients have sent and what they were told, by their own books, and whether a log agrees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use commands::Refusal;
use commands::receipt::ReceiptBody;
use engine::{EngineHandle, Reply};
use events::Commit;
use events::ids::CommandId;

use crate::town::{fold, receipt, submit};

/// How many commands are asked again at a time: fewer than an engine takes at once.
const ASKED_AT_ONCE: usize = 50;
/// How often a market may answer that it is busy, and how long whoever is told so waits before he asks again.
const BUSY_ANSWERS_MAX: usize = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// The orders of some clients, each with what was signed and, once it was receipted, what was told.
#[derive(Debug, Default)]
pub struct History {
    sent: BTreeMap<CommandId, Bytes>,
    told: BTreeMap<CommandId, ReceiptBody>,
}

impl History {
    /// Notes an order before it is handed in, or that it was signed anew.
    pub fn send(&mut self, id: CommandId, signed: Bytes) {
        self.sent.insert(id, signed);
    }

    /// Notes what was told of an order.
    ///
    /// # Panics
    /// If something else was told of it before, or it was never sent.
    pub fn tell(&mut self, body: ReceiptBody) {
        let id = body.command;
        assert!(self.sent.contains_key(&id), "a receipt of {id}, which was never sent");
        let earlier = self.told.insert(id, body.clone());
        assert!(earlier.is_none_or(|earlier| earlier == body), "two outcomes of {id}");
    }

    /// Tells whether an order was receipted.
    pub fn was_told(&self, id: CommandId) -> bool {
        self.told.contains_key(&id)
    }

    /// Gives what was signed under an id.
    pub fn signed(&self, id: CommandId) -> Option<&Bytes> {
        self.sent.get(&id)
    }

    /// Counts the orders that were sent, and those of them that were receipted.
    pub fn counts(&self) -> (usize, usize) {
        (self.sent.len(), self.told.len())
    }

    /// Gives the orders that were sent and not receipted.
    pub fn unanswered(&self) -> impl Iterator<Item = (CommandId, &Bytes)> {
        self.sent.iter().filter(|(id, _)| !self.told.contains_key(*id)).map(|(id, signed)| (*id, signed))
    }

    /// Adds the history of another client.
    pub fn join(&mut self, other: History) {
        self.sent.extend(other.sent);
        for body in other.told.into_values() {
            self.tell(body);
        }
    }

    /// Asks again, with the same bytes, for all orders: those that were receipted get the same receipt as before.
    ///
    /// # Panics
    /// If an order gets no receipt, or one that was receipted another than before.
    pub async fn ask_again(&mut self, engine: &EngineHandle) {
        let again: Vec<Bytes> = self.sent.values().cloned().collect();
        for some in again.chunks(ASKED_AT_ONCE) {
            let replies = some.iter().map(|signed| submit_until_taken(engine, signed.clone()));
            for reply in futures::future::join_all(replies).await {
                let receipt = receipt(reply);
                let was_told = self.was_told(receipt.receipt.command);
                assert!(receipt.replayed || !was_told, "{} was decided again", receipt.receipt.command);
                self.tell(receipt.receipt);
            }
        }
    }

    /// Compares with a whole log.
    ///
    /// # Panics
    /// If the log's chain is broken or its ledger does not sum to zero; if it has an order twice, or one that was never
    /// sent; if what was told of an order is not what the log has.
    pub fn check(&self, commits: &[Arc<Commit>]) {
        fold(commits);
        let mut decided = BTreeMap::new();
        for body in commits.iter().filter_map(|commit| ReceiptBody::of(commit)) {
            let id = body.command;
            if body.name == "order.place" {
                assert!(self.sent.contains_key(&id), "{id} is in the log and was never sent");
            }
            assert!(decided.insert(id, body).is_none(), "{id} is in the log twice");
        }
        for (id, told) in &self.told {
            assert_eq!(decided.get(id), Some(told), "what was told of {id} is in the log");
        }
    }
}

/// Submits a command again while the market is busy, as its answer asks for: what clients have left with the broker is
/// answered at the same time.
async fn submit_until_taken(engine: &EngineHandle, signed: Bytes) -> Reply {
    for _ in 0..BUSY_ANSWERS_MAX {
        match submit(engine, signed.clone()).await {
            Reply::Refused(Refusal::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            reply => return reply,
        }
    }
    panic!("the market stays busy");
}
