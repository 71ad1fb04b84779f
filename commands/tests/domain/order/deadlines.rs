//! What becomes of orders that nobody does anything about.

use events::ledger::LedgerAccount;
use events::metadata::Waiting;
use events::order::{CancelledBy, Delivered, DeliveryProof, ReleaseCondition, ShipmentNumber};
use events::rejection::OrderState;
use events::{Event, Rejection};

use super::{earned, shop, then_balances, wallet};
use crate::support::*;

#[test]
fn what_is_not_shipped_in_time_is_cancelled_and_paid_back() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world.when_deadline().then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    assert_eq!(world.now, START.plus_ms(14 * DAY_MS));
    match &world.events()[0] {
        Event::OrderCancelled(cancelled) => assert_eq!(cancelled.by, CancelledBy::ShipDeadline),
        other => panic!("{other:?}"),
    }
    then_balances(&mut world, [(wallet(BUYER), 10_000)]);
    assert_eq!(world.market.listings.get(listing(TEA)).unwrap().available(), 10);
    let state = OrderState::Cancelled;
    world.when(SELLER, ship(order)).then_rejected([Rejection::OrderState { order, state }]);
}

#[test]
fn silence_of_the_carrier_and_then_of_the_buyer_pays_the_seller() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world.given(SELLER, ship(order)).when_deadline();
    let inspection_ends = START.plus_ms(17 * DAY_MS);
    let (confirmed_by, shipment) = (DeliveryProof::TransitElapsed, ShipmentNumber::FIRST);
    world
        .then_events([Delivered {
            confirmed_by,
            inspection_ends,
            order,
            release_due: None,
            return_by: None,
            shipment,
        }
        .into()])
        .when_deadline();
    match world.events() {
        [Event::EscrowReleased(released)] => {
            assert_eq!(released.condition, ReleaseCondition::InspectionElapsed);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.now, inspection_ends);
    then_balances(&mut world, [(earned(SELLER), 1462), (LedgerAccount::PlatformFees, 38)]);
}

#[test]
fn deadlines_come_in_the_order_of_time_and_each_leaves_with_what_waited_for_it() {
    let mut world = shop();
    let first = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    let second = world.after(1).placed(BUYER, place(&[(TEA, 1)], usd(500)));
    let next = |world: &World| world.market.next_deadline().map(|next| next.waiting);
    assert_eq!(next(&world), Some(Waiting::ShipBy { order: first }));
    world.after(1).given(SELLER, ship(first));
    assert_eq!(next(&world), Some(Waiting::ShipBy { order: second }));
    world.given(PROVIDER, confirm(first));
    assert_eq!(next(&world), Some(Waiting::InspectionEnds { order: first, shipment: ShipmentNumber::FIRST }));
    world.given(BUYER, confirm(first));
    assert_eq!(next(&world), Some(Waiting::ShipBy { order: second }));
}

#[test]
#[should_panic(expected = "a deadline leaves with what waited for it")]
fn the_deadline_of_what_waits_no_more_is_no_reason_to_act() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    let ship_by = world.market.next_deadline().unwrap();
    world.given(SELLER, ship(order));
    commands::decide_deadline(&world.market, ship_by, ship_by.due);
}

#[test]
#[should_panic(expected = "a deadline is decided when it is due")]
fn no_deadline_is_decided_early() {
    let mut world = shop();
    world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    let ship_by = world.market.next_deadline().unwrap();
    commands::decide_deadline(&world.market, ship_by, ship_by.due.plus_ms(-1));
}
