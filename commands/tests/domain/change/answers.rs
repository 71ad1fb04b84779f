//! How a change ends that does not apply, and what becomes of one while its order goes on.

use commands::order::CHANGES_MAX;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::change::{ChangeDeclined, ChangeLapsed, ChangeWithdrawn, LapseReason};
use events::order::hold::HoldReason;

use super::*;

/// An order of three teas and a pot, of which the buyer wants another tea.
fn proposed() -> (World, OrderId, events::ids::ChangeId) {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3), (POT, 1)], usd(4000)));
    world.given(BUYER, propose(order, &[(TEA, 4)], Some(usd(500))));
    let change = world.change();
    (world, order, change)
}

fn gone(order: OrderId, change: events::ids::ChangeId) -> Rejection {
    refused(order, ChangeProblem::Unknown { change })
}

#[test]
fn the_other_side_declines_a_change_and_its_own_withdraws_it() {
    let (mut world, order, change) = proposed();
    let by = |by| refused(order, ChangeProblem::ProposedBy { by });
    let reason = Some("packed already".to_owned());
    world
        .when(BUYER, decline_change(order, change))
        .then_rejected([by(Role::Buyer)])
        .when(BUYER, accept_change(order, change, Some(usd(500))))
        .then_rejected([by(Role::Buyer)])
        .when(SELLER, withdraw_change(order, change))
        .then_rejected([by(Role::Buyer)])
        .when(SELLER, decline_change(order, change))
        .then_events([ChangeDeclined { by: Role::Seller, change, order, reason }.into()])
        .when_again()
        .then_repeat()
        .when(SELLER, accept_change(order, change, None))
        .then_rejected([gone(order, change)])
        .given(BUYER, propose(order, &[(TEA, 4)], Some(usd(500))));
    let again = world.change();
    world
        .when(BUYER, withdraw_change(order, again))
        .then_events([ChangeWithdrawn { by: Role::Buyer, change: again, order }.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, withdraw_change(order, again))
        .then_rejected([gone(order, again)]);
    then_holds(&world, [(wallet(), 6000), (escrow(order), 4000)]);
}

#[test]
fn a_change_that_nobody_answers_lapses_and_the_order_waits_as_before() {
    let (mut world, order, change) = proposed();
    let ship_by = world.market.orders.get(order).unwrap().ship_by;
    world
        .when_deadline()
        .then_events([ChangeLapsed { change, order, why: LapseReason::Deadline }.into()])
        .when(SELLER, accept_change(order, change, None))
        .then_rejected([gone(order, change)]);
    let next = DeadlineStamp { due: ship_by, waiting: Waiting::ShipBy { order } };
    assert_eq!(world.market.next_deadline(), Some(next));
}

#[test]
fn a_market_says_how_long_a_change_waits() {
    let deadlines = events::market::Deadlines::default().with_change_ms(3 * SECOND_MS).unwrap();
    let mut world = stocked(World::on(Terms { deadlines, ..Terms::default() }));
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world.given(SELLER, propose(order, &[(TEA, 2)], None));
    let due = world.now.plus_ms(3 * SECOND_MS);
    let stamp = DeadlineStamp { due, waiting: Waiting::ChangeExpires { order } };
    assert_eq!(world.market.next_deadline(), Some(stamp));
}

#[test]
fn whoever_moves_units_that_a_change_is_about_ends_it_in_the_same_commit() {
    let lapsed =
        |order, change| -> Event { ChangeLapsed { change, order, why: LapseReason::Overtaken }.into() };
    for (actor, act) in [
        (SELLER, (|order| ship_units(order, &[(TEA, 1)])) as fn(OrderId) -> commands::Command),
        (SELLER, ship),
        (BUYER, |order| cancel_units(order, &[(TEA, 1)])),
        (OPERATOR, cancel),
    ] {
        let (mut world, order, change) = proposed();
        world.when(actor, act(order));
        assert_eq!(world.events()[0], lapsed(order, change), "{:?}", world.events());
        assert!(world.events().len() > 1);
        assert!(world.market.orders.get(order).is_none_or(|open| open.open_change().is_none()));
    }
    // Other units go without ending it.
    let (mut world, order, change) = proposed();
    world
        .when(SELLER, ship_units(order, &[(POT, 1)]))
        .then_types(["order.shipped.v2"])
        .when(SELLER, accept_change(order, change, None))
        .then_types(["order.changed.v1", "escrow.held.v1"]);
}

#[test]
fn the_end_of_the_time_to_ship_ends_a_change_too() {
    let deadlines = events::market::Deadlines::default().with_change_ms(30 * DAY_MS).unwrap();
    let mut world = stocked(World::on(Terms { deadlines, ..Terms::default() }));
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world.given(SELLER, propose(order, &[(POT, 1)], None));
    world.when_deadline().then_types(["order.change_lapsed.v1", "order.cancelled.v2", "escrow.refunded.v2"]);
    assert_eq!(world.market.next_deadline(), None);
}

#[test]
fn a_change_stands_still_while_its_order_is_on_hold() {
    let (mut world, order, change) = proposed();
    world.after(DAY_MS).given(OPERATOR, hold(order, HoldReason::RiskReview));
    let on_hold = || Rejection::OrderOnHold { order, reason: HoldReason::RiskReview };
    assert_eq!(world.market.next_deadline(), None);
    world
        .after(5 * DAY_MS)
        .when(SELLER, accept_change(order, change, None))
        .then_rejected([on_hold()])
        .when(BUYER, withdraw_change(order, change))
        .then_rejected([on_hold()])
        .given(OPERATOR, unhold(order))
        .given(OTHER_OPERATOR, unhold(order));
    let due = world.now.plus_ms(DAY_MS);
    let stamp = DeadlineStamp { due, waiting: Waiting::ChangeExpires { order } };
    assert_eq!(world.market.next_deadline(), Some(stamp));
    world.when(SELLER, accept_change(order, change, None)).then_types(["order.changed.v1", "escrow.held.v1"]);
}

#[test]
fn only_so_many_changes_are_proposed_of_one_order() {
    let (mut world, order) = ordered();
    for _ in 0..CHANGES_MAX {
        world.given(BUYER, propose(order, &[(TEA, 2)], None));
        let change = world.change();
        world.given(BUYER, withdraw_change(order, change));
    }
    world
        .when(SELLER, propose(order, &[(TEA, 2)], None))
        .then_rejected([refused(order, ChangeProblem::TooMany { max: CHANGES_MAX })]);
}
