//! An order of 1,000, two units, of which the platform pays a tenth.

use events::promotion::{Subsidized, SubsidyReturned};

use super::*;

fn by_platform() -> Placed {
    let mut placed = placed();
    let discount = Discount { amount: usd(100), paid_by: PaidBy::Platform, promotion: PROMOTION };
    placed.lines[0].discounts = vec![discount];
    placed
}

fn of_platform(seller: Option<AccountId>) -> Event {
    let [.., Event::PromotionCreated(created)] = facts(tenth(), None) else { panic!("it is made above") };
    Created { seller, ..created }.into()
}

fn subsidized(minor: i64) -> Event {
    let transfer = transfer(LedgerAccount::PlatformPromotions, LedgerAccount::Escrow(ORDER), minor);
    Subsidized { order: ORDER, transfer }.into()
}

fn returned(minor: i64) -> Event {
    let transfer = transfer(LedgerAccount::Escrow(ORDER), LedgerAccount::PlatformPromotions, minor);
    SubsidyReturned { order: ORDER, transfer }.into()
}

/// One of its two units is cancelled.
fn one_cancelled(subsidy: i64) -> Event {
    let (by, quantity) = (CancelledBy::Account(Role::Buyer), Quantity::new(1).unwrap());
    let (listing, subsidy) = (ListingId::from_uuid(Uuid::from_u128(5)), Some(usd(subsidy)));
    let lines =
        vec![LineUnits { amount: usd(500), listing, locations: vec![], quantity, subsidy, tax: None }];
    Cancelled { by, lines, order: ORDER, reason: None, shipping: None, uncharged: None }.into()
}

fn started() -> [Event; 5] {
    [of_platform(None), funded(900, "a"), by_platform().into(), subsidized(100), held(900)]
}

#[test]
fn an_order_of_which_the_platform_pays_a_part_keeps_every_promise() {
    assert_eq!(broken(&[&started()[..], &[released(975, 25, Some(OrderState::Completed))]].concat()), []);
    let half = [one_cancelled(50), returned(50), refunded(450, None)];
    let rest = [one_cancelled(50), returned(50), refunded(450, Some(OrderState::Cancelled))];
    assert_eq!(broken(&[&started()[..], &half, &rest].concat()), []);
    let split = [
        transfer(LedgerAccount::Dispute(ORDER), LedgerAccount::SellerAvailable(SELLER), 487),
        transfer(LedgerAccount::Dispute(ORDER), LedgerAccount::PlatformFees, 13),
        transfer(LedgerAccount::Dispute(ORDER), LedgerAccount::Wallet(BUYER), 450),
        transfer(LedgerAccount::Dispute(ORDER), LedgerAccount::PlatformPromotions, 50),
    ];
    assert_eq!(broken(&[&started()[..], &disputed(split.to_vec())].concat()), []);
}

/// All of it is shipped and frozen, and leaves the dispute like this.
fn disputed(transfers: Vec<Transfer>) -> [Event; 3] {
    let quantity = Quantity::new(2).unwrap();
    let (listing, subsidy) = (ListingId::from_uuid(Uuid::from_u128(5)), Some(usd(100)));
    let shipped = Shipped {
        carrier: None,
        delivery_due: Timestamp::from_ms(0),
        lines: vec![LineUnits {
            amount: usd(1000),
            listing,
            locations: vec![],
            quantity,
            subsidy,
            tax: None,
        }],
        order: ORDER,
        shipment: ShipmentNumber::FIRST,
        shipping: None,
        tracking: None,
    };
    let Event::EscrowFrozen(whole) = frozen(1000) else { panic!("it is made above") };
    let Event::EscrowSettled(settled) = settled(975, 25, 0, Some(OrderState::Completed)) else {
        panic!("it is made above")
    };
    let settled = Settled { transfers, ..settled };
    [shipped.into(), Frozen { subsidy, ..whole }.into(), settled.into()]
}

#[test]
fn a_part_of_the_platform_that_is_not_what_it_has_to_be_is_found() {
    let start = |wrong: Event, n: usize| {
        let mut events = started();
        events[n] = wrong;
        broken(&events)
    };
    assert_eq!(start(subsidized(99), 3), [(Invariant::I11, 5), (Invariant::I19, 4)]);
    // What a seller pays is none of the platform's, and the other way round.
    assert_eq!(start(of_platform(Some(SELLER)), 0), [(Invariant::I11, 3)]);
    let then = |events: &[Event]| broken(&[&started()[..], events].concat());
    assert_eq!(then(&[one_cancelled(49), returned(49), refunded(451, None)])[0], (Invariant::I19, 6));
    assert_eq!(then(&[one_cancelled(50), returned(49), refunded(451, None)]), [(Invariant::I19, 8)]);
    assert_eq!(then(&[one_cancelled(50), refunded(500, None)]), [(Invariant::I19, 7)]);
    let all_to_buyer = [transfer(LedgerAccount::Dispute(ORDER), LedgerAccount::Wallet(BUYER), 1000)];
    assert_eq!(then(&disputed(all_to_buyer.to_vec())), [(Invariant::I19, 8)]);
}
