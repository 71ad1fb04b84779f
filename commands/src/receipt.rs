//! Receipts: what became of a command, provable offline with nothing but the market's public key.
//!
//! The receipts of one group of commits are the leaves of a Merkle tree (RFC 6962); the market signs its root once,
//! with the head of the log behind the group. So one signature serves the whole group, and yet each receipt is
//! checked alone: its leaf, its path and the signed root.
//!
//! A receipt says the hash of each event of its command, which is a leaf of the tree over the whole log. One that is asked for
//! later comes with what proves that: the way from each leaf to the root of a [checkpoint](crate::checkpoint).

use events::account::PublicKey;
use events::commit::Commit;
use events::hash::{MerkleTree, leaf_hash, root_from_path};
use events::ids::{AccountId, CommandId, CommitId, MarketName};
use events::metadata::Cause;
use events::{Event, Hash, Head, Position, Rejection, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::crypto::{KeyError, SigningKey, VerifyingKey};
use crate::jcs;
use crate::jws::{self, Jws};

/// `typ` of the signature over a group of receipts.
pub const RECEIPTS_TYP: &str = "skylink-receipts+jws";
/// Form of a receipt and of the signature over its group (`v`).
pub const RECEIPT_VERSION: u8 = 2;

/// The room for the body of a receipt, and for a whole one, that most need: it spares copying it while it is written.
const BODY_BYTES_USUAL: usize = 2048;
const RECEIPT_BYTES_USUAL: usize = 4096;

/// A receipt with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The market's signature over the root of the group: a compact JWS.
    pub group: String,
    /// Which leaf of the group this receipt is, from 0.
    pub index: u32,
    /// What proves that its events are in the log; absent: it was made before a checkpoint had them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogProof>,
    /// The sibling hashes from the leaf up to the root.
    pub path: Vec<Hash>,
    /// What is proven.
    pub receipt: ReceiptBody,
    /// Whether the command had been decided before and this is that outcome again. Not proven.
    #[serde(default)]
    pub replayed: bool,
}

/// What proves that the events of a receipt are in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogProof {
    /// The market's signed checkpoint: how many events the log had, and the root of the tree over them.
    pub checkpoint: String,
    /// For each event, in their order, the sibling hashes from its leaf up to that root.
    pub paths: Vec<Vec<Hash>>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBody {
    /// Who gave it.
    pub account: AccountId,
    /// Its id (`cid`).
    pub command: CommandId,
    /// The commit that decided it.
    pub commit: CommitId,
    /// What happened, in order; a refusal is an event too.
    pub events: Vec<ReceiptEvent>,
    /// What was wished: SHA-256 of the canonical {aud, body, cid, cmd, if, sub}.
    pub fingerprint: Hash,
    /// The market.
    pub market: MarketName,
    /// Its name, such as `order.place`.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Where the last of its events stands in the log.
    pub position: Position,
    /// Why it was rejected; empty otherwise.
    pub reasons: Vec<Rejection>,
    /// When it was decided.
    pub time: Timestamp,
    /// Form of the receipt: 2.
    pub v: u8,
}

/// An event that a command made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptEvent {
    /// Its hash in the tree over the log: SHA-256(0x00 ‖ u32 length of the metadata, big-endian ‖ metadata ‖ payload).
    pub leaf: Hash,
    /// Where it stands in the log.
    pub position: Position,
    /// The aggregate it belongs to; none for the market's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its versioned type.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Accepted,
    /// It was so already.
    Unchanged,
    /// It broke a rule of the market.
    Rejected,
}

impl ReceiptBody {
    /// Tells what became of the command that caused a commit; `None` if no command did.
    pub fn of(commit: &Commit) -> Option<ReceiptBody> {
        let Cause::Command(stamp) = &commit.start().cause else { return None };
        let (mut outcome, mut reasons) = (Outcome::Accepted, Vec::new());
        for recorded in commit.events() {
            match &recorded.event {
                Event::CommandRejected(rejected) => {
                    outcome = Outcome::Rejected;
                    reasons.clone_from(&rejected.reasons);
                }
                Event::CommandUnchanged(_) => outcome = Outcome::Unchanged,
                _ => {}
            }
        }
        let events = commit.events().iter().map(|recorded| ReceiptEvent {
            leaf: recorded.leaf(),
            position: recorded.position,
            subject: recorded.metadata.subject.clone(),
            type_name: recorded.metadata.type_name.clone(),
        });
        Some(ReceiptBody {
            account: stamp.account,
            command: stamp.command,
            commit: commit.id(),
            events: events.collect(),
            fingerprint: stamp.fingerprint,
            market: commit.events()[0].metadata.market.clone(),
            name: stamp.name.clone(),
            outcome,
            position: commit.head().position,
            reasons,
            time: commit.time(),
            v: RECEIPT_VERSION,
        })
    }

    /// Hashes the canonical JSON (RFC 8785), which is what a receipt proves.
    fn leaf(&self) -> Hash {
        leaf_hash(self.canonical().as_bytes())
    }

    /// Writes it in canonical form. Its own members are declared in that order, so that only the reasons, whose
    /// members are not, need to be put in order; most receipts have none.
    fn canonical(&self) -> String {
        if self.reasons.is_empty() {
            let mut json = Vec::with_capacity(BODY_BYTES_USUAL);
            serde_json::to_writer(&mut json, self).expect("a receipt holds nothing that JSON can't say");
            String::from_utf8(json).expect("JSON is written as UTF-8")
        } else {
            jcs::of(self)
        }
    }
}

/// What the market signs for a group of receipts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    head: Head,
    market: MarketName,
    root: Hash,
    size: u32,
    v: u8,
}

/// Makes the receipts of a group, in the bodies' order, with one signature. `head` is that of the log behind the
/// group's last commit.
pub fn sign_group(
    bodies: Vec<ReceiptBody>,
    head: Head,
    market: &MarketName,
    key: &SigningKey,
) -> Vec<Receipt> {
    if bodies.is_empty() {
        return Vec::new();
    }
    let size = u32::try_from(bodies.len()).expect("a group is bounded far below 2^32 commands");
    let tree = MerkleTree::new(bodies.iter().map(ReceiptBody::leaf).collect());
    let payload = Group { head, market: market.clone(), root: tree.root(), size, v: RECEIPT_VERSION };
    let group = jws::sign(RECEIPTS_TYP, &payload, key);
    let receipts = bodies.into_iter().zip(0u32..).map(|(receipt, index)| Receipt {
        group: group.clone(),
        index,
        log: None,
        path: tree.path(index as usize),
        receipt,
        replayed: false,
    });
    receipts.collect()
}

impl Receipt {
    /// Writes it as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(RECEIPT_BYTES_USUAL);
        serde_json::to_writer(&mut json, self).expect("a receipt holds nothing that JSON can't say");
        json
    }

    /// Reads a receipt that came as JSON. A member that would not be proven is refused anywhere in it, so that whoever
    /// looks at the same JSON is shown nothing else than what was checked.
    pub fn from_json(json: &[u8]) -> Result<Receipt, ReceiptError> {
        let malformed = |rule: String| ReceiptError::Malformed { rule };
        let receipt: Receipt = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        let given: Value = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        let mut proven = serde_json::to_value(&receipt).map_err(|error| malformed(error.to_string()))?;
        if given.get("replayed").is_none()
            && let Some(members) = proven.as_object_mut()
        {
            members.remove("replayed");
        }
        if given != proven {
            return Err(malformed("it holds more than a receipt, or spells it in another way".to_owned()));
        }
        Ok(receipt)
    }
}

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The JSON is no receipt.
    #[error("this is no receipt: {rule}")]
    Malformed {
        /// The rule it breaks.
        rule: String,
    },
    /// The signature over the group is not of the form that can be checked.
    #[error("the signature over the group can't be read: {rule}")]
    GroupMalformed {
        /// The rule it breaks.
        rule: String,
    },
    /// The group is signed with another key than the market's.
    #[error(
        "the group is not signed with the market's key, or with one that follows it as far as is known here"
    )]
    OtherKey,
    /// The signature is wrong.
    #[error("the signature over the group is wrong")]
    SignatureWrong,
    /// The receipt has another form than 2.
    #[error("the receipt has form {v}, this program reads form {RECEIPT_VERSION}")]
    OtherVersion {
        /// Its form.
        v: u8,
    },
    /// The receipt names another market, or a position the signed head does not reach.
    #[error("the receipt is not about the log that was signed")]
    OtherLog,
    /// The receipt is not the leaf of the group that it claims to be.
    #[error("the receipt is not in the signed group")]
    NotIncluded,
    /// The checkpoint that it comes with is none of the market's.
    #[error("the checkpoint that the receipt comes with")]
    Checkpoint(#[from] CheckpointError),
    /// An event of it is not in the log of that checkpoint.
    #[error("the event at position {position} is not in the log whose checkpoint the receipt comes with")]
    NotInLog {
        /// Where it is said to stand.
        position: Position,
    },
}

impl Group {
    fn read(text: &str, keys: &[VerifyingKey]) -> Result<Group, ReceiptError> {
        let malformed = |rule: String| ReceiptError::GroupMalformed { rule };
        let jws = Jws::read(text, RECEIPTS_TYP).map_err(|error| malformed(error.to_string()))?;
        let key = keys.iter().find(|key| jws.key == key.id() && jws.algorithm == key.algorithm());
        let key = key.ok_or(ReceiptError::OtherKey)?;
        jws.check(key).map_err(|_| ReceiptError::SignatureWrong)?;
        let payload = jws.payload().map_err(|error| malformed(error.to_string()))?;
        if !payload.is_object() {
            return Err(malformed("the payload is not a JSON object".to_owned()));
        }
        let group = Group::deserialize(&payload).map_err(|error| malformed(error.to_string()))?;
        if group.v != RECEIPT_VERSION {
            return Err(malformed(format!("`v` must be {RECEIPT_VERSION}")));
        }
        Ok(group)
    }

    fn check(&self, proof: &Receipt) -> Result<(), ReceiptError> {
        let body = &proof.receipt;
        if body.v != RECEIPT_VERSION {
            return Err(ReceiptError::OtherVersion { v: body.v });
        }
        if body.market != self.market || body.position > self.head.position {
            return Err(ReceiptError::OtherLog);
        }
        let root = root_from_path(body.leaf(), proof.index.into(), self.size.into(), &proof.path);
        if root == Some(self.root) { Ok(()) } else { Err(ReceiptError::NotIncluded) }
    }
}

impl LogProof {
    /// Checks that the events of a receipt are in the log of the market's checkpoint.
    fn check(&self, body: &ReceiptBody, market_keys: &[VerifyingKey]) -> Result<(), ReceiptError> {
        let checkpoint = Checkpoint::read_with(&self.checkpoint, &body.market, market_keys)?;
        if self.paths.len() != body.events.len() {
            return Err(ReceiptError::NotInLog { position: body.position });
        }
        for (ReceiptEvent { leaf, position, .. }, path) in body.events.iter().zip(&self.paths) {
            let index = position.checked_sub(1);
            let root = index.and_then(|index| root_from_path(*leaf, index, checkpoint.head.position, path));
            if root != Some(checkpoint.root) {
                return Err(ReceiptError::NotInLog { position: *position });
            }
        }
        Ok(())
    }
}

/// Checks one receipt with the market's key, and that it is in the log if it comes with what proves that.
pub fn verify_receipt(receipt: &Receipt, market_key: &VerifyingKey) -> Result<(), ReceiptError> {
    verify_receipt_with(receipt, std::slice::from_ref(market_key))
}

/// Checks one receipt as [`verify_receipt`] does, with any of the keys that a market has or had.
pub fn verify_receipt_with(receipt: &Receipt, market_keys: &[VerifyingKey]) -> Result<(), ReceiptError> {
    Group::read(&receipt.group, market_keys)?.check(receipt)?;
    receipt.log.as_ref().map_or(Ok(()), |log| log.check(&receipt.receipt, market_keys))
}

/// Checks many receipts. It remembers the group it saw last, so that the receipts of a group cost one check of a
/// signature.
#[derive(Debug)]
pub struct ReceiptVerifier {
    keys: Vec<VerifyingKey>,
    last: Option<(String, Group)>,
}

impl ReceiptVerifier {
    /// Takes the market's public key.
    pub fn new(market_key: &PublicKey) -> Result<ReceiptVerifier, KeyError> {
        Ok(ReceiptVerifier::with(vec![VerifyingKey::new(market_key)?]))
    }

    /// Takes every key that the market has or had, as far as they are trusted (see [`crate::market_key::follow`]).
    pub fn with(market_keys: Vec<VerifyingKey>) -> ReceiptVerifier {
        ReceiptVerifier { keys: market_keys, last: None }
    }

    /// Checks one receipt.
    pub fn verify(&mut self, receipt: &Receipt) -> Result<(), ReceiptError> {
        let verdict = match &self.last {
            Some((text, group)) if *text == receipt.group => group.check(receipt),
            _ => {
                let group = Group::read(&receipt.group, &self.keys)?;
                let verdict = group.check(receipt);
                self.last = Some((receipt.group.clone(), group));
                verdict
            }
        };
        verdict?;
        receipt.log.as_ref().map_or(Ok(()), |log| log.check(&receipt.receipt, &self.keys))
    }
}

#[cfg(test)]
mod tests;
