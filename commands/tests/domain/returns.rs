//! Units that buyers send back after they were delivered, and their money.

mod answers;
mod exchange;
mod final_sale;
mod silence;

use crate::support::returns::*;
use crate::support::*;
use commands::command::ReturnDecision;
use commands::{Command, Facts, Refusal};
use events::escrow::FreezeReason;
use events::ids::{AccountId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::order::Closed;
use events::rejection::{OrderState, ReturnRejection, ReturnState};
use events::returns::{DecidedBy, Refunded, Requested, ReturnReason};
use events::{Event, Money, Rejection};

const TAX: LedgerAccount = LedgerAccount::PlatformTax;
const FEES: LedgerAccount = LedgerAccount::PlatformFees;

fn buyer() -> AccountId {
    BUYER.account()
}

fn wallet() -> LedgerAccount {
    LedgerAccount::Wallet(buyer())
}

fn earned() -> LedgerAccount {
    LedgerAccount::SellerAvailable(SELLER.account())
}

fn owed() -> LedgerAccount {
    LedgerAccount::SellerReceivable(SELLER.account())
}

fn transfer(minor: i64, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount: usd(minor), from, to }
}

#[track_caller]
fn then_holds<const N: usize>(world: &World, balances: [(LedgerAccount, i64); N]) {
    for (account, minor) in balances {
        assert_eq!(world.market.ledger.balance(account, usd(0).currency), usd(minor), "{account}");
    }
    assert!(world.market.ledger.sums().values().all(|sum| *sum == 0));
}

fn stock(world: &World, n: u64) -> (u64, u64) {
    let stock = &world.market.listings.get(listing(n)).unwrap().stock;
    (stock.on_hand, stock.damaged)
}

/// A buyer with 100 dollars and a shop with ten teas for 5 dollars and two pots for 25, with 20 % taxes on top if wanted.
fn shop(mut world: World, taxed: bool) -> World {
    world.given_listing(SELLER, TEA, usd(500), 10).given_listing(SELLER, POT, usd(2500), 2);
    if taxed {
        world.given(OPERATOR, tax("DE", None, 2000));
    }
    world.given(PROVIDER, fund(BUYER, usd(10_000)));
    world
}

/// Three teas and a pot for 40 dollars, all delivered and, unless they are inspected, paid.
fn delivered(world: &mut World, is_paid: bool) -> OrderId {
    let order = world.placed(BUYER, place(&[(TEA, 3), (POT, 1)], usd(4000)));
    let by = if is_paid { BUYER } else { PROVIDER };
    world.given(SELLER, ship(order)).given(by, confirm(order));
    order
}

fn paid() -> (World, OrderId) {
    let mut world = shop(taking_back(true), false);
    let order = delivered(&mut world, true);
    (world, order)
}

fn inspected() -> (World, OrderId) {
    let mut world = shop(taking_back(true), false);
    let order = delivered(&mut world, false);
    (world, order)
}

/// Lets everything happen that a return needs until its units are on their way.
fn sent_back(world: &mut World, order: OrderId, n: u32, lines: &[(u64, u32)]) {
    world
        .given(BUYER, ask_return(order, 1, lines))
        .given(SELLER, approve_return(order, n))
        .given(BUYER, send_return(order, n));
}

fn closed_as(world: &World, order: OrderId) -> Option<OrderState> {
    world.market.orders.recently_closed(order).map(|closed| closed.state)
}

#[test]
fn what_was_paid_to_the_seller_is_taken_back_from_him_and_the_units_are_in_stock_again() {
    let (mut world, order) = paid();
    then_holds(&world, [(earned(), 3900), (FEES, 100), (wallet(), 6000)]);
    assert_eq!(stock(&world, TEA), (7, 0));
    let lines = line_units(&[(TEA, 2, usd(1000))]);
    let answer_by = world.now.plus_ms(2 * DAY_MS);
    world
        .when(BUYER, ask_return(order, 1, &[(TEA, 2)]))
        .then_events([Requested {
            answer_by,
            buyer: buyer(),
            lines,
            note: Some("too big".to_owned()),
            number: nth_return(1),
            order,
            reason: ReturnReason::ChangedMind,
            replacement: None,
            seller: SELLER.account(),
            shipment: shipment(1),
        }
        .into()])
        .when_again()
        .then_repeat()
        .given(SELLER, approve_return(order, 1))
        .given(BUYER, send_return(order, 1))
        .when(SELLER, receive_return(order, 1));
    let [Event::ReturnReceived(_), refunded] = world.events() else { panic!("{:?}", world.events()) };
    // Of 10 dollars the platform had 25 cents.
    let expected = Refunded {
        amount: usd(1000),
        by: DecidedBy::Seller,
        deduction: None,
        note: None,
        number: nth_return(1),
        order,
        replaced_by: None,
        shipment: shipment(1),
        subsidy: None,
        tax: None,
        transfers: vec![transfer(975, earned(), wallet()), transfer(25, FEES, wallet())],
    };
    assert_eq!(*refunded, expected.into());
    then_holds(&world, [(earned(), 2925), (FEES, 75), (wallet(), 7000)]);
    assert_eq!(stock(&world, TEA), (9, 0));
}

#[test]
fn a_market_may_keep_its_fee_and_then_the_seller_bears_it() {
    let mut world = shop(taking_back(false), false);
    let order = delivered(&mut world, true);
    sent_back(&mut world, order, 1, &[]);
    world.given(SELLER, receive_return(order, 1));
    // The seller had 39 dollars, and owes one.
    then_holds(&world, [(earned(), 0), (owed(), -100), (FEES, 100), (wallet(), 10_000)]);
    world.when_deadline();
    assert_eq!(closed_as(&world, order), Some(OrderState::Refunded));
    // What he earns next repays it.
    let next = world.placed(BUYER, place(&[(TEA, 2)], usd(1000)));
    world.given(SELLER, ship(next)).given(BUYER, confirm(next));
    then_holds(&world, [(earned(), 875), (owed(), 0)]);
}

#[test]
fn what_is_in_escrow_is_frozen_until_the_units_are_back_and_the_rest_is_released_in_its_time() {
    let (mut world, order) = inspected();
    world.after(DAY_MS).when(BUYER, ask_return(order, 1, &[(TEA, 2)]));
    world.then_types(["return.requested.v1", "escrow.frozen.v1"]);
    then_holds(&world, [(LedgerAccount::Dispute(order), 1000), (LedgerAccount::Escrow(order), 3000)]);
    let is_open = ReturnRejection::ReturnOpen { number: nth_return(1), order };
    world
        .when(BUYER, unfreeze_money(order, 1))
        .then_rejected([is_open.clone().into()])
        .when(OPERATOR, settle(order, 1, usd(0), usd(1000)))
        .then_rejected([is_open.into()])
        .when(BUYER, confirm(order))
        .then_rejected([Rejection::ShipmentFrozen { order, shipment: shipment(1) }])
        .given(SELLER, approve_return(order, 1))
        .given(BUYER, send_return(order, 1))
        .after(5 * DAY_MS)
        .when(SELLER, receive_return(order, 1))
        .then_types(["return.received.v1", "return.refunded.v1", "escrow.settled.v1"]);
    then_holds(
        &world,
        [(LedgerAccount::Dispute(order), 0), (LedgerAccount::Escrow(order), 3000), (wallet(), 7000)],
    );
    // Two of the three days to inspect are left.
    let left = world.now.plus_ms(2 * DAY_MS);
    assert_eq!(world.market.next_deadline().unwrap().due, left);
    world.when_deadline();
    then_holds(&world, [(LedgerAccount::Escrow(order), 0), (earned(), 2925), (FEES, 75)]);
    // The pot may still be returned, from the seller's money.
    sent_back(&mut world, order, 2, &[(POT, 1)]);
    world.given(SELLER, receive_return(order, 2));
    // Of 75 cents of fees five sixths go back.
    then_holds(&world, [(earned(), 488), (FEES, 12), (wallet(), 9500)]);
}

#[test]
fn an_order_is_closed_when_nothing_of_it_can_be_returned_any_more() {
    let (mut world, order) = paid();
    assert_eq!(world.market.orders.get(order).unwrap().state(), OrderState::Completed);
    let by = world.now.plus_ms(30 * DAY_MS);
    assert_eq!(world.market.next_deadline().unwrap().due, by);
    let (buyer, seller, state) = (buyer(), SELLER.account(), OrderState::Completed);
    world.when_deadline().then_events([Closed { buyer, order, seller, state }.into()]);
    assert_eq!(closed_as(&world, order), Some(OrderState::Completed));
    let over: Rejection = ReturnRejection::ReturnWindowOver { order }.into();
    world.when(BUYER, ask_return(order, 1, &[])).then_rejected([over.clone()]);
    // The index says the same of an order that is no longer in memory.
    let closed = world.market.orders.recently_closed(order).unwrap();
    let unknown = OrderId::from_uuid(uuid::Uuid::from_u128(7));
    world.facts = Facts { covered: world.head().position, ..Facts::default() };
    world.facts.closed_orders.insert(unknown, closed);
    let over = Rejection::from(ReturnRejection::ReturnWindowOver { order: unknown });
    world.when(BUYER, ask_return(unknown, 1, &[])).then_rejected([over]);
}

#[test]
fn a_window_that_is_over_is_over_though_another_shipment_of_the_order_is_open() {
    let mut world = shop(taking_back(true), false);
    let order = world.placed(BUYER, place(&[(TEA, 3), (POT, 1)], usd(4000)));
    world.given(SELLER, ship_units(order, &[(TEA, 3)])).given(BUYER, confirm(order)).after(10 * DAY_MS);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order)).after(20 * DAY_MS + 1);
    world
        .when(BUYER, ask_return(order, 1, &[]))
        .then_rejected([ReturnRejection::ReturnWindowOver { order }.into()])
        .given(BUYER, ask_return(order, 2, &[]));
}

#[test]
fn units_are_returned_once_and_only_those_that_arrived() {
    let mut world = shop(taking_back(true), false);
    let order = world.placed(BUYER, place(&[(TEA, 3), (POT, 1)], usd(4000)));
    world.given(SELLER, ship(order));
    let (number, first) = (nth_return(1), shipment(1));
    let too_many = |left, requested| {
        let listing = listing(TEA);
        Rejection::from(ReturnRejection::TooManyToReturn { left, listing, requested, shipment: first })
    };
    world
        .when(BUYER, ask_return(order, 1, &[]))
        .then_rejected([ReturnRejection::NotDelivered { order, shipment: first }.into()])
        .given(BUYER, confirm(order))
        .when(BUYER, ask_return(order, 2, &[]))
        .then_rejected([Rejection::ShipmentUnknown { order, shipment: shipment(2), shipments: 1 }])
        .when(BUYER, ask_return(order, 1, &[(TEA, 4), (CUP, 1), (POT, 1), (POT, 1)]))
        .then_rejected([
            too_many(3, 4),
            Rejection::NotInOrder { listing: listing(CUP), order },
            Rejection::DuplicateLine { listing: listing(POT) },
        ])
        .when(OTHER_BUYER, ask_return(order, 1, &[]))
        .then_rejected([Rejection::NotYourOrder { order }])
        .given(BUYER, ask_return(order, 1, &[(TEA, 2)]))
        .when(BUYER, ask_return(order, 1, &[(POT, 1)]))
        .then_rejected([ReturnRejection::ReturnOpen { number, order }.into()])
        .given(SELLER, approve_return(order, 1))
        .given(SELLER, receive_return(order, 1))
        .when(BUYER, ask_return(order, 1, &[(TEA, 2)]))
        .then_rejected([too_many(1, 2)])
        .given(BUYER, ask_return(order, 1, &[]))
        .given(SELLER, approve_return(order, 2))
        .given(SELLER, receive_return(order, 2))
        .when(BUYER, ask_return(order, 1, &[]))
        .then_rejected([ReturnRejection::NothingPaid { order }.into()]);
    then_holds(&world, [(wallet(), 10_000), (earned(), 0), (FEES, 0)]);
}

#[test]
fn units_of_a_return_that_ended_without_a_refund_may_be_returned_again() {
    for (mut world, order) in [paid(), inspected()] {
        world.given(BUYER, ask_return(order, 1, &[(TEA, 3)])).given(BUYER, cancel_return(order, 1));
        let state = ReturnRejection::ReturnState { number: nth_return(1), order, state: ReturnState::Ended };
        world.when(BUYER, send_return(order, 1)).then_rejected([state.into()]);
        sent_back(&mut world, order, 2, &[(TEA, 3)]);
        world.given(SELLER, receive_return(order, 2));
        then_holds(&world, [(wallet(), 7500)]);
    }
}

#[test]
fn taxes_and_what_the_platform_paid_go_back_to_where_they_came_from() {
    let mut world = shop(taking_back(true), true);
    world.given(OPERATOR, platform_promotion(percent(1000)).into());
    // Three teas cost 15 dollars and 3 dollars of taxes, a tenth of the price is the platform's.
    let order = world.placed(BUYER, buy(&[(TEA, 3)], None, Some("DE"), usd(1650)));
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    then_holds(&world, [(TAX, 300), (LedgerAccount::PlatformPromotions, -150), (earned(), 1462), (FEES, 38)]);
    sent_back(&mut world, order, 1, &[(TEA, 1)]);
    world.given(SELLER, receive_return(order, 1));
    then_holds(
        &world,
        [
            (TAX, 200),
            (LedgerAccount::PlatformPromotions, -100),
            (earned(), 975),
            (FEES, 25),
            (wallet(), 10_000 - 1650 + 550),
        ],
    );
    sent_back(&mut world, order, 2, &[]);
    world.given(SELLER, receive_return(order, 2));
    then_holds(
        &world,
        [(TAX, 0), (LedgerAccount::PlatformPromotions, 0), (earned(), 0), (FEES, 0), (wallet(), 10_000)],
    );
    world.when_deadline();
    assert_eq!(closed_as(&world, order), Some(OrderState::Refunded));
}

#[test]
fn what_was_given_back_of_a_shipment_before_is_not_given_back_again() {
    let mut world = shop(taking_back(true), false);
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world.given(SELLER, ship(order)).given(SELLER, refund(order, 1, usd(500))).given(BUYER, confirm(order));
    // Two of three dollars are left, of each unit its part.
    let parts = [333, 334, 333];
    for (n, part) in (1..).zip(parts) {
        sent_back(&mut world, order, n, &[(TEA, 1)]);
        world.when(SELLER, receive_return(order, n));
        let [_, Event::ReturnRefunded(refunded)] = world.events() else { panic!("{:?}", world.events()) };
        assert_eq!(refunded.amount, usd(part));
    }
    then_holds(&world, [(wallet(), 10_000), (earned(), 0), (FEES, 0)]);
}

#[test]
fn what_is_paid_for_delivery_is_not_returned() {
    let mut world = shop(taking_back(true), false);
    world.given(SELLER, set_rate("post", Some("DE"), rate(400, None, None)));
    let order = world.placed(BUYER, buy(&[(TEA, 2)], None, Some("DE"), usd(1400)));
    world.given(SELLER, ship(order)).given(PROVIDER, confirm(order));
    world.when(BUYER, ask_return(order, 1, &[]));
    then_holds(&world, [(LedgerAccount::Dispute(order), 1000), (LedgerAccount::Escrow(order), 400)]);
    world.given(SELLER, approve_return(order, 1)).given(SELLER, receive_return(order, 1)).when_deadline();
    then_holds(&world, [(wallet(), 9600), (earned(), 390), (FEES, 10)]);
    world.when_deadline();
    assert_eq!(closed_as(&world, order), Some(OrderState::Completed));
}

#[test]
fn what_a_card_had_paid_goes_back_to_the_card() {
    for is_paid in [true, false] {
        let mut world = shop(taking_back(true), false);
        let order = world.placed(BUYER, place_by_card(&[(TEA, 2)], usd(1000), Some(usd(400))));
        let payment = world.payment();
        world.given(PROVIDER, report(payment, took("r", usd(600)))).given(SELLER, ship(order));
        world.given(if is_paid { BUYER } else { PROVIDER }, confirm(order));
        for n in [1, 2] {
            sent_back(&mut world, order, n, &[(TEA, 1)]);
            world.when(SELLER, receive_return(order, n));
            let Some(Event::RefundRequested(back)) = world.events().last() else { panic!() };
            assert_eq!(back.transfer, transfer(300, wallet(), LedgerAccount::RefundsPayable));
        }
        then_holds(&world, [(wallet(), 10_000), (LedgerAccount::RefundsPayable, 600)]);
    }
}

#[test]
fn a_dispute_that_was_settled_is_not_opened_again_by_a_return() {
    let (mut world, order) = inspected();
    let first = shipment(1);
    world
        .given(BUYER, freeze_money(order, 1, Some(usd(500)), FreezeReason::NotAsDescribed))
        .when(BUYER, ask_return(order, 1, &[]))
        .then_rejected([Rejection::ShipmentFrozen { order, shipment: first }])
        .given(OPERATOR, settle(order, 1, usd(500), usd(0)))
        .when(BUYER, ask_return(order, 1, &[]))
        .then_rejected([ReturnRejection::ShipmentSettled { order, shipment: first }.into()])
        .given(BUYER, confirm(order))
        .when_deadline();
    assert_eq!(closed_as(&world, order), Some(OrderState::Completed), "nothing of it can be returned");
}

#[test]
fn nobody_freezes_for_a_return_by_himself() {
    let (mut world, order) = inspected();
    let reason = FreezeReason::Return;
    for actor in [BUYER, OPERATOR] {
        world
            .when(actor, freeze_money(order, 1, None, reason))
            .then_rejected([Rejection::FreezeReasonDenied { reason }]);
    }
}

#[test]
fn a_market_without_returns_takes_nothing_back_and_closes_orders_at_once() {
    let mut world = shop(World::new(), false);
    let order = delivered(&mut world, true);
    assert_eq!(closed_as(&world, order), Some(OrderState::Completed));
    assert_eq!(world.market.orders.returns().iter().count(), 0);
    world.when(BUYER, ask_return(order, 1, &[])).then_rejected([ReturnRejection::ReturnsNotOffered.into()]);
}

#[test]
fn an_order_of_which_nothing_was_shipped_is_closed_at_once() {
    let mut world = shop(taking_back(true), false);
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world.given(BUYER, cancel(order));
    assert_eq!(closed_as(&world, order), Some(OrderState::Cancelled));
}

#[test]
fn on_hold_a_return_stands_still_and_the_window_too() {
    let (mut world, order) = paid();
    let (asked, day) = (world.now, DAY_MS);
    world
        .given(BUYER, ask_return(order, 1, &[(TEA, 1)]))
        .given(OPERATOR, hold(order, events::order::hold::HoldReason::Operator))
        .then(|market| assert_eq!(market.next_deadline(), None))
        .after(5 * day);
    let on_hold = Rejection::OrderOnHold { order, reason: events::order::hold::HoldReason::Operator };
    for (actor, command) in [(SELLER, approve_return(order, 1)), (BUYER, ask_return(order, 1, &[]))] {
        world.when(actor, command).then_rejected([on_hold.clone()]);
    }
    world.given(OPERATOR, unhold(order)).given(OTHER_OPERATOR, unhold(order));
    let due = |market: &commands::Market| market.next_deadline().unwrap().due;
    world.then(|market| assert_eq!(due(market), asked.plus_ms(7 * day)));
    world.given(SELLER, approve_return(order, 1)).given(SELLER, receive_return(order, 1));
    world.then(|market| assert_eq!(due(market), asked.plus_ms(35 * day)));
    world.after(29 * day).given(BUYER, ask_return(order, 1, &[(TEA, 1)]));
}

#[test]
fn each_does_what_is_his_to_do() {
    let (mut world, order) = paid();
    world.given(BUYER, ask_return(order, 1, &[(TEA, 1)]));
    let not_yours = [Rejection::NotYourOrder { order }];
    for (actor, command) in [
        (OTHER_SELLER, approve_return(order, 1)),
        (OTHER_SELLER, reject_return(order, 1)),
        (OTHER_SELLER, receive_return(order, 1)),
        (OTHER_BUYER, appeal_return(order, 1)),
        (OTHER_BUYER, send_return(order, 1)),
        (OTHER_BUYER, cancel_return(order, 1)),
    ] {
        world.when(actor, command).then_rejected(not_yours.clone());
    }
    let denied = Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    let decide: Command = decide_return(order, 1, ReturnDecision::Approve);
    for (actor, command) in
        [(SELLER, decide), (BUYER, approve_return(order, 1)), (SELLER, ask_return(order, 1, &[]))]
    {
        world.when(actor, command).then_refused(denied.clone());
    }
    let unknown = ReturnRejection::ReturnUnknown { number: nth_return(2), order, returns: 1 };
    world.when(SELLER, approve_return(order, 2)).then_rejected([unknown.into()]);
}

#[test]
fn what_is_kept_of_earnings_is_taken_back_first() {
    let reserve = events::market::ReserveTerms::new(events::Bps::new(1000).unwrap(), 30 * DAY_MS).unwrap();
    let escrow = events::market::EscrowTerms::default().keeping(Some(reserve)).returning(Some(thirty_days()));
    let mut world = shop(World::on(Terms { escrow: Some(escrow), ..Terms::default() }), false);
    let order = delivered(&mut world, true);
    let kept = LedgerAccount::SellerReserve(SELLER.account());
    then_holds(&world, [(kept, 390), (earned(), 3510)]);
    world.given(SELLER, pay_out(usd(3510)));
    sent_back(&mut world, order, 1, &[(TEA, 2)]);
    world.given(SELLER, receive_return(order, 1));
    then_holds(&world, [(kept, 0), (earned(), 0), (owed(), -610), (wallet(), 7000)]);
    assert_eq!(world.market.reserves.iter().count(), 0);
}

fn amount_of(event: &Event) -> Option<Money> {
    match event {
        Event::ReturnRefunded(refunded) => Some(refunded.amount),
        _ => None,
    }
}
