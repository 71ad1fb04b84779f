//! What can't be changed, and what can't be changed any more when it is accepted.

use commands::Refusal;
use commands::command::{ChangedLine, ProposeChange, UpdateListing};
use events::account::Tier;
use events::escrow::FreezeReason;
use events::escrow::rule::Condition;
use events::listing::ListingStatus;
use events::market::PurchaseLimit;
use events::rejection::OrderState;

use super::*;

#[test]
fn only_the_two_sides_of_an_order_change_it() {
    let (mut world, order) = ordered();
    world.given(SELLER, propose(order, &[(TEA, 2)], None));
    let change = world.change();
    for command in
        [propose(order, &[(TEA, 2)], None), accept_change(order, change, None), decline_change(order, change)]
    {
        for actor in [OTHER_BUYER, OTHER_SELLER] {
            world.when(actor, command.clone()).then_rejected([Rejection::NotYourOrder { order }]);
        }
        let rule = "the account has no role that may give this command".into();
        world.when(OPERATOR, command).then_refused(Refusal::ScopeDenied { rule });
    }
    let unknown = OrderId::derive(BUYER.account(), cid(START, 999), 0);
    world
        .when(BUYER, propose(unknown, &[(TEA, 2)], None))
        .then_rejected([Rejection::OrderUnknown { order: unknown }]);
}

#[test]
fn one_change_of_an_order_is_open_at_a_time() {
    let (mut world, order) = ordered();
    world.given(SELLER, propose(order, &[(TEA, 2)], None));
    let (change, expires_at) = (world.change(), world.now.plus_ms(2 * DAY_MS));
    world
        .when(BUYER, propose(order, &[(TEA, 1)], None))
        .then_rejected([refused(order, ChangeProblem::Open { change, expires_at })]);
}

#[test]
fn all_that_is_wrong_with_a_change_is_told_at_once() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3), (POT, 1)], usd(4000)));
    world.given(SELLER, ship_units(order, &[(TEA, 1)]));
    world
        .when(BUYER, propose(order, &[(TEA, 4), (CUP, 1), (POT, 9), (99, 1), (98, 0), (TEA, 1)], None))
        .then_rejected([
            wrong_line(order, TEA, LineChangeProblem::UnitsWent),
            Rejection::NotInOrder { order, listing: listing(98) },
            Rejection::DuplicateLine { listing: listing(TEA) },
            wrong_line(order, CUP, LineChangeProblem::OtherSeller),
            Rejection::InsufficientStock { listing: listing(POT), requested: 8, available: 2 },
            Rejection::ListingUnknown { listing: listing(99) },
        ])
        .when(BUYER, propose(order, &[(TEA, 0)], None))
        .then_rejected([Rejection::TooManyUnits { order, listing: listing(TEA), requested: 3, left: 2 }])
        .when(BUYER, propose(order, &[], None))
        .then_rejected([Rejection::LinesEmpty])
        .when(BUYER, propose(order, &[(TEA, 3), (POT, 1)], None))
        .then_unchanged();
}

#[test]
fn a_change_leaves_something_to_ship_and_finds_something() {
    let (mut world, order) = ordered();
    world
        .when(BUYER, propose(order, &[(TEA, 0)], None))
        .then_rejected([refused(order, ChangeProblem::LeavesNothing)])
        .given(SELLER, ship(order))
        .when(BUYER, propose(order, &[(POT, 1)], Some(usd(2500))))
        .then_rejected([refused(order, ChangeProblem::NothingLeft)])
        .given(BUYER, confirm(order))
        .when(BUYER, propose(order, &[(POT, 1)], Some(usd(2500))))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Completed }]);
}

#[test]
fn orders_that_wait_for_money_or_their_seller_are_not_changed() {
    let mut world = stocked(World::accepting());
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    let accept_by = world.now.plus_ms(2 * DAY_MS);
    world
        .when(BUYER, propose(order, &[(TEA, 2)], None))
        .then_rejected([Rejection::NotAccepted { accept_by, order }])
        .given(SELLER, accept(order))
        .given(BUYER, propose(order, &[(TEA, 2)], None));
    let order = world.placed(BUYER, place_by_card(&[(TEA, 3)], usd(1500), None));
    let state = OrderState::AwaitingPayment;
    world
        .when(BUYER, propose(order, &[(TEA, 2)], None))
        .then_rejected([Rejection::OrderState { order, state }]);
}

#[test]
fn an_order_whose_money_is_disputed_is_not_changed() {
    let (mut world, order) = ordered();
    world.given(SELLER, propose(order, &[(POT, 1)], None));
    let change = world.change();
    world
        .given(SELLER, ship_units(order, &[(TEA, 1)]))
        .given(BUYER, freeze_money(order, 1, None, FreezeReason::NotReceived));
    let frozen = || Rejection::ShipmentFrozen { order, shipment: shipment(1) };
    world
        .when(BUYER, accept_change(order, change, Some(usd(2500))))
        .then_rejected([frozen()])
        .given(BUYER, decline_change(order, change))
        .when(BUYER, propose(order, &[(POT, 1)], Some(usd(2500))))
        .then_rejected([frozen()])
        .given(BUYER, unfreeze_money(order, 1))
        .given(BUYER, propose(order, &[(POT, 1)], Some(usd(2500))));
}

#[test]
fn a_buyer_proposes_no_more_than_he_signs_and_can_pay() {
    let (mut world, order) = ordered();
    let problem = |problem| [refused(order, problem)];
    world
        .when(BUYER, propose(order, &[(TEA, 4)], None))
        .then_rejected(problem(ChangeProblem::Unsigned { difference: usd(500) }))
        .when(BUYER, propose(order, &[(TEA, 4)], Some(usd(499))))
        .then_rejected(problem(ChangeProblem::Unsigned { difference: usd(500) }));
    world
        .given(BUYER, place(&[(POT, 3)], usd(7500)))
        .given(BUYER, place(&[(TEA, 1)], usd(500)))
        .when(BUYER, propose(order, &[(TEA, 5)], Some(usd(1000))))
        .then_rejected(problem(ChangeProblem::WalletShort { available: usd(500), required: usd(1000) }))
        .given(BUYER, propose(order, &[(TEA, 4)], Some(usd(500))));
}

#[test]
fn a_seller_learns_only_that_his_buyer_can_not_pay_and_may_accept_again() {
    let (mut world, order) = ordered();
    world.given(BUYER, propose(order, &[(TEA, 5)], Some(usd(1000))));
    let change = world.change();
    world
        .given(BUYER, place(&[(POT, 3)], usd(7500)))
        .given(BUYER, place(&[(TEA, 1)], usd(500)))
        .when(SELLER, accept_change(order, change, None))
        .then_rejected([refused(order, ChangeProblem::NotCovered { difference: usd(1000) })])
        .given(PROVIDER, fund(BUYER, usd(500)))
        .when(SELLER, accept_change(order, change, None))
        .then_types(["order.changed.v1", "escrow.held.v1"]);
    then_holds(&world, [(wallet(), 0)]);
}

#[test]
fn what_can_not_be_sold_any_more_is_not_added_but_its_price_stands() {
    let (mut world, order) = ordered();
    world.given(BUYER, propose(order, &[(TEA, 5), (POT, 1)], Some(usd(3500))));
    let change = world.change();
    world
        .given(SELLER, UpdateListing { price: Some(usd(9900)), ..update(POT) }.into())
        .given(SELLER, pause(POT))
        .when(SELLER, accept_change(order, change, None))
        .then_rejected([Rejection::ListingUnavailable {
            listing: listing(POT),
            status: ListingStatus::Paused,
        }])
        .given(SELLER, resume(POT))
        .given(SELLER, adjust_away(TEA, 6))
        .when(SELLER, accept_change(order, change, None))
        .then_rejected([Rejection::InsufficientStock { listing: listing(TEA), requested: 2, available: 1 }])
        .given(SELLER, receive(TEA, 1))
        .given(SELLER, accept_change(order, change, None));
    then_holds(&world, [(wallet(), 5000), (escrow(order), 5000)]);
}

fn adjust_away(n: u64, units: i64) -> commands::Command {
    adjust(n, -units, events::stock::AdjustmentReason::Lost)
}

#[test]
fn a_suspended_seller_sells_no_more_by_a_change_either() {
    let (mut world, order) = ordered();
    world.given(BUYER, propose(order, &[(TEA, 4)], Some(usd(500))));
    let change = world.change();
    let seller = SELLER.account();
    world
        .given(OPERATOR, suspend(SELLER))
        .when(SELLER, accept_change(order, change, None))
        .then_rejected([Rejection::SellerSuspended { listing: listing(TEA), seller }]);
}

#[test]
fn limits_of_a_listing_count_what_the_order_has_of_it() {
    let (mut world, order) = ordered();
    let limits = Some(limits(None, Some(4)));
    world
        .given(SELLER, UpdateListing { limits, ..update(TEA) }.into())
        .when(BUYER, propose(order, &[(TEA, 5)], Some(usd(1000))))
        .then_rejected([Rejection::QuantityLimit { listing: listing(TEA), max: 4, min: None }])
        .given(BUYER, propose(order, &[(TEA, 4)], Some(usd(500))));
}

#[test]
fn limits_of_a_buyer_count_the_whole_order_and_what_he_buys_today() {
    let limit = |per_order_minor, per_day_minor| PurchaseLimit {
        currency: usd(0).currency,
        per_day_minor,
        per_order_minor,
        tier: Tier::default(),
    };
    for (limit, per_day) in [(limit(1999, 9000), false), (limit(9000, 1999), true)] {
        let purchase_limits = vec![limit];
        let mut world = stocked(World::on(Terms { purchase_limits, ..Terms::default() }));
        let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
        let most = if per_day { limit.per_day_minor } else { limit.per_order_minor };
        let rejection = || match limit.tier.get() {
            Tier::MAX => Rejection::PurchaseLimit { limit: usd(most), per_day, total: usd(2000) },
            _ => Rejection::KycRequired { limit: usd(most), tier: limit.tier, total: usd(2000) },
        };
        world.when(BUYER, propose(order, &[(TEA, 4)], Some(usd(500)))).then_rejected([rejection()]);
        // The seller is told that it can't be, and not why.
        world.given(SELLER, propose(order, &[(TEA, 4)], None));
        let change = world.change();
        world
            .when(BUYER, accept_change(order, change, Some(usd(500))))
            .then_rejected([rejection()])
            .given(OPERATOR, verify(BUYER, 1))
            .given(BUYER, accept_change(order, change, Some(usd(500))));
    }
}

#[test]
fn a_quote_prices_what_is_added_and_nothing_else() {
    let (mut world, order) = ordered();
    let quoted = |n: u64, quantity: u32| -> ProposeChange {
        let line = ChangedLine {
            listing: listing(n),
            quantity: quantity.try_into().unwrap(),
            quote: Some("quote".to_owned()),
        };
        ProposeChange { lines: vec![line], max_difference: Some(usd(900)), ..change_to(order, &[]) }
    };
    let good = world.now.plus_ms(DAY_MS);
    world
        .when_quoted([quote(SELLER, BUYER, (TEA, 2), usd(900), good)], BUYER, quoted(TEA, 2))
        .then_rejected([wrong_line(order, TEA, LineChangeProblem::QuoteForNothing)])
        .when_quoted([quote(SELLER, BUYER, (TEA, 2), usd(900), good)], BUYER, quoted(TEA, 5));
    let Event::ChangeProposed(proposed) = &world.events()[0] else { panic!("{:?}", world.events()) };
    assert_eq!((&proposed.added[0].price, proposed.added[0].total), (&LinePrice::Quote, usd(900)));
    let change = world.change();
    world.given(SELLER, accept_change(order, change, None));
    then_holds(&world, [(wallet(), 7600), (escrow(order), 2400)]);
}

#[test]
fn what_waits_for_more_than_the_order_does_is_ordered_by_itself() {
    let (mut world, order) = ordered();
    let rule = Condition::AnyOf(vec![Condition::OperatorRelease, Condition::InspectionElapsed]);
    world
        .given(SELLER, create_with_rule(7, usd(100), &rule))
        .given(SELLER, receive(7, 1))
        .when(BUYER, propose(order, &[(7, 1)], Some(usd(100))))
        .then_rejected([wrong_line(order, 7, LineChangeProblem::ReleaseRule)]);
    // Of what an order has it can have more.
    let order = world.placed(BUYER, place(&[(7, 1)], usd(100)));
    world.given(SELLER, receive(7, 1)).given(BUYER, propose(order, &[(7, 2)], Some(usd(100))));
}
