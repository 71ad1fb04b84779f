//! The chain of commits, and its two written forms: canonical JSON and NATS headers.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use events::account::{Registered, Role};
use events::commit::{ChainError, Commit, Seal, Stored};
use events::ids::{AccountId, CommandId, CommitId, DeviceId, KeyId, Nonce, OrderId, WriterId};
use events::metadata::{Cause, CommandStamp, DeadlineStamp, Metadata, Waiting};
use events::order::ShipmentNumber;
use events::{Event, Hash, Head, Timestamp, wire};
use proptest::prelude::*;
use uuid::Uuid;

fn registered(n: u128) -> Event {
    Registered { account: AccountId::from_uuid(Uuid::from_u128(n)), roles: [Role::Buyer].into() }.into()
}

fn seal(cause: Cause, n: u64) -> Seal {
    let writer = WriterId::from_uuid(Uuid::from_u128(9));
    let time = Timestamp::from_ms(1_753_783_200_000);
    Seal {
        id: CommitId::derive(writer, n, time),
        market: "main".parse().unwrap(),
        time,
        cause,
        traceparent: None,
    }
}

fn writer_cause() -> Cause {
    Cause::Writer(WriterId::from_uuid(Uuid::from_u128(9)))
}

fn stored(commit: &Commit) -> Vec<Stored> {
    commit
        .events()
        .iter()
        .map(|event| Stored {
            metadata_json: event.metadata_json.clone(),
            payload_json: event.payload_json.clone(),
        })
        .collect()
}

#[test]
fn a_commit_read_back_is_the_commit_that_was_sealed() {
    let first = Commit::seal(Head::EMPTY, seal(writer_cause(), 1), vec![registered(1), registered(2)]);
    let second = Commit::seal(first.head(), seal(writer_cause(), 3), vec![registered(3)]);
    assert_eq!(first.head().position, 2);
    assert_eq!(second.first_position(), 3);
    let read = Commit::from_stored(3, stored(&second)).unwrap();
    assert_eq!(read, second);
    read.check_follows(first.head()).unwrap();
}

#[test]
fn a_changed_byte_or_a_missing_event_breaks_the_chain() {
    let first = Commit::seal(Head::EMPTY, seal(writer_cause(), 1), vec![registered(1), registered(2)]);
    let second = Commit::seal(first.head(), seal(writer_cause(), 3), vec![registered(3)]);

    let mut changed = stored(&first);
    changed[1].payload_json = registered(77).encode();
    let changed = Commit::from_stored(1, changed).unwrap();
    assert!(matches!(second.check_follows(changed.head()), Err(ChainError::Broken { position: 3, .. })));

    let mut short = stored(&first);
    short.pop();
    assert!(matches!(Commit::from_stored(1, short), Err(ChainError::NotWhole { .. })));

    let mut swapped = stored(&first);
    swapped.swap(0, 1);
    assert!(matches!(Commit::from_stored(1, swapped), Err(ChainError::NotWhole { .. })));
}

/// What stood in logs before orders had more than one shipment is written alike for ever: hashes cover it.
#[test]
fn a_deadline_names_its_shipment_only_behind_the_first() {
    let order = OrderId::from_uuid(Uuid::from_u128(5));
    let (first, third) = (ShipmentNumber::FIRST, ShipmentNumber::after(2));
    for (waiting, kind, more) in [
        (Waiting::ShipBy { order }, "ship_by", ""),
        (Waiting::AcceptBy { order }, "accept_by", ""),
        (Waiting::DeliveryDue { order, shipment: first }, "delivery_due", ""),
        (Waiting::InspectionEnds { order, shipment: first }, "inspection_ends", ""),
        (Waiting::DeliveryDue { order, shipment: third }, "delivery_due", r#","shipment":3"#),
        (Waiting::InspectionEnds { order, shipment: third }, "inspection_ends", r#","shipment":3"#),
    ] {
        let stamp = DeadlineStamp { due: Timestamp::from_ms(7), waiting };
        let written = format!(r#"{{"due":7,"kind":"{kind}","order":"{order}"{more}}}"#);
        assert_eq!(serde_json::to_string(&stamp).unwrap(), written);
        assert_eq!(serde_json::from_str::<DeadlineStamp>(&written).unwrap(), stamp);
    }
}

fn any_text() -> impl Strategy<Value = String> {
    // Quotes, controls, escapes and characters of all planes: what canonical JSON could get wrong.
    "[ -~\u{0}-\u{1f}\u{7f}äß€\u{2028}\u{1F600}]{0,40}"
}

fn any_cause() -> impl Strategy<Value = Cause> {
    let ids = (any::<u128>(), any::<u128>(), any::<u128>(), any::<[u8; 32]>(), any::<[u8; 16]>());
    let command = (ids, 0u64..(1 << 53), any_text(), any::<bool>()).prop_map(|(ids, seq, text, json)| {
        let (account, device, command, key, nonce) = ids;
        Cause::Command(Box::new(CommandStamp {
            account: AccountId::from_uuid(Uuid::from_u128(account)),
            command: CommandId::from_uuid(Uuid::from_u128(command)),
            device: DeviceId::from_uuid(Uuid::from_u128(device)),
            fingerprint: Hash::from_bytes(key),
            key: KeyId(key),
            name: "order.place".into(),
            nonce: Nonce(nonce),
            seq,
            signed: if json { format!("{{\"x\":\"{text}\"}}") } else { "aGVhZA.cGF5.c2ln".into() },
            step_up: None,
        }))
    });
    let deadline = (any::<u128>(), 0usize..3, 0i64..4_000_000_000_000).prop_map(|(order, before, due)| {
        let (order, shipment) = (OrderId::from_uuid(Uuid::from_u128(order)), ShipmentNumber::after(before));
        let waiting = Waiting::InspectionEnds { order, shipment };
        Cause::Deadline(DeadlineStamp { due: Timestamp::from_ms(due), waiting })
    });
    prop_oneof![command, deadline, Just(writer_cause())]
}

proptest! {
    #[test]
    fn stored_metadata_is_canonical_json(cause in any_cause()) {
        let commit = Commit::seal(Head::EMPTY, seal(cause, 1), vec![registered(1), registered(2)]);
        for event in commit.events() {
            let canonical = serde_json_canonicalizer::to_vec(&event.metadata).unwrap();
            prop_assert_eq!(&event.metadata_json, &canonical);
        }
    }

    #[test]
    fn headers_give_back_the_metadata_bit_for_bit(cause in any_cause()) {
        let commit = Commit::seal(Head::EMPTY, seal(cause, 1), vec![registered(1), registered(2)]);
        for event in commit.events() {
            let headers: BTreeMap<_, _> = wire::to_headers(&event.metadata).into_iter().collect();
            for value in headers.values() {
                prop_assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "a header must be printable ASCII");
            }
            let back = wire::from_headers(|name| headers.get(name).map(String::as_str)).unwrap();
            prop_assert_eq!(serde_json::to_vec(&back).unwrap(), event.metadata_json.clone());
        }
    }

    #[test]
    fn metadata_survives_json(cause in any_cause()) {
        let commit = Commit::seal(Head::EMPTY, seal(cause, 1), vec![registered(1)]);
        let back: Metadata = serde_json::from_slice(&commit.events()[0].metadata_json).unwrap();
        prop_assert_eq!(&back, &commit.events()[0].metadata);
    }
}
