use events::ids::{ChangeId, ListingId};
use events::ledger::{LedgerAccount, Transfer};
use events::market::FeePolicy;
use events::order::change::{ChangeWithdrawn, DifferenceDue};
use events::order::{EscrowRefunded, FeeQuote, Line, LinePrice, Placed};
use events::rejection::OrderState;
use events::{Quantity, Timestamp};
use uuid::Uuid;

use super::super::tests::{BUYER, ORDER, SELLER, broken, fee, funded, held, placed, released, usd};
use super::*;

// An order of two units for 1,000, of which one is changed for another thing for 700.

const CHANGE: ChangeId = ChangeId::from_uuid(Uuid::from_u128(8));

fn added() -> Line {
    Line {
        discounts: vec![],
        final_sale: false,
        listing: ListingId::from_uuid(Uuid::from_u128(6)),
        listing_version: 1,
        locations: vec![],
        price: LinePrice::Unit(usd(700)),
        quantity: Quantity::new(1).unwrap(),
        tax: None,
        total: usd(700),
    }
}

fn removed() -> LineUnits {
    LineUnits {
        amount: usd(500),
        listing: placed().lines[0].listing,
        locations: vec![],
        quantity: Quantity::new(1).unwrap(),
        subsidy: None,
        tax: None,
    }
}

fn proposed() -> ChangeProposed {
    ChangeProposed {
        added: vec![added()],
        by: Role::Buyer,
        change: CHANGE,
        due: DifferenceDue::Collect(usd(200)),
        expires_at: Timestamp::from_ms(0),
        // 42.5
        fee: fee(43),
        max_difference: Some(usd(200)),
        order: ORDER,
        reason: None,
        removed: vec![removed()],
        total: usd(1700),
    }
}

fn changed() -> Changed {
    Changed {
        added: vec![added()],
        by: Role::Seller,
        change: CHANGE,
        due: DifferenceDue::Collect(usd(200)),
        fee: fee(43),
        order: ORDER,
        ship_by: Timestamp::from_ms(0),
        total: usd(1700),
        version: 2,
    }
}

fn cancelled(units: LineUnits) -> Event {
    let (by, lines) = (CancelledBy::Change, vec![units]);
    Cancelled { by, lines, order: ORDER, reason: None, shipping: None, uncharged: None }.into()
}

fn refunded(minor: i64) -> Event {
    let (from, to) = (LedgerAccount::Escrow(ORDER), LedgerAccount::Wallet(BUYER));
    let transfer = Some(Transfer { amount: usd(minor), from, to });
    EscrowRefunded { buyer: BUYER, closed_as: None, order: ORDER, remaining: None, seller: SELLER, transfer }
        .into()
}

fn begin() -> Vec<Event> {
    vec![funded(2000, "a"), placed().into(), held(1000)]
}

/// Gives what is broken, and where, when these events follow the payment of the order at positions 4, 5, …
fn found(events: &[Event]) -> Vec<(Invariant, Position)> {
    broken(&[begin().as_slice(), events].concat())
}

#[test]
fn a_change_that_applies_as_it_was_proposed_keeps_every_promise() {
    let all = [
        proposed().into(),
        changed().into(),
        cancelled(removed()),
        refunded(500),
        held(700),
        released(1170, 30, Some(OrderState::Completed)),
    ];
    assert_eq!(found(&all), []);
}

#[test]
fn a_proposal_that_does_not_add_up_is_found() {
    let priced = |total: i64| Line { total: usd(total), ..added() };
    for (wrong, promise) in [
        (ChangeProposed { total: usd(1701), fee: fee(43), ..proposed() }, Invariant::I11),
        (ChangeProposed { added: vec![priced(701)], total: usd(1701), ..proposed() }, Invariant::I11),
        (ChangeProposed { due: DifferenceDue::Collect(usd(199)), ..proposed() }, Invariant::I11),
        (ChangeProposed { due: DifferenceDue::Refund(usd(200)), ..proposed() }, Invariant::I11),
        (ChangeProposed { max_difference: Some(usd(199)), ..proposed() }, Invariant::I11),
        (ChangeProposed { max_difference: None, ..proposed() }, Invariant::I11),
        (ChangeProposed { fee: fee(42), ..proposed() }, Invariant::I13),
    ] {
        assert_eq!(found(&[wrong.clone().into()]), [(promise, 4)], "{wrong:?}");
    }
    // What the buyer has to sign yet he signs when he accepts.
    let by_seller = ChangeProposed { by: Role::Seller, max_difference: None, ..proposed() };
    assert_eq!(found(&[by_seller.into()]), []);
}

#[test]
fn a_change_to_something_else_than_was_proposed_is_found() {
    let dearer = Line { price: LinePrice::Unit(usd(701)), ..added() };
    for wrong in [
        Changed { added: vec![dearer], ..changed() },
        Changed { due: DifferenceDue::Nothing, ..changed() },
        Changed { fee: fee(42), ..changed() },
        Changed { version: 3, ..changed() },
        Changed { by: Role::Buyer, ..changed() },
        Changed { change: ChangeId::from_uuid(Uuid::from_u128(9)), ..changed() },
    ] {
        let found = found(&[proposed().into(), wrong.clone().into()]);
        assert_eq!(found, [(Invariant::I11, 5)], "{wrong:?}");
    }
    let withdrawn = ChangeWithdrawn { by: Role::Buyer, change: CHANGE, order: ORDER };
    assert_eq!(found(&[proposed().into(), withdrawn.into(), changed().into()]), [(Invariant::I11, 6)]);
}

#[test]
fn a_change_of_which_other_units_go_or_too_little_comes_in_is_found() {
    let begin = [proposed().into(), changed().into()];
    let other = LineUnits { amount: usd(499), ..removed() };
    assert_eq!(found(&[&begin[..], &[cancelled(other)]].concat()), [(Invariant::I11, 6)]);
    let short = [cancelled(removed()), refunded(500), held(699)];
    assert_eq!(found(&[&begin[..], &short].concat()), [(Invariant::I11, 8)]);
}

#[test]
fn a_change_of_which_a_part_is_left_undone_is_found() {
    let mut books = Books { policy: Some(FeePolicy::default()), ..Books::default() };
    let events = [begin(), vec![proposed().into(), changed().into(), cancelled(removed())]].concat();
    for (position, event) in (1..).zip(&events) {
        books.event(position, event);
    }
    books.check_done(6, &changed());
    let (_, finding) = books.findings().find(|(one, _)| *one == Invariant::I11).unwrap();
    assert_eq!(finding.broken.unwrap().position, 6, "nothing was paid for what was added");
}

#[test]
fn a_fee_that_was_taken_before_a_change_made_its_share_smaller_stays() {
    let fixed = FeePolicy::new(0, 100, 0, None).unwrap();
    let mut books = Books { policy: Some(fixed), ..Books::default() };
    let quoted = FeeQuote { amount: usd(100), bps: 0, fixed_minor: 100, ..fee(0) };
    let events = [
        funded(2000, "a"),
        Placed { fee: quoted, ..placed() }.into(),
        held(1000),
        released(450, 50, None),
        ChangeProposed {
            removed: vec![],
            due: DifferenceDue::Collect(usd(700)),
            max_difference: Some(usd(700)),
            fee: quoted,
            ..proposed()
        }
        .into(),
        Changed { due: DifferenceDue::Collect(usd(700)), fee: quoted, ..changed() }.into(),
        held(700),
        // Of 1,700 these are 59, and with the rest it is 100.
        released(491, 9, None),
        released(659, 41, Some(OrderState::Completed)),
    ];
    for (position, event) in (1..).zip(&events) {
        books.event(position, event);
    }
    let wrong: Vec<_> = books.findings().filter(|(_, finding)| finding.broken.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
