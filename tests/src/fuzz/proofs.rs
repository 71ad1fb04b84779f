//! What the market signs for others to check: a proof holds if it is the one that was made, and for nothing else.

use std::sync::LazyLock;

use commands::checkpoint::Checkpoint;
use commands::crypto::{SigningKey, VerifyingKey};
use commands::receipt::{LogProof, Receipt, ReceiptBody, ReceiptVerifier, sign_group, verify_receipt};
use engine::tree::tile_of;
use events::account::Algorithm;
use events::commit::Seal;
use events::hash::{MerkleTree, leaf_hash, root_from_path};
use events::ids::{AccountId, CommandId, CommitId, DeviceId, KeyId, Nonce};
use events::metadata::{Cause, CommandStamp};
use events::{Commit, Event, Hash, Head, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::edits;
use crate::log_contract::market;

struct Made {
    key: SigningKey,
    verifying: VerifyingKey,
    /// Receipts of one group, with their proofs.
    receipts: Vec<Receipt>,
    /// The checkpoint of the log that they are in.
    checkpoint: Checkpoint,
    note: String,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let key = SigningKey::from_seed(Algorithm::EdDsa, [7; 32]).expect("any seed is a key");
    let verifying = VerifyingKey::new(&key.public()).expect("it is a good key");
    let commits = chain(5);
    let leaves = commits.iter().flat_map(|commit| commit.events()).map(|event| event.leaf()).collect();
    let tree = MerkleTree::new(leaves);
    let head = commits.last().map_or(Head::EMPTY, Commit::head);
    let checkpoint = Checkpoint { market: market(), head, root: tree.root() };
    let note = checkpoint.sign(&key).expect("the key is one of Ed25519");
    let bodies = commits.iter().filter_map(ReceiptBody::of).collect();
    let mut receipts = sign_group(bodies, head, &market(), &key);
    for receipt in &mut receipts {
        let paths = receipt.receipt.events.iter().map(|event| tree.path(event.position as usize - 1));
        receipt.log = Some(LogProof { checkpoint: note.clone(), paths: paths.collect() });
    }
    Made { key, verifying, receipts, checkpoint, note }
});

/// Commits of commands, of one to three events each.
fn chain(count: u128) -> Vec<Commit> {
    let mut head = Head::EMPTY;
    let next = |n: u128| {
        let events = (0..=n % 3).map(|at| -> Event {
            let account = AccountId::from_uuid(Uuid::from_u128(100 * n + at));
            events::account::Registered { account, roles: [events::account::Role::Buyer].into() }.into()
        });
        let cause = Cause::Command(Box::new(CommandStamp {
            account: AccountId::from_uuid(Uuid::from_u128(n)),
            command: CommandId::from_uuid(Uuid::from_u128(n)),
            device: DeviceId::from_uuid(Uuid::from_u128(n)),
            fingerprint: Hash::of(&n.to_be_bytes()),
            key: KeyId([1; 32]),
            name: "account.register".to_owned(),
            nonce: Nonce([2; 16]),
            seq: n as u64,
            signed: "a.b.c".to_owned(),
            step_up: None,
        }));
        let id = CommitId::from_uuid(Uuid::from_u128(n));
        let time = Timestamp::from_ms(1_753_783_200_000);
        let commit = Commit::seal(
            head,
            Seal { id, market: market(), time, cause, traceparent: None },
            events.collect(),
        );
        head = commit.head();
        commit
    };
    (0..count).map(next).collect()
}

/// The first byte says which receipt is edited, or that the rest is one as it is.
pub(super) fn receipt(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else { return };
    let receipts = &MADE.receipts;
    let good = receipts.get(usize::from(*which));
    let is_made = good.is_some() && rest.is_empty();
    let json = match good {
        Some(good) => {
            let mut json = serde_json::to_vec(good).expect("a receipt holds nothing that JSON can't say");
            edits::apply(rest, &mut json);
            json
        }
        None => rest.to_vec(),
    };
    let Ok(receipt) = Receipt::from_json(&json) else {
        assert!(!is_made, "what was made is read");
        return;
    };
    let shown: Value = serde_json::from_slice(&json).expect("a receipt is JSON");
    let alone = verify_receipt(&receipt, &MADE.verifying);
    let mut verifier = ReceiptVerifier::new(&MADE.key.public()).expect("it is a good key");
    assert_eq!(verifier.verify(&receipt), alone);
    assert_eq!(verifier.verify(&receipt), alone, "also when the group is remembered");
    if alone.is_err() {
        assert!(!is_made, "what was made holds");
        return;
    }
    let made = receipts.iter().find(|made| made.receipt == receipt.receipt);
    let made = made.expect("nobody has it but who was given it");
    assert_eq!((receipt.index, &receipt.path, &receipt.group), (made.index, &made.path, &made.group));
    assert_eq!(
        shown["receipt"],
        serde_json::to_value(&made.receipt).expect("it is JSON"),
        "nothing else is shown"
    );
    let (Some(log), Some(made)) = (&receipt.log, &made.log) else { return };
    assert_eq!(log.paths, made.paths);
    assert!(log.checkpoint.starts_with(signed_part(&MADE.note)));
}

fn signed_part(note: &str) -> &str {
    note.split_once("\n\n").map_or(note, |(text, _)| text)
}

/// The first byte says whether the rest edits a good checkpoint, or is one as it is.
pub(super) fn checkpoint(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let mut bytes = MADE.note.clone().into_bytes();
    if how % 2 == 0 {
        edits::apply(rest, &mut bytes)
    } else {
        bytes = rest.to_vec()
    }
    let Ok(note) = String::from_utf8(bytes) else { return };
    if let Ok(read) = Checkpoint::read(&note, &market(), &MADE.verifying) {
        assert_eq!(read, MADE.checkpoint);
        assert_eq!(signed_part(&note), signed_part(&MADE.note));
        assert!(
            note.lines().any(|line| MADE.note.lines().last() == Some(line)),
            "the market's line is in it"
        );
    }
    // What names a tile is read in the same way.
    if let Some(tile) = tile_of(&note) {
        assert!(tile.width() >= 1 && tile.width() <= 256);
    }
}

const LEAVES: usize = 100;

static TREES: LazyLock<Vec<MerkleTree>> = LazyLock::new(|| {
    let leaf = |n: usize| leaf_hash(&n.to_be_bytes());
    (1..=LEAVES).map(|size| MerkleTree::new((0..size).map(leaf).collect())).collect()
});

/// The first bytes choose a tree, a leaf and the place it is claimed for; the rest edits its path.
pub(super) fn inclusion(input: &[u8]) {
    let Some((&[size, leaf, index, bits], rest)) = input.split_first_chunk::<4>() else { return };
    let size = usize::from(size) % LEAVES + 1;
    let leaf = usize::from(leaf) % size;
    // Also places that no tree has.
    let claimed = u64::from(index) | u64::from(bits) << 56;
    let tree = &TREES[size - 1];
    let good = tree.path(leaf);
    let mut bytes: Vec<u8> = good.iter().flat_map(|hash| *hash.as_bytes()).collect();
    edits::apply(rest, &mut bytes);
    let path: Vec<Hash> = bytes.as_chunks().0.iter().map(|bytes| Hash::from_bytes(*bytes)).collect();
    let root = root_from_path(leaf_hash(&leaf.to_be_bytes()), claimed, size as u64, &path);
    let is_right = claimed == leaf as u64 && path == good;
    assert_eq!(root == Some(tree.root()), is_right, "leaf {leaf} of {size} claimed for {claimed}");
    // A size that no tree has can't be proven, and does no harm.
    let _ = root_from_path(Hash::ZERO, claimed, u64::MAX - u64::from(index), &path);
}

/// Each receipt as it is, with a byte changed, and in full.
pub(super) fn receipt_seeds() -> Vec<Vec<u8>> {
    let count = MADE.receipts.len() as u8;
    let whole = MADE.receipts.iter().map(|receipt| {
        let json = serde_json::to_vec(receipt).expect("a receipt holds nothing that JSON can't say");
        [&[0xff], json.as_slice()].concat()
    });
    (0..count).flat_map(|which| [vec![which], vec![which, 1, 1, which, 3]]).chain(whole).collect()
}

/// The checkpoint as it is, witnessed, and edited; and a tile.
pub(super) fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let witnessed = format!("{}\u{2014} witness.example/w AAAAAAAA\n", MADE.note);
    let notes = [MADE.note.as_str(), witnessed.as_str(), "0/x001/234.p/17", "7/000"];
    let whole = notes.map(|note| [&[1], note.as_bytes()].concat());
    whole.into_iter().chain([vec![0], vec![0, 1, 0, 14, 1], vec![0, 2, 0, 200, b'A']]).collect()
}

/// Paths of small and large trees, right and wrong.
pub(super) fn inclusion_seeds() -> Vec<Vec<u8>> {
    let sizes = [0, 1, 2, 6, 7, 63, 64, 99];
    let of = |size: u8| {
        [vec![size, size / 2, size / 2, 0], vec![size, size, size, 1], vec![size, 0, 0, 0, 4, 0, 32, 0]]
    };
    sizes.into_iter().flat_map(of).collect()
}
