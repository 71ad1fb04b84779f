use events::ids::{AccountId, ListingId};
use events::order::{Line, LineUnits, ShipmentNumber};
use events::returns::replacement::{NoReplacement, ReplacementGivenUp, ReplacementReserved, Replaces};
use events::returns::{DecidedBy, Ended, ReturnEnd, ReturnReason};
use events::{Money, Quantity, Timestamp};
use uuid::Uuid;

use super::super::tests::placed;
use super::*;

const BUYER: AccountId = AccountId::from_uuid(Uuid::from_u128(1));
const SELLER: AccountId = AccountId::from_uuid(Uuid::from_u128(2));
/// The order that is returned; what replaces it has the id of the books' usual order.
const FIRST: OrderId = OrderId::from_uuid(Uuid::from_u128(77));
const TEA: ListingId = ListingId::from_uuid(Uuid::from_u128(5));

fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

/// Two teas for 10.00, as the books' usual order has them.
fn wanted() -> Replacement {
    let order = placed();
    Replacement { lines: order.lines, order: order.order, release: None, total: order.total }
}

/// Two teas come back, for which so much was paid.
fn requested(paid: i64, replacement: Replacement) -> Event {
    let (amount, quantity) = (usd(paid), Quantity::new(2).unwrap());
    Requested {
        answer_by: Timestamp::from_ms(0),
        buyer: BUYER,
        lines: vec![LineUnits {
            amount,
            listing: TEA,
            locations: vec![],
            quantity,
            subsidy: None,
            tax: None,
        }],
        note: None,
        number: ReturnNumber::FIRST,
        order: FIRST,
        reason: ReturnReason::Damaged,
        replacement: Some(replacement),
        seller: SELLER,
        shipment: ShipmentNumber::FIRST,
    }
    .into()
}

fn units() -> Vec<ReplacementUnits> {
    vec![ReplacementUnits { listing: TEA, locations: vec![], quantity: Quantity::new(2).unwrap() }]
}

fn reserved(lines: Vec<ReplacementUnits>) -> Event {
    ReplacementReserved { lines, number: ReturnNumber::FIRST, order: FIRST }.into()
}

fn given_up(freed: Vec<ReplacementUnits>) -> Event {
    let why = NoReplacement::MoneyKept;
    ReplacementGivenUp { freed, number: ReturnNumber::FIRST, order: FIRST, why }.into()
}

fn refunded(replaced_by: Option<OrderId>, deduction: Option<Money>) -> Event {
    Refunded {
        amount: usd(1000),
        by: DecidedBy::Seller,
        deduction,
        note: None,
        number: ReturnNumber::FIRST,
        order: FIRST,
        replaced_by,
        shipment: ShipmentNumber::FIRST,
        subsidy: None,
        tax: None,
        transfers: vec![],
    }
    .into()
}

fn replacing() -> Placed {
    Placed { replaces: Some(Replaces { number: ReturnNumber::FIRST, order: FIRST }), ..placed() }
}

/// Two teas for which 10.00 were paid are to be replaced, and two others are reserved.
fn kept() -> Exchanges {
    let mut books = Exchanges::default();
    then_right(&mut books, &requested(1000, wanted()));
    then_right(&mut books, &reserved(units()));
    books
}

/// The same, and the money has gone back.
fn due() -> Exchanges {
    let mut books = kept();
    then_right(&mut books, &refunded(Some(wanted().order), None));
    books
}

#[track_caller]
fn then_right(books: &mut Exchanges, event: &Event) {
    assert_eq!(books.enter(event), Some((FIRST, None)), "{event:?}");
}

#[track_caller]
fn then_wrong(mut books: Exchanges, event: &Event) {
    let found = books.enter(event);
    assert!(matches!(found, Some((FIRST, Some(_)))), "{event:?}: {found:?}");
}

#[test]
fn what_comes_back_is_replaced_once_by_what_was_wanted() {
    let mut books = due();
    assert_eq!(books.not_placed(), Some(FIRST), "it is to be placed in the same commit");
    then_right(&mut books, &replacing().into());
    assert_eq!(books.not_placed(), None);
    then_wrong(books, &replacing().into());
}

#[test]
fn a_replacement_costs_no_more_than_was_paid() {
    then_wrong(Exchanges::default(), &requested(999, wanted()));
    let priced = |minor, listing| {
        let line =
            Line { price: LinePrice::Exchange, total: usd(minor), listing, ..wanted().lines.remove(0) };
        Replacement { lines: vec![line], total: usd(minor), ..wanted() }
    };
    then_right(&mut Exchanges::default(), &requested(900, priced(900, TEA)));
    then_right(&mut Exchanges::default(), &requested(900, priced(899, TEA)));
    // Neither less than need be, nor anything else for what was paid.
    then_wrong(Exchanges::default(), &requested(900, priced(898, TEA)));
    then_wrong(Exchanges::default(), &requested(900, priced(901, TEA)));
    let other = ListingId::from_uuid(Uuid::from_u128(6));
    then_wrong(Exchanges::default(), &requested(900, priced(900, other)));
    then_wrong(Exchanges::default(), &requested(1000, Replacement { total: usd(1), ..wanted() }));
    then_wrong(Exchanges::default(), &requested(1000, Replacement { lines: vec![], ..wanted() }));
}

#[test]
fn all_of_it_is_reserved_once_and_is_free_again_when_it_is_given_up() {
    let one = vec![ReplacementUnits { quantity: Quantity::new(1).unwrap(), ..units().remove(0) }];
    let mut books = Exchanges::default();
    then_right(&mut books, &requested(1000, wanted()));
    then_wrong(books, &reserved(one.clone()));
    then_wrong(kept(), &reserved(units()));
    then_wrong(kept(), &given_up(vec![]));
    then_wrong(kept(), &given_up(one));
    let mut books = kept();
    then_right(&mut books, &given_up(units()));
    assert_eq!(books.enter(&refunded(None, Some(usd(1)))), None, "it is a return as any other");
    then_wrong(books, &given_up(vec![]));
    let ended = Ended { note: None, number: ReturnNumber::FIRST, order: FIRST, outcome: ReturnEnd::Expired };
    then_wrong(kept(), &ended.into());
}

#[test]
fn it_is_placed_when_all_of_the_money_went_back_and_as_it_was_wanted() {
    then_wrong(kept(), &refunded(None, None));
    then_wrong(kept(), &refunded(Some(wanted().order), Some(usd(1))));
    then_wrong(kept(), &replacing().into());
    then_wrong(due(), &given_up(units()));
    then_wrong(due(), &Placed { total: usd(999), ..replacing() }.into());
    let elsewhere = events::location::Located {
        location: "berlin".parse().unwrap(),
        quantity: Quantity::new(1).unwrap(),
    };
    let line = Line { locations: vec![elsewhere], ..replacing().lines.remove(0) };
    then_wrong(due(), &Placed { lines: vec![line], ..replacing() }.into());
    then_wrong(Exchanges::default(), &refunded(Some(wanted().order), None));
}
