//! Returns as the books check them: what is right is, and each way in which it could be wrong is found.

use events::escrow::{Frozen, Settled};
use events::ids::AccountId;
use events::order::{Closed, Delivered, DeliveryProof, EscrowReleased, ReleaseCondition, ShippingCharge};
use events::rejection::OrderState;
use events::returns::{DecidedBy, Deduction, Ended, ReceivedUnits, ReturnEnd, ReturnReason};
use events::{Quantity, account::Role};
use uuid::Uuid;

use super::*;

const BUYER: AccountId = AccountId::from_uuid(Uuid::from_u128(1));
const SELLER: AccountId = AccountId::from_uuid(Uuid::from_u128(2));
const ORDER: OrderId = OrderId::from_uuid(Uuid::from_u128(3));
const TEA: ListingId = ListingId::from_uuid(Uuid::from_u128(4));
const DAY_MS: i64 = 86_400_000;
const WALLET: LedgerAccount = LedgerAccount::Wallet(BUYER);
const EARNED: LedgerAccount = LedgerAccount::SellerAvailable(SELLER);

fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn transfer(amount: i64, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount: usd(amount), from, to }
}

fn tea(quantity: u32, amount: i64, tax: i64) -> LineUnits {
    LineUnits {
        amount: usd(amount),
        listing: TEA,
        locations: vec![],
        quantity: Quantity::new(quantity).unwrap(),
        subsidy: None,
        tax: Some(usd(tax)),
    }
}

/// Three teas for 12.00 with 2.00 of taxes and a delivery for 3.00 are delivered at day 1, and taken back for 30 days.
fn delivered() -> Returns {
    let mut books = Returns::default();
    let terms = ReturnTerms { gives_fee_back: true, ..ReturnTerms::usual(30 * DAY_MS) };
    books.opened(Some(&terms));
    let shipment = ShipmentNumber::FIRST;
    let shipped = Shipped {
        carrier: None,
        delivery_due: at(0),
        lines: vec![tea(3, 1200, 200)],
        order: ORDER,
        shipment,
        shipping: Some(ShippingCharge { amount: usd(300), tax: None }),
        tracking: None,
    };
    let delivered = Delivered {
        confirmed_by: DeliveryProof::Buyer,
        inspection_ends: at(0),
        order: ORDER,
        release_due: None,
        return_by: Some(at(31 * DAY_MS)),
        shipment,
    };
    for event in [shipped.into(), delivered.into()] {
        assert_eq!(books.enter(&event), None);
    }
    books
}

/// The same, and the seller was paid: 15.00 less taxes of 2.00 and a fee of 0.33.
fn paid() -> Returns {
    let mut books = delivered();
    let from = LedgerAccount::Escrow(ORDER);
    let released = EscrowReleased {
        buyer: BUYER,
        closed_as: None,
        condition: ReleaseCondition::BuyerConfirmed,
        kept_until: None,
        order: ORDER,
        remaining: None,
        seller: SELLER,
        shipment: ShipmentNumber::FIRST,
        transfers: vec![
            transfer(1267, from, EARNED),
            transfer(33, from, LedgerAccount::PlatformFees),
            transfer(200, from, LedgerAccount::PlatformTax),
        ],
        with: vec![],
    };
    assert_eq!(books.enter(&released.into()), None);
    books
}

fn requested(lines: Vec<LineUnits>, day: i64) -> Event {
    Requested {
        answer_by: at((day + 2) * DAY_MS),
        buyer: BUYER,
        lines,
        note: None,
        number: ReturnNumber::FIRST,
        order: ORDER,
        reason: ReturnReason::ChangedMind,
        replacement: None,
        seller: SELLER,
        shipment: ShipmentNumber::FIRST,
    }
    .into()
}

fn received(intact: u32, damaged: u32, keeps: Option<i64>) -> Event {
    let deduction = keeps.map(|minor| {
        let (amount, note) = (usd(minor), "scratched".to_owned());
        Deduction { amount, appeal_by: at(0), note }
    });
    Received {
        by: DecidedBy::Seller,
        deduction,
        lines: vec![ReceivedUnits { damaged, intact, listing: TEA, missing: 0, wrong: 0 }],
        location: None,
        number: ReturnNumber::FIRST,
        order: ORDER,
    }
    .into()
}

/// What goes back: all of it, what is kept, the tax in it; from the seller, the fee and the tax.
fn refunded([amount, kept, tax]: [i64; 3], [seller, fee, taxes]: [i64; 3]) -> Event {
    let some = |minor| Some(usd(minor)).filter(Money::is_positive);
    let from = [(EARNED, seller), (LedgerAccount::PlatformFees, fee), (LedgerAccount::PlatformTax, taxes)];
    let transfers = from.into_iter().filter(|(_, minor)| *minor > 0);
    Refunded {
        amount: usd(amount),
        by: DecidedBy::Seller,
        deduction: some(kept),
        note: None,
        number: ReturnNumber::FIRST,
        order: ORDER,
        replaced_by: None,
        shipment: ShipmentNumber::FIRST,
        subsidy: None,
        tax: some(tax),
        transfers: transfers.map(|(from, minor)| transfer(minor, from, WALLET)).collect(),
    }
    .into()
}

#[track_caller]
fn then_right(books: &mut Returns, event: &Event) {
    assert_eq!(books.enter(event), Some((ORDER, None)), "{event:?}");
}

#[track_caller]
fn then_wrong(books: &mut Returns, event: &Event) {
    let found = books.enter(event);
    assert!(matches!(found, Some((ORDER, Some(_)))), "{event:?}: {found:?}");
}

#[test]
fn what_was_paid_for_two_of_three_comes_back_with_its_tax_and_its_part_of_the_fee() {
    let mut books = paid();
    then_right(&mut books, &requested(vec![tea(2, 800, 134)], 10));
    then_right(&mut books, &received(2, 0, None));
    // Of 13.00 without taxes 6.66 go back, and of 33 cents 17.
    then_right(&mut books, &refunded([800, 0, 134], [649, 17, 134]));
    let closed = Closed { buyer: BUYER, order: ORDER, seller: SELLER, state: OrderState::Completed };
    then_right(&mut books, &closed.into());
}

#[test]
fn another_price_or_tax_or_unit_than_was_paid_for_is_found() {
    for wrong in
        [vec![tea(2, 801, 134)], vec![tea(2, 800, 133)], vec![tea(4, 1200, 200)], vec![tea(1, 800, 134)]]
    {
        then_wrong(&mut paid(), &requested(wrong, 10));
    }
    let late = requested(vec![tea(2, 800, 134)], 32);
    then_wrong(&mut paid(), &late);
    let mut books = paid();
    then_right(&mut books, &requested(vec![tea(3, 1200, 200)], 10));
    then_right(&mut books, &received(3, 0, None));
    then_right(&mut books, &refunded([1200, 0, 200], [975, 25, 200]));
    then_wrong(&mut books, &requested(vec![tea(1, 400, 66)], 10));
}

#[test]
fn money_from_elsewhere_than_the_terms_say_is_found() {
    for (said, from) in [
        ([800, 0, 134], [648, 18, 134]),
        ([800, 0, 134], [666, 0, 134]),
        ([800, 0, 134], [650, 17, 133]),
        ([900, 0, 134], [749, 17, 134]),
        ([700, 100, 117], [568, 15, 117]),
    ] {
        let mut books = paid();
        then_right(&mut books, &requested(vec![tea(2, 800, 134)], 10));
        then_right(&mut books, &received(2, 0, None));
        then_wrong(&mut books, &refunded(said, from));
    }
}

#[test]
fn more_kept_than_was_paid_for_what_is_not_intact_is_found() {
    let mut books = paid();
    then_right(&mut books, &requested(vec![tea(2, 800, 134)], 10));
    then_wrong(&mut books, &received(1, 1, Some(401)));
    let mut books = paid();
    then_right(&mut books, &requested(vec![tea(2, 800, 134)], 10));
    then_right(&mut books, &received(1, 1, Some(400)));
    // The tax in what is kept stays where it is.
    then_right(&mut books, &refunded([400, 400, 67], [325, 8, 67]));
    let mut books = paid();
    then_right(&mut books, &requested(vec![tea(2, 800, 134)], 10));
    then_wrong(&mut books, &received(1, 0, None));
}

fn frozen(minor: i64) -> Event {
    Frozen {
        by: Role::Buyer,
        due: at(0),
        note: None,
        order: ORDER,
        reason: FreezeReason::Return,
        remaining: None,
        shipment: ShipmentNumber::FIRST,
        subsidy: None,
        tax: Some(usd(134)),
        transfer: transfer(minor, LedgerAccount::Escrow(ORDER), LedgerAccount::Dispute(ORDER)),
    }
    .into()
}

fn settled(back: i64, kept: i64) -> Event {
    let from = LedgerAccount::Dispute(ORDER);
    let parts = [(WALLET, back), (EARNED, kept)].into_iter().filter(|(_, minor)| *minor > 0);
    Settled {
        buyer: BUYER,
        by: SettledBy::Return,
        closed_as: None,
        deadline: None,
        kept_until: None,
        note: None,
        order: ORDER,
        remaining: None,
        seller: SELLER,
        shipment: ShipmentNumber::FIRST,
        transfers: parts.map(|(to, minor)| transfer(minor, from, to)).collect(),
    }
    .into()
}

#[test]
fn what_is_in_escrow_is_frozen_as_it_was_asked_for_and_settled_as_the_return_says() {
    let asked = |books: &mut Returns| then_right(books, &requested(vec![tea(2, 800, 134)], 10));
    let mut books = delivered();
    asked(&mut books);
    then_wrong(&mut books, &frozen(799));
    for (back, kept, is_right) in [(800, 0, true), (799, 1, false)] {
        let mut books = delivered();
        asked(&mut books);
        then_right(&mut books, &frozen(800));
        then_right(&mut books, &received(2, 0, None));
        then_right(&mut books, &refunded([800, 0, 134], [0, 0, 0]));
        match is_right {
            true => then_right(&mut books, &settled(back, kept)),
            false => then_wrong(&mut books, &settled(back, kept)),
        }
    }
}

#[test]
fn units_of_a_return_that_came_to_nothing_may_come_back_and_none_is_open_at_the_end() {
    let ended = |outcome| -> Event {
        Ended { note: None, number: ReturnNumber::FIRST, order: ORDER, outcome }.into()
    };
    let mut books = paid();
    then_wrong(&mut books, &ended(ReturnEnd::Expired));
    then_right(&mut books, &requested(vec![tea(3, 1200, 200)], 10));
    then_right(&mut books, &ended(ReturnEnd::Expired));
    then_right(&mut books, &requested(vec![tea(3, 1200, 200)], 10));
    let closed = Closed { buyer: BUYER, order: ORDER, seller: SELLER, state: OrderState::Completed };
    then_wrong(&mut books, &closed.into());
}
