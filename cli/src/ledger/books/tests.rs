use events::account::Role;
use events::escrow::{FreezeReason, Frozen, Settled, SettledBy, Unfrozen};
use events::ids::{AccountId, ListingId, RefundId};
use events::listing::WalletFunded;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::hold::{Held, HoldReason, Unheld};
use events::order::{
    EscrowHeld, EscrowRefunded, EscrowReleased, FeeQuote, Line, LinePrice, ReleaseCondition, Rounding,
    ShipmentNumber,
};
use events::payment::{Captured, RefundRequested};
use events::rejection::OrderState;
use events::{Quantity, Timestamp};
use uuid::Uuid;

use super::*;

const BUYER: AccountId = AccountId::from_uuid(Uuid::from_u128(1));
const SELLER: AccountId = AccountId::from_uuid(Uuid::from_u128(2));
const PROVIDER: AccountId = AccountId::from_uuid(Uuid::from_u128(3));
const ORDER: OrderId = OrderId::from_uuid(Uuid::from_u128(4));

fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

fn transfer(from: LedgerAccount, to: LedgerAccount, minor: i64) -> Transfer {
    Transfer { amount: usd(minor), from, to }
}

fn fee(minor: i64) -> FeeQuote {
    FeeQuote { amount: usd(minor), bps: 250, fixed_minor: 0, rounding: Rounding::HalfAwayFromZero }
}

// What happens to an order of 1,000 whose fee is 25.

fn funded(minor: i64, reference: &str) -> Event {
    let transfer = transfer(LedgerAccount::ProviderClearing(PROVIDER), LedgerAccount::Wallet(BUYER), minor);
    WalletFunded { account: BUYER, reference: reference.to_owned(), transfer }.into()
}

fn placed() -> Placed {
    let listing = ListingId::from_uuid(Uuid::from_u128(5));
    let price = LinePrice::Unit(usd(500));
    let quantity = Quantity::new(2).unwrap();
    Placed {
        buyer: BUYER,
        cart: None,
        fee: fee(25),
        lines: vec![Line { listing, listing_version: 1, price, quantity, total: usd(1000) }],
        order: ORDER,
        seller: SELLER,
        ship_by: Timestamp::from_ms(0),
        total: usd(1000),
    }
}

fn held(minor: i64) -> Event {
    let transfer = transfer(LedgerAccount::Wallet(BUYER), LedgerAccount::Escrow(ORDER), minor);
    EscrowHeld { order: ORDER, release: None, transfer }.into()
}

fn released(net: i64, fee: i64, closed_as: Option<OrderState>) -> Event {
    let from = LedgerAccount::Escrow(ORDER);
    let transfers = vec![
        transfer(from, LedgerAccount::SellerAvailable(SELLER), net),
        transfer(from, LedgerAccount::PlatformFees, fee),
    ];
    EscrowReleased {
        buyer: BUYER,
        closed_as,
        condition: ReleaseCondition::BuyerConfirmed,
        order: ORDER,
        remaining: None,
        seller: SELLER,
        shipment: ShipmentNumber::FIRST,
        transfers,
        with: vec![],
    }
    .into()
}

fn refunded(minor: i64, closed_as: Option<OrderState>) -> Event {
    let transfer = Some(transfer(LedgerAccount::Escrow(ORDER), LedgerAccount::Wallet(BUYER), minor));
    EscrowRefunded { buyer: BUYER, closed_as, order: ORDER, remaining: None, seller: SELLER, transfer }.into()
}

fn frozen(minor: i64) -> Event {
    Frozen {
        by: Role::Buyer,
        due: Timestamp::from_ms(0),
        note: None,
        order: ORDER,
        reason: FreezeReason::NotReceived,
        remaining: None,
        shipment: ShipmentNumber::FIRST,
        transfer: transfer(LedgerAccount::Escrow(ORDER), LedgerAccount::Dispute(ORDER), minor),
    }
    .into()
}

/// The seller gets `net` of what is frozen, the platform `fee`, the buyer the rest.
fn settled(net: i64, fee: i64, back: i64, closed_as: Option<OrderState>) -> Event {
    let from = LedgerAccount::Dispute(ORDER);
    let payees = [
        (LedgerAccount::SellerAvailable(SELLER), net),
        (LedgerAccount::PlatformFees, fee),
        (LedgerAccount::Wallet(BUYER), back),
    ];
    Settled {
        buyer: BUYER,
        by: SettledBy::Operator,
        closed_as,
        deadline: None,
        note: None,
        order: ORDER,
        remaining: None,
        seller: SELLER,
        shipment: ShipmentNumber::FIRST,
        transfers: payees.into_iter().map(|(to, minor)| transfer(from, to, minor)).collect(),
    }
    .into()
}

fn on_hold() -> Event {
    Held { by: PROVIDER, note: "why".to_owned(), order: ORDER, reason: HoldReason::Compliance }.into()
}

fn unheld(requested_by: AccountId) -> Event {
    Unheld { agreed_by: PROVIDER, deadlines: vec![], order: ORDER, requested_by }.into()
}

/// Enters events at positions 1, 2, … of a market whose fee is 2.5 %, and gives what is broken, and where.
fn broken(events: &[Event]) -> Vec<(Invariant, Position)> {
    let mut books = Books { policy: Some(FeePolicy::default()), ..Books::default() };
    for (position, event) in (1..).zip(events) {
        books.event(position, event);
    }
    let found = books.findings().filter_map(|(one, finding)| Some((one, finding.broken?.position)));
    found.collect()
}

#[test]
fn an_order_that_is_paid_in_parts_and_partly_refunded_keeps_every_promise() {
    let all = [
        funded(2000, "a"),
        placed().into(),
        held(1000),
        released(487, 13, None),
        refunded(250, None),
        released(244, 6, Some(OrderState::Completed)),
    ];
    assert_eq!(broken(&all), []);
}

#[test]
fn what_is_frozen_is_still_the_orders_until_it_is_settled() {
    let begin = [funded(2000, "a"), placed().into(), held(1000), frozen(400)];
    let unfrozen = Unfrozen {
        by: Role::Buyer,
        deadline: DeadlineStamp { due: Timestamp::from_ms(0), waiting: Waiting::ShipBy { order: ORDER } },
        order: ORDER,
        shipment: ShipmentNumber::FIRST,
        transfer: transfer(LedgerAccount::Dispute(ORDER), LedgerAccount::Escrow(ORDER), 400),
    };
    let taken_back = [unfrozen.into(), frozen(1000), settled(585, 15, 400, Some(OrderState::Completed))];
    assert_eq!(broken(&[begin.as_slice(), &taken_back].concat()), []);
    let in_parts = [settled(194, 6, 199, None)];
    assert!(
        broken(&[begin.as_slice(), &in_parts].concat()).contains(&(Invariant::I7, 5)),
        "one is left behind"
    );
    let closed = [released(585, 15, Some(OrderState::Completed))];
    assert_eq!(broken(&[begin.as_slice(), &closed].concat()), [(Invariant::I15, 5)]);
}

#[test]
fn money_that_moves_on_hold_and_a_hold_that_one_lifts_are_found() {
    let begin = [funded(2000, "a"), placed().into(), held(1000), on_hold()];
    let released = released(975, 25, Some(OrderState::Completed));
    assert_eq!(broken(&[begin.as_slice(), &[unheld(SELLER), released.clone()]].concat()), []);
    assert_eq!(broken(&[begin.as_slice(), &[released]].concat()), [(Invariant::I7, 5)]);
    assert_eq!(broken(&[begin.as_slice(), &[unheld(PROVIDER)]].concat()), [(Invariant::I7, 5)]);
}

#[test]
fn a_transfer_of_nothing_or_to_itself_is_no_entry() {
    assert_eq!(broken(&[funded(0, "a")]), [(Invariant::I1, 1)]);
}

#[test]
fn a_wallet_that_pays_what_it_does_not_have_is_found() {
    assert_eq!(broken(&[funded(999, "a"), placed().into(), held(1000)]), [(Invariant::I3, 3)]);
}

#[test]
fn a_reference_that_is_credited_twice_is_found() {
    assert_eq!(broken(&[funded(10, "a"), funded(10, "b"), funded(10, "a")]), [(Invariant::I9, 3)]);
}

#[test]
fn an_escrow_that_does_not_hold_what_the_order_costs_is_found() {
    let short = [funded(2000, "a"), placed().into(), held(999)];
    assert_eq!(broken(&short), [(Invariant::I11, 3)]);
    let lines = Placed { total: usd(1001), ..placed() };
    assert_eq!(broken(&[lines.into()]), [(Invariant::I11, 1)]);
}

#[test]
fn what_leaves_an_escrow_that_is_not_funded_is_found() {
    let early = [funded(2000, "a"), placed().into(), released(975, 25, None)];
    let found = broken(&early);
    assert!(found.contains(&(Invariant::I7, 3)), "{found:?}");
    assert!(found.contains(&(Invariant::I3, 3)), "the escrow is below zero: {found:?}");
}

#[test]
fn money_of_another_currency_is_found() {
    let mut euros = placed();
    euros.lines[0].total = Money::new(1000, "EUR".parse().unwrap());
    assert_eq!(broken(&[euros.into()]), [(Invariant::I10, 1)]);
}

#[test]
fn a_fee_that_is_not_by_the_terms_is_found() {
    let mut dear = placed();
    dear.fee.amount = usd(26);
    assert_eq!(broken(&[dear.into()]), [(Invariant::I13, 1)]);
}

#[test]
fn parts_of_a_fee_that_are_a_cent_too_much_are_found() {
    let all = [
        funded(2000, "a"),
        placed().into(),
        held(1000),
        released(487, 13, None),
        released(487, 13, Some(OrderState::Completed)),
    ];
    assert_eq!(broken(&all), [(Invariant::I14, 5)]);
}

#[test]
fn a_closed_order_that_still_holds_money_is_found() {
    let all =
        [funded(2000, "a"), placed().into(), held(1000), released(487, 13, Some(OrderState::Completed))];
    assert_eq!(broken(&all), [(Invariant::I15, 4)]);
}

#[test]
fn a_payment_of_which_more_goes_back_than_came_in_is_found() {
    let payment = PaymentId::from_uuid(Uuid::from_u128(6));
    let (reference, refund) = ("pi_1".to_owned(), RefundId::from_uuid(Uuid::from_u128(7)));
    let (clearing, wallet) = (LedgerAccount::ProviderClearing(PROVIDER), LedgerAccount::Wallet(BUYER));
    let captured = Captured {
        account: BUYER,
        payment,
        provider: PROVIDER,
        reference: reference.clone(),
        transfer: transfer(clearing, wallet, 500),
    };
    let goes_back = |minor: i64| RefundRequested {
        account: BUYER,
        captured: usd(500),
        payment,
        provider: PROVIDER,
        reference: reference.clone(),
        refund,
        refunded: usd(minor),
        transfer: transfer(wallet, LedgerAccount::RefundsPayable, minor),
    };
    let good = [captured.clone().into(), goes_back(300).into(), goes_back(200).into()];
    assert_eq!(broken(&good), []);
    let much = [funded(1000, "a"), captured.clone().into(), goes_back(300).into(), goes_back(201).into()];
    assert_eq!(broken(&much), [(Invariant::I6, 4)]);
    assert_eq!(broken(&[captured.clone().into(), captured.into()]), [(Invariant::I9, 2)]);
}

#[test]
fn a_market_that_holds_something_else_than_its_transfers_is_found() {
    let mut books = Books::default();
    books.event(1, &funded(10, "a"));
    books.close(1, &commands::Market::new());
    let found: Vec<_> = books.findings().filter(|(_, finding)| finding.broken.is_some()).collect();
    assert_eq!(found.iter().map(|(one, _)| *one).collect::<Vec<_>>(), [Invariant::I16]);
}
