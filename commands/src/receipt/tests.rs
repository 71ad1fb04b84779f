use events::account::{Algorithm, Registered, Role};
use events::command::{Rejected, Unchanged};
use events::commit::Seal;
use events::ids::{DeviceId, KeyId, Nonce, WriterId};
use events::metadata::CommandStamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn market() -> MarketName {
    "main".parse().unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(Algorithm::EdDsa, [seed; 32]).unwrap()
}

fn account(n: u64) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n.into()))
}

fn command_cause(n: u64) -> Cause {
    Cause::Command(Box::new(CommandStamp {
        account: account(n),
        command: CommandId::from_uuid(Uuid::from_u128(n.into())),
        device: DeviceId::from_uuid(Uuid::from_u128(1)),
        fingerprint: Hash::of(&n.to_be_bytes()),
        key: KeyId([1; 32]),
        name: "account.register".to_owned(),
        nonce: Nonce([2; 16]),
        seq: n,
        signed: "a.b.c".to_owned(),
        step_up: None,
    }))
}

fn commit(head: Head, cause: Cause, events: Vec<Event>) -> Commit {
    let writer = WriterId::from_uuid(Uuid::from_u128(9));
    let time = Timestamp::from_ms(1_753_783_200_000);
    let id = CommitId::derive(writer, head.position + 1, time);
    Commit::seal(head, Seal { id, market: market(), time, cause, traceparent: None }, events)
}

fn registered(n: u64) -> Event {
    Registered { account: account(n), roles: [Role::Buyer].into() }.into()
}

/// A group of `size` commits of two events each, and the head behind them.
fn group(size: u64) -> (Vec<ReceiptBody>, Head) {
    let mut head = Head { position: 10, hash: Hash::of(b"before") };
    let mut bodies = Vec::new();
    for n in 0..size {
        let commit = commit(head, command_cause(n), vec![registered(n), registered(n + 1000)]);
        head = commit.head();
        bodies.push(ReceiptBody::of(&commit).unwrap());
    }
    (bodies, head)
}

fn receipts(size: u64) -> Vec<Receipt> {
    let (bodies, head) = group(size);
    sign_group(bodies, head, &market(), &key(1))
}

fn verifier() -> ReceiptVerifier {
    ReceiptVerifier::new(&key(1).public()).unwrap()
}

fn verdict(receipt: &Receipt) -> Result<(), ReceiptError> {
    let alone = verify_receipt(receipt, &VerifyingKey::new(&key(1).public()).unwrap());
    let mut verifier = verifier();
    assert_eq!(verifier.verify(receipt), alone);
    assert_eq!(verifier.verify(receipt), alone, "also when the group is remembered");
    alone
}

#[test]
fn what_is_hashed_is_the_canonical_form() {
    let head = Head { position: 4, hash: Hash::of(b"before") };
    let name = "account.register".to_owned();
    let reasons = vec![
        Rejection::StaleVersion { what: "cart \u{1f6d2}".to_owned(), expected: 1, current: 2 },
        Rejection::AccountUnknown { account: account(9) },
    ];
    for events in [
        vec![registered(7), registered(8)],
        vec![Rejected { command: name.clone(), reasons }.into()],
        vec![Unchanged { command: name }.into()],
    ] {
        let body = ReceiptBody::of(&commit(head, command_cause(7), events)).unwrap();
        let value = serde_json::to_value(&body).unwrap();
        assert_eq!(body.canonical(), serde_json_canonicalizer::to_string(&value).unwrap());
    }
}

#[test]
fn a_receipt_says_what_became_of_the_command() {
    let head = Head { position: 4, hash: Hash::of(b"before") };
    let accepted = ReceiptBody::of(&commit(head, command_cause(7), vec![registered(7)])).unwrap();
    assert_eq!((accepted.outcome, accepted.position, accepted.account), (Outcome::Accepted, 5, account(7)));
    assert_eq!(accepted.events[0].type_name, "account.registered.v1");
    assert_eq!(accepted.events[0].subject, Some(account(7).to_string()));

    let name = "account.register".to_owned();
    let unchanged: Event = Unchanged { command: name.clone() }.into();
    let unchanged = ReceiptBody::of(&commit(head, command_cause(7), vec![unchanged])).unwrap();
    assert_eq!((unchanged.outcome, unchanged.reasons.len()), (Outcome::Unchanged, 0));
    assert_eq!(unchanged.events[0].subject, None);

    let reasons = vec![Rejection::RolesNotAllowed, Rejection::AccountExists { account: account(7) }];
    let rejected: Event = Rejected { command: name, reasons: reasons.clone() }.into();
    let rejected = ReceiptBody::of(&commit(head, command_cause(7), vec![rejected])).unwrap();
    assert_eq!((rejected.outcome, rejected.reasons), (Outcome::Rejected, reasons));
}

#[test]
fn what_no_command_caused_has_no_receipt() {
    let writer = Cause::Writer(WriterId::from_uuid(Uuid::from_u128(9)));
    assert_eq!(ReceiptBody::of(&commit(Head::EMPTY, writer, vec![registered(1)])), None);
}

#[test]
fn every_receipt_of_a_group_of_any_size_is_proven_alone() {
    assert_eq!(receipts(0), []);
    for size in 1..20 {
        let mut verifier = verifier();
        for receipt in receipts(size) {
            assert_eq!(verdict(&receipt), Ok(()));
            assert_eq!(verifier.verify(&receipt), Ok(()));
            let json = serde_json::to_vec(&receipt).unwrap();
            assert_eq!(Receipt::from_json(&json), Ok(receipt));
        }
    }
}

#[test]
fn the_leaf_is_the_hash_of_the_canonical_body() {
    let (mut bodies, _) = group(1);
    bodies[0].outcome = Outcome::Rejected;
    bodies[0].reasons = vec![Rejection::StaleVersion {
        what: "cart \"é\u{1}\u{7f}😀\"/".to_owned(),
        expected: 1,
        current: 2,
    }];
    let canonical = serde_json_canonicalizer::to_vec(&bodies[0]).unwrap();
    assert_eq!(bodies[0].leaf(), leaf_hash(&canonical));
}

#[test]
fn numbers_beyond_what_json_keeps_do_not_share_a_leaf() {
    let (mut bodies, _) = group(1);
    let mut leaf = |current| {
        bodies[0].reasons = vec![Rejection::StaleVersion { what: "cart".to_owned(), expected: 1, current }];
        bodies[0].leaf()
    };
    assert_ne!(leaf((1 << 53) + 1), leaf(1 << 53));
}

#[test]
fn a_changed_body_is_not_in_the_group() {
    let good = receipts(5).remove(3);
    let changes: [fn(&mut ReceiptBody); 11] = [
        |body| body.account = account(99),
        |body| body.command = CommandId::from_uuid(Uuid::from_u128(99)),
        |body| body.commit = CommitId::from_uuid(Uuid::from_u128(99)),
        |body| body.events.truncate(1),
        |body| body.events[0].subject = None,
        |body| body.events[0].leaf = Hash::ZERO,
        |body| body.fingerprint = Hash::ZERO,
        |body| body.name = "order.place".to_owned(),
        |body| body.outcome = Outcome::Rejected,
        |body| body.reasons.push(Rejection::RolesNotAllowed),
        |body| body.time = Timestamp::from_ms(0),
    ];
    for change in changes {
        let mut wrong = good.clone();
        change(&mut wrong.receipt);
        assert_eq!(verdict(&wrong), Err(ReceiptError::NotIncluded));
    }
    let mut elsewhere = good.clone();
    elsewhere.receipt.market = "elsewhere".parse().unwrap();
    assert_eq!(verdict(&elsewhere), Err(ReceiptError::OtherLog));
    let mut later = good.clone();
    later.receipt.position = 1000;
    assert_eq!(verdict(&later), Err(ReceiptError::OtherLog));
    let mut newer = good;
    newer.receipt.v = 3;
    assert_eq!(verdict(&newer), Err(ReceiptError::OtherVersion { v: 3 }));
}

#[test]
fn another_place_path_or_group_proves_nothing() {
    let all = receipts(7);
    for good in &all {
        for index in (0..9).filter(|index| *index != good.index) {
            assert_eq!(verdict(&Receipt { index, ..good.clone() }), Err(ReceiptError::NotIncluded));
        }
        let longer = [good.path.clone(), vec![Hash::ZERO]].concat();
        for path in [longer, good.path[1..].to_vec(), good.path.iter().rev().copied().collect(), vec![]] {
            assert_eq!(verdict(&Receipt { path, ..good.clone() }), Err(ReceiptError::NotIncluded));
        }
        let group = receipts(8)[0].group.clone();
        assert_eq!(verdict(&Receipt { group, ..good.clone() }), Err(ReceiptError::NotIncluded));
    }
}

#[test]
fn a_group_of_another_key_market_size_or_meaning_is_refused() {
    let good = receipts(3).remove(1);
    let (bodies, head) = group(3);
    let stranger = sign_group(bodies.clone(), head, &market(), &key(2)).remove(1);
    assert_eq!(verdict(&stranger), Err(ReceiptError::OtherKey));
    let elsewhere = sign_group(bodies.clone(), head, &"elsewhere".parse().unwrap(), &key(1)).remove(1);
    assert_eq!(verdict(&elsewhere), Err(ReceiptError::OtherLog));

    let root = MerkleTree::new(bodies.iter().map(ReceiptBody::leaf).collect()).root();
    let resigned = |change: fn(&mut Group), typ: &str| {
        let mut payload = Group { head, market: market(), root, size: 3, v: RECEIPT_VERSION };
        change(&mut payload);
        verdict(&Receipt { group: jws::sign(typ, &payload, &key(1)), ..good.clone() })
    };
    assert_eq!(resigned(|_| {}, RECEIPTS_TYP), Ok(()));
    assert!(matches!(resigned(|_| {}, "skylink-cmd+jws"), Err(ReceiptError::GroupMalformed { .. })));
    assert!(matches!(resigned(|group| group.v = 3, RECEIPTS_TYP), Err(ReceiptError::GroupMalformed { .. })));
    for size in [0, 1, 2, 5, 100] {
        let payload = Group { head, market: market(), root, size, v: RECEIPT_VERSION };
        let wrong = Receipt { group: jws::sign(RECEIPTS_TYP, &payload, &key(1)), ..good.clone() };
        assert_eq!(verdict(&wrong), Err(ReceiptError::NotIncluded), "size {size}");
    }

    let (head_and_payload, _) = good.group.rsplit_once('.').unwrap();
    let (_, other_signature) = stranger.group.rsplit_once('.').unwrap();
    let group = format!("{head_and_payload}.{other_signature}");
    assert_eq!(verdict(&Receipt { group, ..good }), Err(ReceiptError::SignatureWrong));
}

#[test]
fn a_remembered_group_vouches_for_no_other() {
    let mut verifier = verifier();
    let [first, second] = [receipts(4).remove(1), receipts(6).remove(1)];
    assert_eq!(verifier.verify(&first), Ok(()));
    let (bodies, head) = group(4);
    let forged = sign_group(bodies, head, &market(), &key(2)).remove(1);
    assert_eq!(verifier.verify(&forged), Err(ReceiptError::OtherKey));
    let mixed = Receipt { group: first.group.clone(), ..second.clone() };
    assert_eq!(verifier.verify(&mixed), Err(ReceiptError::NotIncluded));
    assert_eq!(verifier.verify(&second), Ok(()));
}

#[test]
fn json_with_more_than_was_proven_is_refused() {
    let (mut bodies, head) = group(1);
    bodies[0].reasons = vec![Rejection::AccountExists { account: account(7) }];
    let receipt = sign_group(bodies, head, &market(), &key(1)).remove(0);
    let good = serde_json::to_string(&receipt).unwrap();
    assert!(Receipt::from_json(good.replace(r#","replayed":false"#, "").as_bytes()).is_ok());
    for (from, to) in [
        (r#""code":"account_exists""#, r#""code":"account_exists","refund":"100 USD""#),
        (r#""index":0"#, r#""index":0,"index":0"#),
        (r#""index":0"#, r#""index":0,"paid":true"#),
        (r#""v":2"#, r#""v":2,"paid":true"#),
    ] {
        let wrong = good.replace(from, to);
        assert_ne!(wrong, good);
        let verdict = Receipt::from_json(wrong.as_bytes());
        assert!(matches!(verdict, Err(ReceiptError::Malformed { .. })), "{wrong}");
    }
}

proptest! {
    #[test]
    fn a_receipt_with_a_changed_byte_is_refused_or_says_the_same(
        which in 0usize..5, at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        let good = receipts(5).remove(which);
        let mut json = serde_json::to_vec(&good).unwrap();
        let at = at.index(json.len());
        json[at] = to;
        if let Ok(receipt) = Receipt::from_json(&json) && verdict(&receipt).is_ok() {
            prop_assert_eq!(Receipt { replayed: good.replayed, ..receipt }, good);
        }
    }

    #[test]
    fn no_group_text_passes_or_panics(group in "[A-Za-z0-9_.-]{0,200}") {
        let wrong = Receipt { group, ..receipts(2).remove(0) };
        prop_assert!(verdict(&wrong).is_err());
    }
}

/// A receipt of the last of some commits, with the leaves of all of them.
fn in_log() -> (Receipt, Vec<Hash>) {
    let (mut head, mut leaves, mut bodies) = (Head::EMPTY, Vec::new(), Vec::new());
    for n in 0..5 {
        let commit = commit(head, command_cause(n), vec![registered(n), registered(n + 1000)]);
        head = commit.head();
        leaves.extend(commit.events().iter().map(|recorded| recorded.leaf()));
        bodies.extend(ReceiptBody::of(&commit));
    }
    let mut receipt = sign_group(bodies, head, &market(), &key(1)).pop().unwrap();
    receipt.log = Some(proof(&receipt.receipt, head, leaves.clone()));
    (receipt, leaves)
}

fn proof(body: &ReceiptBody, head: Head, leaves: Vec<Hash>) -> LogProof {
    let tree = MerkleTree::new(leaves);
    let checkpoint = Checkpoint { market: market(), head, root: tree.root() };
    let paths = body.events.iter().map(|event| tree.path(event.position as usize - 1)).collect();
    LogProof { checkpoint: checkpoint.sign(&key(1)).unwrap(), paths }
}

#[test]
fn a_receipt_with_its_checkpoint_proves_that_its_events_are_in_the_log() {
    let (receipt, _) = in_log();
    assert_eq!(verdict(&receipt), Ok(()));
    let json = serde_json::to_vec(&receipt).unwrap();
    assert_eq!(Receipt::from_json(&json), Ok(receipt));
}

#[test]
fn a_receipt_whose_events_are_not_in_the_log_of_its_checkpoint_is_refused() {
    let (good, leaves) = in_log();
    let body = good.receipt.clone();
    let head = Head { position: 10, hash: Hash::ZERO };
    let with = |log| verdict(&Receipt { log: Some(log), ..good.clone() });
    // The log has something else there.
    for at in 0..leaves.len() {
        let mut others = leaves.clone();
        others[at] = Hash::of(b"another event");
        let is_of_receipt = at >= 8;
        let found = with(proof(&body, head, others));
        let position = at as u64 + 1;
        assert_eq!(found, if is_of_receipt { Err(ReceiptError::NotInLog { position }) } else { Ok(()) });
    }
    let proof = || good.log.clone().unwrap();
    let short = LogProof { paths: proof().paths[..1].to_vec(), ..proof() };
    assert_eq!(with(short), Err(ReceiptError::NotInLog { position: 10 }));
    let swapped = LogProof { paths: proof().paths.into_iter().rev().collect(), ..proof() };
    assert_eq!(with(swapped), Err(ReceiptError::NotInLog { position: 9 }));
    for n in 0..proof().paths[0].len() {
        let mut changed = proof();
        changed.paths[0][n] = Hash::ZERO;
        assert_eq!(with(changed), Err(ReceiptError::NotInLog { position: 9 }), "{n}");
    }
    let checkpoint = Checkpoint { market: market(), head, root: MerkleTree::new(leaves).root() };
    let forged = LogProof { checkpoint: checkpoint.sign(&key(2)).unwrap(), ..proof() };
    assert_eq!(with(forged), Err(ReceiptError::Checkpoint(CheckpointError::NotSigned)));
}
