//! Money that is released by another rule than the usual one, or with a delay.

use crate::support::*;
use commands::Refusal;
use commands::command::UpdateListing;
use events::escrow::rule::{Condition, ReleaseRule, ReleaseTerms};
use events::escrow::{FreezeReason, ReleaseScheduled};
use events::ids::OrderId;
use events::market::EscrowTerms;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::hold::HoldReason;
use events::order::{EscrowReleased, ReleaseCondition, ShipmentNumber};
use events::rejection::OrderState;
use events::{Event, Rejection, Timestamp};

const FIRST: ShipmentNumber = ShipmentNumber::FIRST;
const HOUR_MS: i64 = 3_600_000;

/// A unit that travels since the beginning, in a market of these terms.
fn shipped(hold_ms: i64, condition: Condition) -> (World, OrderId) {
    let release = ReleaseTerms::new(hold_ms, ReleaseRule::new(condition).unwrap()).unwrap();
    let terms = EscrowTerms::default().releasing(release);
    let mut world = World::on(Terms { escrow: Some(terms), ..Terms::default() });
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world.given(SELLER, ship(order));
    (world, order)
}

fn usual() -> Condition {
    Condition::AnyOf(vec![Condition::BuyerConfirmed, Condition::InspectionElapsed])
}

/// The usual rule, or an operator's word, but not in the first ten days.
fn late() -> Condition {
    let any = vec![Condition::BuyerConfirmed, Condition::OperatorRelease, Condition::InspectionElapsed];
    Condition::AllOf(vec![Condition::AnyOf(any), Condition::MinAge { ms: 10 * DAY_MS }])
}

fn scheduled(condition: ReleaseCondition, due: Timestamp, order: OrderId) -> Event {
    ReleaseScheduled { condition, due, order, shipment: FIRST }.into()
}

fn next(world: &World) -> Option<DeadlineStamp> {
    world.market.next_deadline()
}

fn release_due(order: OrderId, due: Timestamp) -> Option<DeadlineStamp> {
    Some(DeadlineStamp { due, waiting: Waiting::ReleaseDue { order, shipment: FIRST } })
}

/// Expects a release, and gives what set it free.
#[track_caller]
fn then_released(world: &World) -> Vec<ReleaseCondition> {
    match world.events() {
        [.., Event::EscrowReleased(EscrowReleased { condition, with, .. })] => {
            std::iter::once(*condition).chain(with.iter().copied()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_escrow_says_by_what_rule_it_is_released_unless_it_is_the_usual_one() {
    let (world, order) = shipped(0, late());
    let held = |world: &World| {
        let events = world.log.iter().flat_map(events::Commit::events);
        let mut held = events.filter_map(|recorded| match &recorded.event {
            Event::EscrowHeld(held) => Some(held.clone()),
            _ => None,
        });
        held.next_back().unwrap().release
    };
    let rule = held(&world).unwrap().rule().clone();
    assert_eq!(rule, ReleaseRule::new(late()).unwrap());
    assert!(world.market.orders.get(order).unwrap().release.is_some());
    let (world, order) = shipped(0, usual());
    assert_eq!(held(&world), None);
    assert!(world.market.orders.get(order).unwrap().release.is_none());
}

#[test]
fn the_carriers_word_sets_money_free_some_hours_later() {
    let swift = Condition::AnyOf(vec![
        Condition::CarrierDelivered { after_ms: 4 * HOUR_MS },
        Condition::InspectionElapsed,
    ]);
    let (mut world, order) = shipped(0, swift.clone());
    let due = world.now.plus_ms(4 * HOUR_MS);
    world.when(PROVIDER, confirm(order));
    match world.events() {
        [Event::OrderDelivered(delivered)] => assert_eq!(delivered.release_due, Some(due)),
        other => panic!("{other:?}"),
    }
    assert_eq!(next(&world), release_due(order, due));
    world.when_deadline();
    assert_eq!((then_released(&world), world.now), (vec![ReleaseCondition::CarrierDelivered], due));
    assert_eq!(world.market.orders.open_count(), 0);
    // Where nobody says so it is the inspection that counts.
    let (mut world, _) = shipped(0, swift);
    world.when_deadline().then_types(["order.delivered.v2"]).when_deadline();
    assert_eq!(then_released(&world), [ReleaseCondition::InspectionElapsed]);
    assert_eq!(world.now, START.plus_ms(17 * DAY_MS));
}

#[test]
fn a_word_that_is_not_enough_is_kept_until_the_rest_holds() {
    let (mut world, order) = shipped(0, late());
    let tenth = START.plus_ms(10 * DAY_MS);
    world
        .when(OPERATOR, release(order, 1))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Shipped }])
        .when(BUYER, confirm(order))
        .then_types(["order.delivered.v2", "escrow.release_scheduled.v1"]);
    assert_eq!(world.events()[1], scheduled(ReleaseCondition::BuyerConfirmed, tenth, order));
    world.when_again().then_repeat().when(BUYER, confirm(order)).then_unchanged();
    assert_eq!(next(&world), release_due(order, tenth));
    world.when_deadline();
    assert_eq!(then_released(&world), [ReleaseCondition::BuyerConfirmed, ReleaseCondition::MinAge]);
    assert_eq!(world.now, tenth);
}

#[test]
fn an_operator_gives_his_word_where_the_rule_asks_for_it() {
    let (mut world, order) = shipped(0, late());
    let tenth = START.plus_ms(10 * DAY_MS);
    world
        .after(8 * DAY_MS)
        .given(PROVIDER, confirm(order))
        .when(OPERATOR, release(order, 1))
        .then_events([scheduled(ReleaseCondition::OperatorRelease, tenth, order)])
        .when_again()
        .then_repeat()
        .when(OPERATOR, release(order, 1))
        .then_unchanged()
        .after(3 * DAY_MS)
        .when(BUYER, confirm(order));
    // The deadline was missed: the buyer's word is enough on its own, and stands first.
    assert_eq!(then_released(&world), [ReleaseCondition::BuyerConfirmed, ReleaseCondition::MinAge]);
    let state = OrderState::Completed;
    world.when(OPERATOR, release(order, 1)).then_rejected([Rejection::OrderState { order, state }]);

    let (mut world, order) = shipped(0, late());
    world.after(11 * DAY_MS).given(PROVIDER, confirm(order)).when(OPERATOR, release(order, 1));
    assert_eq!(then_released(&world), [ReleaseCondition::OperatorRelease, ReleaseCondition::MinAge]);

    let (mut world, order) = shipped(DAY_MS, usual());
    world
        .given(PROVIDER, confirm(order))
        .when(OPERATOR, release(order, 1))
        .then_rejected([Rejection::ReleaseNotAsked { order }])
        .when(OPERATOR, release(order, 2))
        .then_rejected([Rejection::ShipmentUnknown { order, shipment: shipment(2), shipments: 1 }]);
    let denied = Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    for actor in [BUYER, SELLER, PROVIDER] {
        world.when(actor, release(order, 1)).then_refused(denied.clone());
    }
}

#[test]
fn money_that_is_free_is_still_kept_for_the_markets_delay() {
    let (mut world, order) = shipped(2 * DAY_MS, usual());
    let due = world.now.plus_ms(2 * DAY_MS);
    world.when(BUYER, confirm(order)).then_types(["order.delivered.v2", "escrow.release_scheduled.v1"]);
    assert_eq!(world.events()[1], scheduled(ReleaseCondition::BuyerConfirmed, due, order));
    world.when_deadline();
    assert_eq!((then_released(&world), world.now), (vec![ReleaseCondition::BuyerConfirmed], due));
    // Nobody says anything: 14 days of transit, 3 of inspection, 2 of delay.
    let (mut world, _) = shipped(2 * DAY_MS, usual());
    world.when_deadline().when_deadline();
    assert_eq!(then_released(&world), [ReleaseCondition::InspectionElapsed]);
    assert_eq!(world.now, START.plus_ms(19 * DAY_MS));
}

#[test]
fn a_freeze_and_a_hold_stop_the_time_until_money_is_paid() {
    let (mut world, order) = shipped(2 * DAY_MS, late());
    world.given(PROVIDER, confirm(order)).after(DAY_MS);
    // Ten days old, and two of delay: eleven are left.
    world
        .given(BUYER, freeze_money(order, 1, Some(usd(100)), FreezeReason::NotAsDescribed))
        .when(OPERATOR, release(order, 1))
        .then_rejected([Rejection::ShipmentFrozen { order, shipment: FIRST }])
        .after(5 * DAY_MS)
        .given(OPERATOR, hold(order, HoldReason::Compliance))
        .when(OPERATOR, release(order, 1))
        .then_rejected([Rejection::OrderOnHold { order, reason: HoldReason::Compliance }])
        .after(5 * DAY_MS)
        .given(OPERATOR, unhold(order))
        .given(OTHER_OPERATOR, unhold(order))
        .given(OPERATOR, settle(order, 1, usd(0), usd(100)));
    let due = world.now.plus_ms(11 * DAY_MS);
    assert_eq!(next(&world), release_due(order, due));
    world.given(OPERATOR, hold(order, HoldReason::Compliance)).after(DAY_MS);
    world.given(OPERATOR, unhold(order)).given(OTHER_OPERATOR, unhold(order)).when_deadline();
    assert_eq!(then_released(&world), [ReleaseCondition::InspectionElapsed, ReleaseCondition::MinAge]);
    assert_eq!(world.now, due.plus_ms(DAY_MS));
    assert_eq!(world.market.orders.open_count(), 0);
}

fn age(days: i64) -> Condition {
    Condition::MinAge { ms: days * DAY_MS }
}

/// What escrows so far are released by; none: by the usual rule.
fn rules(world: &World) -> Vec<Option<Condition>> {
    let events = world.log.iter().flat_map(events::Commit::events);
    let held = events.filter_map(|recorded| match &recorded.event {
        Event::EscrowHeld(held) => Some(held.release.as_ref()),
        _ => None,
    });
    let rule =
        |terms: &ReleaseTerms| serde_json::from_value(serde_json::to_value(terms.rule()).unwrap()).unwrap();
    held.map(|terms| terms.map(rule)).collect()
}

fn all(parts: &[Condition]) -> Option<Condition> {
    Some(Condition::AllOf(parts.to_vec()))
}

#[test]
fn a_listings_rule_comes_on_top_of_the_markets() {
    let mut world = World::new();
    world
        .given(SELLER, create_with_rule(TEA, usd(500), &age(10)))
        .given(SELLER, receive(TEA, 5))
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    assert_eq!(rules(&world), [all(&[usual(), age(10)])]);
    let due = START.plus_ms(10 * DAY_MS);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    assert_eq!(next(&world), release_due(order, due), "the buyer's word is not enough");
    world.when_deadline();
    assert_eq!(then_released(&world), [ReleaseCondition::BuyerConfirmed, ReleaseCondition::MinAge]);
    assert_eq!(world.now, due);
}

#[test]
fn an_order_of_several_listings_asks_for_all_that_any_of_them_does() {
    let word = Condition::AnyOf(vec![Condition::OperatorRelease, age(20)]);
    let mut world = World::new();
    world
        .given(SELLER, create_with_rule(TEA, usd(500), &age(10)))
        .given(SELLER, create_with_rule(POT, usd(500), &word))
        .given(SELLER, create_with_rule(CUP, usd(500), &age(10)))
        .given_listing(SELLER, 4, usd(500), 5)
        // One that asks for what the market asks for asks for nothing.
        .given(OTHER_SELLER, create_with_rule(5, usd(500), &usual()))
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    for (seller, thing) in [(SELLER, TEA), (SELLER, POT), (SELLER, CUP), (OTHER_SELLER, 5)] {
        world.given(seller, receive(thing, 5));
    }
    world.given(BUYER, place(&[(4, 1), (TEA, 1), (POT, 1), (CUP, 1), (5, 1)], usd(2500)));
    assert_eq!(rules(&world), [all(&[usual(), age(10), word]), None]);
    world.given(BUYER, place(&[(4, 1)], usd(500)));
    assert_eq!(rules(&world)[2], None);
}

#[test]
fn what_a_card_pays_is_released_by_the_rule_that_stood_when_it_was_ordered() {
    let mut world = World::new();
    world.given(SELLER, create_with_rule(TEA, usd(500), &age(10))).given(SELLER, receive(TEA, 5));
    world.given(BUYER, place_by_card(&[(TEA, 1)], usd(500), None));
    let payment = world.payment();
    let release = Some(ReleaseRule::new(age(90)).unwrap());
    world
        .given(SELLER, UpdateListing { release, ..update(TEA) }.into())
        .given(PROVIDER, report(payment, took("r", usd(500))));
    assert_eq!(rules(&world), [all(&[usual(), age(10)])]);
}

#[test]
fn a_listings_rule_is_changed_and_taken_back() {
    let rule = |condition| Some(ReleaseRule::new(condition).unwrap());
    let wish = |condition| UpdateListing { release: rule(condition), ..update(TEA) };
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 5)
        .given(PROVIDER, fund(BUYER, usd(10_000)))
        .given(SELLER, wish(age(3)).into())
        .when(SELLER, wish(age(3)))
        .then_unchanged()
        .given(BUYER, place(&[(TEA, 1)], usd(500)))
        .given(SELLER, wish(usual()).into())
        .given(BUYER, place(&[(TEA, 1)], usd(500)));
    assert_eq!(rules(&world), [all(&[usual(), age(3)]), None]);
}

#[test]
fn rules_that_are_too_large_together_are_refused() {
    // With the market's own, which has three, and the list of all, one may have twelve.
    let wide = |from: i64, many: i64| Condition::AllOf((from..from + many).map(age).collect());
    let too_large = Rejection::ReleaseRuleTooLarge { listing: listing(POT) };
    let mut world = World::new();
    world
        .given(PROVIDER, fund(BUYER, usd(10_000)))
        .given(SELLER, create_with_rule(TEA, usd(500), &wide(1, 12)))
        .when(SELLER, create_with_rule(POT, usd(500), &wide(1, 13)))
        .then_rejected([too_large.clone()])
        .given(SELLER, create_with_rule(POT, usd(500), &age(40)))
        .given(SELLER, receive(TEA, 5))
        .given(SELLER, receive(POT, 5))
        .when(BUYER, place(&[(TEA, 1), (POT, 1)], usd(1000)))
        .then_rejected([Rejection::TooManyReleaseRules { seller: SELLER.account() }])
        .given(BUYER, place(&[(TEA, 1)], usd(500)))
        .given(BUYER, place(&[(POT, 1)], usd(500)));
    let release = Some(ReleaseRule::new(wide(1, 13)).unwrap());
    world.when(SELLER, UpdateListing { release, ..update(POT) }).then_rejected([too_large]);
}
