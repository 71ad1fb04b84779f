//! Addresses that only their sellers can read, as `skylink address open` reads them.

use std::sync::LazyLock;

use events::ids::{AccountId, CommandId};
use uuid::Uuid;

use self::seal::{Bound, open};
use super::edits;
use crate::log_contract::market;

#[path = "../../../cli/src/address/seal.rs"]
#[allow(
    dead_code,
    clippy::duplicate_mod,
    reason = "the program itself is no library: only what reads the bytes is tried here"
)]
mod seal;

/// The seller's private key.
const PRIVATE: [u8; 32] = [7; 32];
const ADDRESS: &str = "Alice\n1 Long Lane\nLondon";
/// `ADDRESS` as it was encrypted once to that key, for [`bound`]: it is made anew with other random numbers each time.
const SEALED: &str = concat!(
    "57db4b359f23ae5e146e4e2512056704722506348c150c14753d0c933d04d421e778f8e5beaf35c8d26e88864ddf5d06",
    "a15d68580ea64d3027de9a88f959c91ec40f7d07b56b20f6"
);

static MADE: LazyLock<Vec<u8>> = LazyLock::new(|| hex::decode(SEALED).expect("it is hexadecimal"));

fn bound() -> Bound {
    Bound {
        market: market(),
        seller: AccountId::from_uuid(Uuid::from_u128(1)),
        command: CommandId::from_uuid(Uuid::from_u128(2)),
    }
}

/// By the first byte the rest edits what was encrypted, takes its place, or edits what it is bound to. It opens as it was made, and for
/// nothing else.
pub(super) fn sealed(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let (mut sealed, mut bound, mut key) = (MADE.clone(), bound(), PRIVATE.to_vec());
    let mut is_made = true;
    match how % 5 {
        0 => edits::apply(rest, &mut sealed),
        1 => sealed = rest.to_vec(),
        2 => {
            bound.seller = AccountId::from_uuid(edited(bound.seller.uuid(), rest));
            is_made = bound.seller == self::bound().seller;
        }
        3 => {
            bound.command = CommandId::from_uuid(edited(bound.command.uuid(), rest));
            is_made = bound.command == self::bound().command;
        }
        _ => {
            edits::apply(rest, &mut key);
            // Of a private key five bits say nothing (RFC 7748, section 5).
            is_made = clamped(&key) == clamped(&PRIVATE);
        }
    }
    let opened = open(&sealed, &key.into(), &bound);
    if is_made && sealed == *MADE {
        assert_eq!(opened.expect("what was made opens"), ADDRESS);
    } else {
        assert!(opened.is_err(), "it opens for nothing else");
    }
}

fn edited(id: Uuid, edits: &[u8]) -> Uuid {
    let mut bytes = id.as_bytes().to_vec();
    edits::apply(edits, &mut bytes);
    bytes.resize(16, 0);
    Uuid::from_slice(&bytes).expect("it has 16 bytes")
}

fn clamped(key: &[u8]) -> Option<[u8; 32]> {
    let mut key: [u8; 32] = key.try_into().ok()?;
    key[0] &= 0xf8;
    key[31] = key[31] & 0x7f | 0x40;
    Some(key)
}

/// The address as it is, cut and with bits changed; bound to something else; and things that are none.
pub(super) fn sealed_seeds() -> Vec<Vec<u8>> {
    let edits = [
        vec![],
        vec![1, 0, 5, 0],
        vec![1, 0, 31, 7],
        vec![1, 0, 40, 3],
        vec![4, 0, 48, 0],
        vec![2, 0, 60, 0],
    ];
    let edited = edits.iter().flat_map(|edit| [0u8, 2, 3, 4].map(|how| [&[how], edit.as_slice()].concat()));
    edited.chain([vec![1], vec![1; 33], vec![1; 49], [&[1], MADE.as_slice()].concat()]).collect()
}
