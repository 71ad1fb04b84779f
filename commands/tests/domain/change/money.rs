//! Where the money of a change comes from and goes to, with taxes, promotions, cards, fees and what is set aside.

use commands::Command;
use commands::command::ProposeChange;
use commands::payment::Ending;
use events::market::FeePolicy;
use events::payment::RefundRequested;
use proptest::prelude::*;

use super::*;

const PLATFORM: LedgerAccount = LedgerAccount::PlatformPromotions;

/// Applies what a seller proposes and the buyer accepts for at most 90 dollars more.
#[track_caller]
fn agreed(world: &mut World, proposal: impl Into<Command>) {
    let proposal = proposal.into();
    let Command::ProposeChange(ProposeChange { order, .. }) = &proposal else { panic!("no proposal") };
    let order = *order;
    world.given(SELLER, proposal);
    let change = world.change();
    world.given(BUYER, accept_change(order, change, Some(usd(9000))));
}

fn earned() -> LedgerAccount {
    LedgerAccount::SellerAvailable(SELLER.account())
}

#[test]
fn what_is_added_is_taxed_where_the_order_goes() {
    let mut world = shop();
    world.given(OPERATOR, tax("DE", None, 1900));
    let order = world.placed(BUYER, buy(&[(TEA, 2)], None, Some("DE"), usd(1190)));
    world.when(SELLER, propose(order, &[(POT, 1)], None)).then_rejected([Rejection::AddressRequired]);
    agreed(
        &mut world,
        ProposeChange { region: Some(region("DE")), ..change_to(order, &[(TEA, 1), (POT, 1)]) },
    );
    // 25.00 and 4.75 of tax more, 5.95 less.
    then_holds(&world, [(wallet(), 10_000 - 1190 - 2975 + 595), (escrow(order), 595 + 2975)]);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    // The fee is on what is no tax: 2.5 % of 30 dollars.
    then_holds(&world, [(LedgerAccount::PlatformTax, 570), (earned(), 3000 - 75)]);
}

#[test]
fn units_that_go_take_their_discounts_along_and_those_that_come_have_none() {
    let mut world = shop();
    world.given(SELLER, promotion(percent(1000)).into());
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(900)));
    agreed(&mut world, change_to(order, &[(TEA, 1), (POT, 1)]));
    then_holds(&world, [(wallet(), 10_000 - 450 - 2500), (escrow(order), 2950)]);
    let used = world.market.promotions.iter().next().unwrap().1.used;
    assert_eq!(used, 1, "the order has it still");
}

#[test]
fn what_the_platform_paid_of_units_that_go_returns_to_it() {
    let mut world = shop();
    world.given(OPERATOR, platform_promotion(percent(2000)).into());
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(800)));
    then_holds(&world, [(PLATFORM, -200)]);
    world.given(SELLER, propose(order, &[(TEA, 1), (POT, 1)], None));
    let change = world.change();
    world.when(BUYER, accept_change(order, change, Some(usd(2100)))).then_types([
        "order.changed.v1",
        "order.cancelled.v2",
        "escrow.subsidy_returned.v1",
        "escrow.refunded.v2",
        "escrow.held.v1",
    ]);
    then_holds(&world, [(PLATFORM, -100), (wallet(), 10_000 - 400 - 2500), (escrow(order), 3000)]);
    // What is cancelled later of a line that was added is the buyer's alone.
    world.given(BUYER, cancel_units(order, &[(POT, 1)]));
    then_holds(&world, [(PLATFORM, -100), (wallet(), 9600)]);
}

#[test]
fn what_the_platform_pays_of_a_line_is_of_all_its_units_when_it_has_more() {
    let mut world = shop();
    world.given(OPERATOR, platform_promotion(percent(2000)).into());
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(800)));
    agreed(&mut world, change_to(order, &[(TEA, 4)]));
    then_holds(&world, [(PLATFORM, -200), (wallet(), 8200), (escrow(order), 2000)]);
    // 5.00 each, of which the platform pays 0.50.
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    then_holds(&world, [(PLATFORM, -150), (wallet(), 8650), (escrow(order), 1500)]);
    world.given(BUYER, cancel(order));
    then_holds(&world, [(PLATFORM, 0), (wallet(), 10_000)]);
}

/// Four teas for 20 dollars, paid by card.
fn by_card() -> (World, OrderId) {
    let mut world = shop();
    let order = world.placed(BUYER, place_by_card(&[(TEA, 4)], usd(2000), None));
    let payment = world.payment();
    world.given(PROVIDER, report(payment, took("r", usd(2000))));
    (world, order)
}

/// Gives what the last decision sends back to the card, in minor units.
fn to_card(world: &World) -> i64 {
    let refunds = world.events().iter().filter_map(|event| match event {
        Event::RefundRequested(RefundRequested { transfer, .. }) => Some(transfer.amount.minor),
        _ => None,
    });
    refunds.sum()
}

#[test]
fn a_cheaper_change_gives_the_card_back_what_it_had_paid_of_it() {
    let (mut world, order) = by_card();
    agreed(&mut world, change_to(order, &[(TEA, 1)]));
    assert_eq!(to_card(&world), 1500);
    then_holds(&world, [(wallet(), 10_000), (escrow(order), 500)]);
}

#[test]
fn what_takes_the_place_of_what_a_card_paid_is_the_cards_again_when_it_is_cancelled() {
    let (mut world, order) = by_card();
    // A pot for all teas but one: 5 more than the card had paid.
    agreed(&mut world, change_to(order, &[(TEA, 1), (POT, 1)]));
    assert_eq!(to_card(&world), 0);
    then_holds(&world, [(wallet(), 9000), (escrow(order), 3000)]);
    world.given(SELLER, ship_units(order, &[(TEA, 1)])).given(SELLER, cancel_units(order, &[(POT, 1)]));
    assert_eq!(to_card(&world), 2000, "the card has what it paid, and no more");
    then_holds(&world, [(wallet(), 9500), (escrow(order), 500)]);
}

#[test]
fn a_card_gets_no_more_back_than_it_paid_and_the_wallet_the_rest() {
    let (mut world, order) = by_card();
    let payment = world.market.orders.get(order).unwrap().card.as_ref().unwrap().payment;
    agreed(&mut world, change_to(order, &[(TEA, 2), (POT, 1)]));
    then_holds(&world, [(wallet(), 8500), (escrow(order), 3500)]);
    let mut back = 0;
    for command in [cancel_units(order, &[(TEA, 1)]), cancel_units(order, &[(POT, 1)]), cancel(order)] {
        world.given(BUYER, command);
        back += to_card(&world);
    }
    assert_eq!(back, 2000);
    then_holds(&world, [(wallet(), 10_000), (escrow(order), 0)]);
    let ending = &world.market.payments.recently_closed(payment).unwrap().ending;
    let Ending::Captured { refunded_minor, .. } = ending else { panic!("{ending:?}") };
    assert_eq!(*refunded_minor, 2000);
}

proptest! {
    #[test]
    fn however_an_order_by_card_is_changed_the_card_has_back_what_it_paid_and_the_wallet_the_rest(
        steps in prop::collection::vec((0u32..6, 0u32..3, 0u32..3, any::<bool>()), 1..6),
    ) {
        let (mut world, order) = by_card();
        world.given_listing(SELLER, 4, usd(333), 100);
        let mut back = 0;
        for (teas, pots, others, cancels) in steps {
            // What can't be, is refused.
            world.when(SELLER, change_to(order, &[(TEA, teas), (POT, pots), (4, others)]));
            let change = world.change();
            world.when(BUYER, accept_change(order, change, Some(usd(9000))));
            back += to_card(&world);
            if cancels {
                world.when(BUYER, cancel_units(order, &[(TEA, 1)]));
                back += to_card(&world);
            }
            prop_assert!(back <= 2000, "{back}");
        }
        if world.market.orders.get(order).is_some() {
            world.given(BUYER, cancel(order));
            back += to_card(&world);
        }
        prop_assert_eq!(back, 2000);
        then_holds(&world, [(wallet(), 10_000), (escrow(order), 0)]);
    }
}

#[test]
fn fees_are_those_of_the_changed_order_and_never_less_than_what_was_taken() {
    let fee = FeePolicy::new(0, 100, 0, None).unwrap();
    let mut world = stocked(World::charging(fee));
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(1000)));
    world.given(SELLER, ship_units(order, &[(TEA, 1)])).given(BUYER, confirm(order));
    // Half of the dollar that the order costs its seller.
    then_holds(&world, [(LedgerAccount::PlatformFees, 50), (earned(), 450)]);
    agreed(&mut world, change_to(order, &[(POT, 1)]));
    // Of 35 dollars a tea is a seventh: what was taken is more than that, and stays.
    world.given(SELLER, ship_units(order, &[(TEA, 1)])).given(BUYER, confirm(order));
    then_holds(&world, [(LedgerAccount::PlatformFees, 50), (earned(), 950)]);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    then_holds(&world, [(LedgerAccount::PlatformFees, 100), (earned(), 3400)]);
}

#[test]
fn what_a_buyer_has_set_aside_is_added_first() {
    let (mut world, order) = ordered();
    world
        .given(SELLER, allow_reservations(POT, 3))
        .given(BUYER, reserve(POT, 3))
        .given(SELLER, propose(order, &[(POT, 2)], None));
    let change = world.change();
    world.when(BUYER, accept_change(order, change, Some(usd(5000)))).then_types([
        "order.changed.v1",
        "escrow.held.v1",
        "stock.reservation_taken_up.v1",
    ]);
    assert_eq!(reserved(&world, POT), 3);
}

#[test]
fn what_is_added_is_reserved_where_it_is() {
    let (mut world, order) = ordered();
    world.given(SELLER, at("berlin", receive(POT, 2))).given(SELLER, adjust_away_pots());
    agreed(&mut world, change_to(order, &[(POT, 2)]));
    let Event::OrderChanged(changed) = &world.events()[0] else { panic!("{:?}", world.events()) };
    assert_eq!(changed.added[0].locations, located(&[("berlin", 2)]));
    world.given(SELLER, ship(order));
    let Event::OrderShipped(shipped) = &world.events()[0] else { panic!("{:?}", world.events()) };
    assert_eq!(shipped.lines[1].locations, located(&[("berlin", 2)]));
}

fn adjust_away_pots() -> Command {
    adjust(POT, -3, events::stock::AdjustmentReason::Lost)
}

#[test]
fn a_change_that_costs_nothing_moves_nothing_but_the_units() {
    let mut world = shop();
    world.given_listing(SELLER, 4, usd(500), 5);
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    agreed(&mut world, change_to(order, &[(TEA, 2), (4, 1)]));
    then_holds(&world, [(wallet(), 8500), (escrow(order), 1500)]);
    assert_eq!((reserved(&world, TEA), reserved(&world, 4)), (2, 1));
}
