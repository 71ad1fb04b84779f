//! Logs that were written before orders had parts: an order was shipped, paid and paid back whole.

use crate::support::*;
use commands::Market;
use commands::order::ShipmentState;
use events::commit::Stored;
use events::order::Placed;
use events::rejection::OrderState;
use events::{Commit, Event, Head};
use serde_json::{Map, Value};

/// The members that the second version of an event has over the first.
const NEW_MEMBERS: [&str; 4] = ["lines", "shipment", "closed_as", "remaining"];

/// Orders that come to each end they could come to, and two that are still under way.
fn sold() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 20)
        .given_listing(SELLER, POT, usd(2500), 2)
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    let confirmed = world.placed(BUYER, place(&[(TEA, 2), (POT, 1)], usd(3500)));
    let left_alone = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    let cancelled = world.placed(BUYER, place(&[(TEA, 1), (POT, 1)], usd(3000)));
    let forgotten = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world
        .given(SELLER, ship(confirmed))
        .given(BUYER, confirm(confirmed))
        .given(SELLER, cancel(cancelled))
        .given(SELLER, ship(left_alone));
    while world.market.orders.open_count() > 0 {
        world.when_deadline();
    }
    let state = |order| world.market.orders.recently_closed(order).unwrap().state;
    assert_eq!([confirmed, left_alone].map(state), [OrderState::Completed; 2]);
    assert_eq!([cancelled, forgotten].map(state), [OrderState::Cancelled; 2]);
    let travels = world.placed(BUYER, place(&[(TEA, 2)], usd(1500)));
    let arrived = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world.given(SELLER, ship(travels)).given(SELLER, ship(arrived)).given(PROVIDER, confirm(arrived));
    world
}

/// Writes a log as it would have been written then.
fn in_first_version(log: &[Commit]) -> Vec<Commit> {
    let mut head = Head::EMPTY;
    let mut older = Vec::new();
    for commit in log {
        let stored = commit.events().iter().map(|recorded| {
            let mut metadata = recorded.metadata.clone();
            let mut payload: Map<String, Value> = serde_json::from_slice(&recorded.payload_json).unwrap();
            if let Some(unversioned) = recorded.metadata.type_name.strip_suffix(".v2") {
                metadata.type_name = format!("{unversioned}.v1");
                NEW_MEMBERS.iter().for_each(|member| drop(payload.remove(*member)));
            }
            if let Some(start) = &mut metadata.start {
                start.previous = head.hash;
            }
            let metadata_json = serde_json::to_vec(&metadata).unwrap();
            Stored { metadata_json, payload_json: serde_json::to_vec(&payload).unwrap() }
        });
        let commit = Commit::from_stored(head.position + 1, stored.collect()).unwrap();
        commit.check_follows(head).unwrap();
        head = commit.head();
        older.push(commit);
    }
    older
}

#[test]
fn a_log_of_the_first_version_folds_to_what_the_same_decisions_give_today() {
    let world = sold();
    let older = in_first_version(&world.log);
    let stored: Vec<&str> =
        older.iter().flat_map(Commit::events).map(|recorded| recorded.metadata.type_name.as_str()).collect();
    for older_type in Event::OLDER_TYPES {
        assert!(stored.contains(older_type), "{older_type}");
    }
    let mut market = Market::new();
    older.iter().for_each(|commit| market.evolve_commit(commit));
    assert_eq!(market, world.market);
    let states: Vec<_> = market.orders.iter().map(|(_, order)| order.shipments[0].state).collect();
    assert_eq!(states.len(), 2);
    assert!(states.iter().any(|state| matches!(state, ShipmentState::InTransit { .. })));
    assert!(states.iter().any(|state| matches!(state, ShipmentState::Inspection { .. })));
}

#[test]
fn what_an_older_event_leaves_unsaid_is_what_would_be_decided_today() {
    let world = sold();
    let mut market = Market::new();
    for (older, present) in in_first_version(&world.log).iter().zip(&world.log) {
        let spelled_out = older.events().iter().map(|recorded| market.spelled_out(&recorded.event));
        let spelled_out: Vec<Event> = spelled_out.collect();
        assert!(spelled_out.iter().eq(present.events().iter().map(|recorded| &recorded.event)));
        market.evolve_commit(older);
    }
    // Of a part it would say something else: it can't stand for one.
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 20).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(1000)));
    let before = world.market.clone();
    world.given(SELLER, ship_units(order, &[(TEA, 1)]));
    let older = in_first_version(&world.log);
    let lifted = &older.last().unwrap().events()[0].event;
    assert_ne!(before.spelled_out(lifted), world.events()[0]);
}

/// Takes groups and numbers from a commit's orders.
fn without_numbers(commit: &Commit) -> Vec<Event> {
    let events = commit.events().iter().map(|recorded| match recorded.event.clone() {
        Event::OrderPlaced(placed) => Placed { group: None, number: None, ..placed }.into(),
        other => other,
    });
    events.collect()
}

#[test]
fn an_order_without_a_number_is_good_only_before_the_first_that_has_one() {
    let world = sold();
    let mut market = Market::new();
    let mut placed = 0;
    for commit in &world.log {
        let present: Vec<Event> = commit.events().iter().map(|recorded| recorded.event.clone()).collect();
        let older = without_numbers(commit);
        let mut again = present.clone();
        market.without_what_was_not(&mut again, &older);
        let is_first = market.orders.last_number().is_none();
        assert_eq!(again, if is_first { older } else { present.clone() });
        // What has its number is never compared without it.
        let mut again = present.clone();
        market.without_what_was_not(&mut again, &present);
        assert_eq!(again, present);
        placed += usize::from(present.iter().any(|event| matches!(event, Event::OrderPlaced(_))));
        market.evolve_commit(commit);
    }
    assert!(placed > 1);
}
