//! Money that waits for milestones to be signed, or for its order to be cleared of risk.

use crate::support::*;
use commands::Refusal;
use commands::command::ClearRisk;
use events::escrow::rule::{Condition, ReleaseRule, ReleaseTerms};
use events::escrow::{FreezeReason, MilestoneSigned, ReleaseScheduled};
use events::ids::OrderId;
use events::market::EscrowTerms;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::hold::HoldReason;
use events::order::{EscrowReleased, ReleaseCondition, RiskCleared, ShipmentNumber};
use events::payment::CaptureTime;
use events::rejection::OrderState;
use events::{Event, Rejection, Timestamp};

const FIRST: ShipmentNumber = ShipmentNumber::FIRST;

fn signs(number: u8) -> Condition {
    Condition::MilestoneSigned { milestone: milestone(number) }
}

fn signed_word(number: u8) -> ReleaseCondition {
    ReleaseCondition::MilestoneSigned { milestone: milestone(number) }
}

/// Two milestones, or nobody has said anything for sixty days.
fn stepwise() -> Condition {
    let silent = Condition::AllOf(vec![Condition::InspectionElapsed, Condition::MinAge { ms: 60 * DAY_MS }]);
    Condition::AnyOf(vec![Condition::AllOf(vec![signs(1), signs(2)]), silent])
}

/// The buyer's word or the end of the inspection, and an operator's look at the order or sixty days.
fn careful() -> Condition {
    let usual = Condition::AnyOf(vec![Condition::BuyerConfirmed, Condition::InspectionElapsed]);
    let looked = Condition::AnyOf(vec![Condition::RiskClear, Condition::MinAge { ms: 60 * DAY_MS }]);
    Condition::AllOf(vec![usual, looked])
}

/// A market of this rule, with tea and a buyer who can pay for it.
fn shop(condition: Condition) -> World {
    let release = ReleaseTerms::new(0, ReleaseRule::new(condition).unwrap()).unwrap();
    let terms = EscrowTerms::default().releasing(release);
    let mut world = World::on(Terms { escrow: Some(terms), ..Terms::default() });
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    world
}

/// Teas in such a market, which wait to be shipped.
fn ordered(condition: Condition, teas: u32) -> (World, OrderId) {
    let mut world = shop(condition);
    let order = world.placed(BUYER, place(&[(TEA, teas)], usd(500 * i64::from(teas))));
    (world, order)
}

fn signed(order: OrderId, number: u8) -> Event {
    MilestoneSigned { milestone: milestone(number), order, shipment: FIRST }.into()
}

fn cleared(order: OrderId) -> Event {
    RiskCleared { by: OPERATOR.account(), note: Some("known for years".to_owned()), order }.into()
}

fn scheduled(condition: ReleaseCondition, due: Timestamp, order: OrderId, n: u32) -> Event {
    ReleaseScheduled { condition, due, order, shipment: shipment(n) }.into()
}

fn release_due(order: OrderId, due: Timestamp, n: u32) -> DeadlineStamp {
    DeadlineStamp { due, waiting: Waiting::ReleaseDue { order, shipment: shipment(n) } }
}

fn next(world: &World) -> DeadlineStamp {
    world.market.next_deadline().unwrap()
}

/// Gives what was released by the last decision, each shipment with what set it free.
fn released(world: &World) -> Vec<(u32, Vec<ReleaseCondition>)> {
    let released = world.events().iter().filter_map(|event| match event {
        Event::EscrowReleased(EscrowReleased { condition, shipment, with, .. }) => {
            let met = std::iter::once(*condition).chain(with.iter().copied()).collect();
            Some((shipment.get(), met))
        }
        _ => None,
    });
    released.collect()
}

#[test]
fn the_last_milestone_that_is_asked_for_sets_the_money_free() {
    let (mut world, order) = ordered(stepwise(), 1);
    let unknown = Rejection::ShipmentUnknown { order, shipment: FIRST, shipments: 0 };
    world
        .when(BUYER, sign_milestone(order, 1, 1))
        .then_rejected([unknown])
        .given(SELLER, ship(order))
        .given(PROVIDER, confirm(order));
    let due = START.plus_ms(60 * DAY_MS);
    assert_eq!(next(&world), release_due(order, due, 1));
    world
        .after(DAY_MS)
        .when(BUYER, sign_milestone(order, 1, 2))
        .then_events([signed(order, 2), scheduled(signed_word(2), due, order, 1)])
        .when_again()
        .then_repeat()
        .when(BUYER, sign_milestone(order, 1, 2))
        .then_unchanged();
    assert_eq!(next(&world), release_due(order, due, 1), "one of two is not enough");
    world
        .when(BUYER, sign_milestone(order, 1, 1))
        .then_types(["escrow.milestone_signed.v1", "escrow.released.v2"])
        .when_again()
        .then_repeat();
    let state = OrderState::Completed;
    world.when(BUYER, sign_milestone(order, 1, 1)).then_rejected([Rejection::OrderState { order, state }]);
    assert_eq!(world.market.orders.open_count(), 0);
    assert_eq!(world.market.next_deadline(), None);
}

#[test]
fn what_set_the_money_free_is_named_in_the_order_of_the_rule() {
    let (mut world, order) = ordered(stepwise(), 1);
    world
        .given(SELLER, ship(order))
        .given(PROVIDER, confirm(order))
        .given(BUYER, sign_milestone(order, 1, 2));
    world.given(BUYER, sign_milestone(order, 1, 1));
    assert_eq!(released(&world), [(1, vec![signed_word(1), signed_word(2)])]);
    // Nobody says anything.
    let (mut world, order) = ordered(stepwise(), 1);
    world
        .given(SELLER, ship(order))
        .given(BUYER, sign_milestone(order, 1, 2))
        .when_deadline()
        .when_deadline();
    assert_eq!(released(&world), [(1, vec![ReleaseCondition::InspectionElapsed, ReleaseCondition::MinAge])]);
    assert_eq!(world.now, START.plus_ms(60 * DAY_MS));
}

#[test]
fn milestones_may_be_signed_before_the_delivery_and_count_at_it() {
    let (mut world, order) = ordered(stepwise(), 1);
    world.given(SELLER, ship(order));
    let waits = next(&world);
    world
        .when(BUYER, sign_milestone(order, 1, 1))
        .then_events([signed(order, 1)])
        .when(BUYER, sign_milestone(order, 1, 1))
        .then_unchanged()
        .when(BUYER, sign_milestone(order, 1, 2))
        .then_events([signed(order, 2)]);
    assert_eq!(next(&world), waits, "it has to arrive all the same");
    world.after(DAY_MS).when(PROVIDER, confirm(order));
    match world.events() {
        [Event::OrderDelivered(delivered)] => assert_eq!(delivered.release_due, Some(world.now)),
        other => panic!("{other:?}"),
    }
    world.when_deadline();
    assert_eq!(released(&world), [(1, vec![signed_word(1), signed_word(2)])]);

    // The buyer himself says that it is there: all in one commit.
    let (mut world, order) = ordered(stepwise(), 1);
    world
        .given(SELLER, ship(order))
        .given(BUYER, sign_milestone(order, 1, 1))
        .given(BUYER, sign_milestone(order, 1, 2))
        .when(BUYER, confirm(order))
        .then_types(["order.delivered.v2", "escrow.released.v2"]);
    assert_eq!(released(&world), [(1, vec![signed_word(1), signed_word(2)])]);
}

#[test]
fn only_the_buyer_signs_and_only_what_the_rule_asks_for() {
    let (mut world, order) = ordered(stepwise(), 1);
    world.given(SELLER, ship(order));
    let not_asked = Rejection::ReleaseNotAsked { order };
    let unknown = OrderId::derive(BUYER.account(), cid(START, 0), 0);
    world
        .when(BUYER, sign_milestone(order, 1, 3))
        .then_rejected([not_asked.clone()])
        .when(BUYER, sign_milestone(order, 2, 1))
        .then_rejected([Rejection::ShipmentUnknown { order, shipment: shipment(2), shipments: 1 }])
        .when(BUYER, sign_milestone(unknown, 1, 1))
        .then_rejected([Rejection::OrderUnknown { order: unknown }])
        .when(OTHER_BUYER, sign_milestone(order, 1, 1))
        .then_rejected([Rejection::NotYourOrder { order }])
        .when(OPERATOR, release(order, 1))
        .then_rejected([not_asked.clone()])
        .when(OPERATOR, clear_risk(order))
        .then_rejected([not_asked]);
    let denied = Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    for actor in [SELLER, PROVIDER, OPERATOR] {
        world.when(actor, sign_milestone(order, 1, 1)).then_refused(denied.clone());
    }
    for actor in [SELLER, PROVIDER, BUYER] {
        world.when(actor, clear_risk(order)).then_refused(denied.clone());
    }
    world
        .given(OPERATOR, hold(order, HoldReason::Operator))
        .when(BUYER, sign_milestone(order, 1, 1))
        .then_rejected([Rejection::OrderOnHold { order, reason: HoldReason::Operator }])
        .given(OPERATOR, unhold(order))
        .given(OTHER_OPERATOR, unhold(order))
        .given(BUYER, freeze_money(order, 1, None, FreezeReason::NotReceived))
        .when(BUYER, sign_milestone(order, 1, 1))
        .then_rejected([Rejection::ShipmentFrozen { order, shipment: FIRST }])
        .given(BUYER, unfreeze_money(order, 1))
        .given(BUYER, sign_milestone(order, 1, 1));
    // An order of the usual rule asks for no milestone, and a shipment that is paid for none either.
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(1000)));
    world
        .given(SELLER, ship(order))
        .when(BUYER, sign_milestone(order, 1, 1))
        .then_rejected([Rejection::ReleaseNotAsked { order }]);
    let (mut world, order) = ordered(stepwise(), 2);
    world
        .given(SELLER, ship_units(order, &[(TEA, 1)]))
        .given(BUYER, sign_milestone(order, 1, 1))
        .given(BUYER, sign_milestone(order, 1, 2))
        .given(BUYER, confirm(order))
        .when(BUYER, sign_milestone(order, 1, 2))
        .then_unchanged();
}

#[test]
fn risk_is_cleared_at_any_time_and_once() {
    // Before anything is shipped: the usual words are enough from then on.
    let (mut world, order) = ordered(careful(), 1);
    world
        .when(OPERATOR, clear_risk(order))
        .then_events([cleared(order)])
        .when_again()
        .then_repeat()
        .when(OTHER_OPERATOR, ClearRisk { note: None, order })
        .then_unchanged()
        .given(SELLER, ship(order))
        .given(BUYER, confirm(order));
    assert_eq!(released(&world), [(1, vec![ReleaseCondition::BuyerConfirmed, ReleaseCondition::RiskClear])]);
    let state = OrderState::Completed;
    world.when(OPERATOR, clear_risk(order)).then_rejected([Rejection::OrderState { order, state }]);

    // After the buyer's word: at once.
    let (mut world, order) = ordered(careful(), 1);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    assert_eq!(next(&world), release_due(order, START.plus_ms(60 * DAY_MS), 1));
    world.when(OPERATOR, clear_risk(order)).then_types(["order.risk_cleared.v1", "escrow.released.v2"]);
    assert_eq!(released(&world), [(1, vec![ReleaseCondition::BuyerConfirmed, ReleaseCondition::RiskClear])]);

    // Nobody clears it.
    let (mut world, order) = ordered(careful(), 1);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order)).when_deadline();
    assert_eq!(released(&world), [(1, vec![ReleaseCondition::BuyerConfirmed, ReleaseCondition::MinAge])]);
    assert_eq!(world.now, START.plus_ms(60 * DAY_MS));
    assert_eq!(world.market.orders.get(order), None);

    let (mut world, order) = ordered(careful(), 1);
    world
        .given(OPERATOR, hold(order, HoldReason::RiskReview))
        .when(OPERATOR, clear_risk(order))
        .then_rejected([Rejection::OrderOnHold { order, reason: HoldReason::RiskReview }]);
}

#[test]
fn an_order_that_a_card_is_to_pay_may_be_cleared_before_it_is_charged() {
    let mut world = shop(careful());
    let order = world.placed(BUYER, place_captured(CaptureTime::OnShip, &[(TEA, 1)], usd(500), None));
    let payment = world.payment();
    let until = world.now.plus_ms(7 * DAY_MS);
    world
        .given(OPERATOR, clear_risk(order))
        .given(PROVIDER, report(payment, held(usd(500), until)))
        .when(OPERATOR, clear_risk(order))
        .then_unchanged()
        .given(SELLER, ready(order))
        .given(PROVIDER, report(payment, took("r", usd(500))))
        .given(SELLER, ship(order))
        .given(BUYER, confirm(order));
    assert_eq!(released(&world), [(1, vec![ReleaseCondition::BuyerConfirmed, ReleaseCondition::RiskClear])]);
}

#[test]
fn clearing_an_order_reaches_each_of_its_shipments() {
    let (mut world, order) = ordered(careful(), 5);
    for _ in 1..=4 {
        world.given(SELLER, ship_units(order, &[(TEA, 1)]));
    }
    for n in 1..=3 {
        world.given(PROVIDER, confirm_shipment(order, n));
    }
    // The first and the second are confirmed, money of the second and the third is frozen, the fourth is on its way.
    world.after(DAY_MS).given(BUYER, confirm_shipment(order, 1)).given(BUYER, confirm_shipment(order, 2));
    world
        .given(BUYER, freeze_money(order, 2, None, FreezeReason::NotAsDescribed))
        .given(BUYER, freeze_money(order, 3, None, FreezeReason::NotAsDescribed));
    let (frozen_at, ends) = (world.now, START.plus_ms(3 * DAY_MS));
    let word = ReleaseCondition::RiskClear;
    world.after(5 * DAY_MS).when(OPERATOR, clear_risk(order)).then_types([
        "order.risk_cleared.v1",
        "escrow.released.v2",
        "escrow.release_scheduled.v1",
        "escrow.release_scheduled.v1",
    ]);
    assert_eq!(released(&world), [(1, vec![ReleaseCondition::BuyerConfirmed, word])]);
    let expected = [scheduled(word, frozen_at, order, 2), scheduled(word, ends, order, 3)];
    assert_eq!(world.events()[2..], expected, "the time of what is frozen stands still");
    world.market.check_conserved(&[]).unwrap();
    // What is free when it is given back is paid at once; the other one has the time left that it had.
    world.given(BUYER, unfreeze_money(order, 2));
    assert_eq!(next(&world), release_due(order, world.now, 2));
    world.when_deadline();
    assert_eq!(released(&world), [(2, vec![ReleaseCondition::BuyerConfirmed, word])]);
    world.given(BUYER, unfreeze_money(order, 3));
    assert_eq!(next(&world), release_due(order, world.now.plus_ms(2 * DAY_MS), 3));
    world.when_deadline();
    assert_eq!(released(&world), [(3, vec![ReleaseCondition::InspectionElapsed, word])]);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    let met = vec![ReleaseCondition::BuyerConfirmed, word];
    assert_eq!(released(&world), [(4, met.clone()), (5, met)]);
    assert_eq!(world.market.orders.open_count(), 0);
}
