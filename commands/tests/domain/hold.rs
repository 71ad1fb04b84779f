//! Orders that operators stop: nothing moves, no time passes, and it takes two to lift it.

use crate::support::suspended::*;
use crate::support::*;
use events::escrow::FreezeReason;
use events::ids::OrderId;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::hold::{Held, HoldReason, Unheld, UnholdRequested};
use events::rejection::OrderState;
use events::{Event, Rejection};

const REVIEW: HoldReason = HoldReason::RiskReview;

/// An order of three, of which one unit travels.
fn shipped() -> (World, OrderId) {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world.given(SELLER, ship_units(order, &[(TEA, 1)]));
    (world, order)
}

fn on_hold(order: OrderId) -> Rejection {
    Rejection::OrderOnHold { order, reason: REVIEW }
}

#[test]
fn an_order_on_hold_moves_for_nobody() {
    let (mut world, order) = shipped();
    let held = Held { by: OPERATOR.account(), note: "look at it".to_owned(), order, reason: REVIEW };
    world
        .when(OPERATOR, hold(order, REVIEW))
        .then_events([held.into()])
        .when_again()
        .then_repeat()
        .when(OTHER_OPERATOR, hold(order, REVIEW))
        .then_unchanged()
        .when(OTHER_OPERATOR, hold(order, HoldReason::Compliance))
        .then_rejected([on_hold(order)]);
    for (actor, command) in [
        (SELLER, accept(order)),
        (SELLER, decline(order)),
        (SELLER, ship(order)),
        (SELLER, refund(order, 1, usd(100))),
        (BUYER, cancel_units(order, &[(TEA, 1)])),
        (OPERATOR, cancel_units(order, &[(TEA, 1)])),
        (PROVIDER, confirm(order)),
        (BUYER, confirm(order)),
        (BUYER, freeze_money(order, 1, None, FreezeReason::NotReceived)),
        (OPERATOR, freeze_money(order, 1, None, FreezeReason::Operator)),
        (OPERATOR, unfreeze_money(order, 1)),
        (OPERATOR, settle(order, 1, usd(0), usd(500))),
    ] {
        world.when(actor, command).then_rejected([on_hold(order)]);
    }
    assert_eq!(world.market.next_deadline(), None, "no time passes for it");
}

#[test]
fn it_takes_two_operators_to_lift_a_hold() {
    let (mut world, order) = shipped();
    world.given(OPERATOR, hold(order, REVIEW));
    let asked = UnholdRequested { by: OPERATOR.account(), order };
    world
        .when(OPERATOR, unhold(order))
        .then_events([asked.into()])
        .when_again()
        .then_repeat()
        .when(OPERATOR, unhold(order))
        .then_rejected([Rejection::FourEyes { order }])
        .when(SELLER, ship(order))
        .then_rejected([on_hold(order)])
        .when(OTHER_OPERATOR, unhold(order))
        .then_types(["order.unheld.v1"])
        .when_again()
        .then_repeat()
        .when(OPERATOR, unhold(order))
        .then_unchanged()
        .given(SELLER, ship(order))
        // The next hold is lifted by two again.
        .given(OPERATOR, hold(order, REVIEW))
        .when(OTHER_OPERATOR, unhold(order))
        .then_types(["order.unhold_requested.v1"]);
}

#[test]
fn a_suspended_operator_is_none_of_the_two_who_lift_a_hold() {
    let held = || {
        let (mut world, order) = shipped();
        world.given(OPERATOR, hold(order, REVIEW));
        let (proposed, done) = ("order.unhold_requested.v1", "order.unheld.v1");
        (world, ByTwo { command: unhold(order), proposed, alone: Rejection::FourEyes { order }, done })
    };
    let (mut world, lift) = held();
    lift.needs_two_who_are_not_suspended(&mut world);
    let (mut world, lift) = held();
    lift.counts_again_after_a_reinstatement(&mut world);
}

#[test]
fn what_was_left_of_each_deadline_is_left_after_the_hold() {
    let (mut world, order) = shipped();
    let second = shipment(2);
    world
        .after(DAY_MS)
        .given(SELLER, ship_units(order, &[(TEA, 1)]))
        .given(PROVIDER, confirm_shipment(order, 2));
    let before = world.market.orders.get(order).unwrap().deadlines(order);
    // One day of 14 to ship and to arrive, nothing of the 3 to inspect has passed.
    world.after(DAY_MS).given(OPERATOR, hold(order, REVIEW)).after(100 * DAY_MS);
    world.given(OPERATOR, unhold(order)).when(OTHER_OPERATOR, unhold(order));
    let due = |days| START.plus_ms(days * DAY_MS);
    let deadlines = vec![
        DeadlineStamp { due: due(114), waiting: Waiting::ShipBy { order } },
        DeadlineStamp { due: due(114), waiting: Waiting::DeliveryDue { order, shipment: shipment(1) } },
        DeadlineStamp { due: due(104), waiting: Waiting::InspectionEnds { order, shipment: second } },
    ];
    let shifted: Vec<_> =
        before.iter().map(|one| DeadlineStamp { due: one.due.plus_ms(100 * DAY_MS), ..*one }).collect();
    assert_eq!(deadlines, shifted);
    let (agreed_by, requested_by) = (OTHER_OPERATOR.account(), OPERATOR.account());
    let unheld = Unheld { agreed_by, deadlines, order, requested_by };
    world.then_events([Event::from(unheld)]).when_deadline().then_types(["escrow.released.v2"]);
    assert_eq!(world.now, due(104));
    world.when_deadline().then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    assert_eq!(world.now, due(114));
}

#[test]
fn a_hold_stops_the_time_of_frozen_money_too() {
    let (mut world, order) = shipped();
    world
        .given(BUYER, freeze_money(order, 1, None, FreezeReason::NotReceived))
        .given(OPERATOR, hold(order, REVIEW))
        .after(100 * DAY_MS)
        .given(OPERATOR, unhold(order))
        .given(OTHER_OPERATOR, unhold(order));
    let frozen = world.market.orders.get(order).unwrap().shipments[0].frozen().copied().unwrap();
    assert_eq!(frozen.due, START.plus_ms(160 * DAY_MS));
    // The carrier's time stood still from the freeze on, through the hold.
    world.after(DAY_MS).given(BUYER, unfreeze_money(order, 1));
    let waits = world.market.orders.get(order).unwrap().deadlines(order);
    let due = START.plus_ms((14 + 101) * DAY_MS);
    assert_eq!(
        waits[1],
        DeadlineStamp { due, waiting: Waiting::DeliveryDue { order, shipment: shipment(1) } }
    );
}

#[test]
fn only_an_open_order_is_held_and_only_by_operators() {
    let (mut world, order) = shipped();
    let unknown = OrderId::derive(BUYER.account(), cid(START, 0), 0);
    let denied =
        commands::Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    for actor in [BUYER, SELLER, PROVIDER] {
        world.when(actor, hold(order, REVIEW)).then_refused(denied.clone());
        world.when(actor, unhold(order)).then_refused(denied.clone());
    }
    world
        .when(OPERATOR, unhold(order))
        .then_unchanged()
        .when(OPERATOR, hold(unknown, REVIEW))
        .then_rejected([Rejection::OrderUnknown { order: unknown }])
        .given(BUYER, cancel_units(order, &[(TEA, 2)]))
        .given(BUYER, confirm(order));
    let state = OrderState::Completed;
    for command in [hold(order, REVIEW), unhold(order)] {
        world.when(OPERATOR, command).then_rejected([Rejection::OrderState { order, state }]);
    }
}

#[test]
fn a_seller_has_the_time_to_accept_and_to_ship_that_was_left_to_him() {
    let mut world = World::accepting();
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world
        .after(DAY_MS)
        .given(OPERATOR, hold(order, REVIEW))
        .when(SELLER, accept(order))
        .then_rejected([on_hold(order)])
        .after(5 * DAY_MS)
        .given(OPERATOR, unhold(order))
        .given(OTHER_OPERATOR, unhold(order));
    let due = START.plus_ms(7 * DAY_MS);
    let waits = DeadlineStamp { due, waiting: Waiting::AcceptBy { order } };
    assert_eq!(world.market.next_deadline(), Some(waits));
    assert_eq!(world.market.orders.get(order).unwrap().ship_by, due.plus_ms(14 * DAY_MS));
    world.when_deadline().then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
}

#[test]
fn what_waits_for_its_payment_is_not_put_on_hold() {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10);
    let order = world.placed(BUYER, place_by_card(&[(TEA, 1)], usd(500), None));
    let payment = world.payment();
    world
        .when(OPERATOR, hold(order, REVIEW))
        .then_rejected([Rejection::OrderState { order, state: OrderState::AwaitingPayment }])
        .given(PROVIDER, report(payment, took("r", usd(500))))
        .given(OPERATOR, hold(order, REVIEW));
}
