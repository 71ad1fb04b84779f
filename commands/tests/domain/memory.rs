//! What no longer fits memory leaves it in the order of the log, on every replica at the same position.

use crate::support::*;
use commands::order::RECENT_CLOSED_MAX;
use commands::replay::{CLOCK_SKEW_MS, RECENT_COMMANDS_MAX};
use commands::{Decision, Market, Question};
use events::command::Unchanged;
use events::commit::{Commit, Recorded, Seal};
use events::ids::{CommitId, Nonce, WriterId};
use events::metadata::Cause;
use uuid::Uuid;

fn snapshot(market: &Market) -> Market {
    let bytes = bincode::serde::encode_to_vec(market, bincode::config::standard()).unwrap();
    bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap().0
}

/// The `n`-th of many harmless commands of the buyer, as it would stand behind the world's log.
fn unchanged(template: &Recorded, n: u64) -> Recorded {
    let mut recorded = template.clone();
    recorded.position += n;
    if let Some(start) = &mut recorded.metadata.start
        && let Cause::Command(stamp) = &mut start.cause
    {
        stamp.command = cid(template.metadata.time, 1_000_000 + n);
        stamp.seq += n;
        stamp.nonce = Nonce(*Uuid::from_u128(u128::from(n) << 64).as_bytes());
    }
    recorded
}

#[test]
fn the_oldest_command_leaves_memory_and_is_asked_for_from_then_on() {
    let mut world = World::new();
    let signed = world.sign(BUYER, clear());
    world.when_signed(signed.clone()).then_unchanged();
    let (first, head) = (world.head().position, world.head());
    let seal = Seal {
        id: CommitId::derive(WriterId::from_uuid(Uuid::nil()), head.position + 1, world.now),
        market: "main".parse().unwrap(),
        time: world.now,
        cause: Cause::Command(Box::new(signed.stamp.clone())),
        traceparent: None,
    };
    let command = "cart.clear".to_owned();
    let template = Commit::seal(head, seal, vec![Unchanged { command }.into()]);
    let template = template.events()[0].clone();
    let mut replica = None;
    // The people's registrations are among the commands, and leave before.
    let most = RECENT_COMMANDS_MAX as u64;
    for n in 0..most {
        if n == most - 1 {
            world.when_signed(signed.clone());
            assert_eq!(*world.outcome(), Decision::Repeat(first));
            replica = Some(snapshot(&world.market));
        }
        world.market.evolve(&unchanged(&template, n));
    }
    assert_eq!(world.market.forgotten, first);
    world.when_signed(signed.clone());
    let id = (BUYER.account(), signed.stamp.command);
    assert_eq!(
        *world.outcome(),
        Decision::Ask(Question {
            covering: first,
            command: id,
            order: None,
            credit: None,
            payment: None,
            payout: None
        })
    );
    let mut replica = replica.unwrap();
    replica.evolve(&unchanged(&template, most - 1));
    assert!(replica == world.market, "a replica that starts from a snapshot forgets the same");
    // An id made after all that was forgotten can't be among it.
    world.after(CLOCK_SKEW_MS + 1);
    let fresh = world.sign(OTHER_BUYER, clear());
    assert!(!world.market.recent.may_be_forgotten(fresh.stamp.command));
    let asked = world.sign(OTHER_BUYER, clear());
    assert_eq!(
        commands::decide(&world.market, &asked, &world.facts, world.now),
        Decision::Commit(vec![Unchanged { command: "cart.clear".to_owned() }.into()])
    );
}

#[test]
fn the_oldest_closed_order_leaves_memory_and_is_asked_for_from_then_on() {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(1), 1).given(PROVIDER, fund(BUYER, usd(1)));
    let close_one = |world: &mut World| {
        let order = world.placed(BUYER, place(&[(TEA, 1)], usd(1)));
        world.given(BUYER, cancel(order));
        (order, world.head().position)
    };
    let (first, closed_at) = close_one(&mut world);
    for _ in 1..RECENT_CLOSED_MAX {
        close_one(&mut world);
    }
    assert_eq!((world.market.forgotten, world.market.orders.open_count()), (0, 0));
    let mut replica = snapshot(&world.market);
    let behind = world.log.len();
    world.when(BUYER, cancel(first)).then_unchanged();
    close_one(&mut world);
    assert_eq!(world.market.forgotten, closed_at);
    world.when(BUYER, cancel(first));
    match world.outcome() {
        Decision::Ask(question) => assert_eq!((question.covering, question.order), (closed_at, Some(first))),
        other => panic!("{other:?}"),
    }
    for commit in &world.log[behind..] {
        replica.evolve_commit(commit);
    }
    assert!(replica == world.market, "a replica that starts from a snapshot forgets the same");
}
