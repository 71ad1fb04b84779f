//! Orders that their buyer and their seller agree to change before all of it is shipped.

mod answers;
mod money;
mod refused;

use crate::support::changes::*;
use crate::support::*;
use events::account::Role;
use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::order::change::{ChangeProblem, ChangeProposed, Changed, DifferenceDue, LineChangeProblem};
use events::order::{
    Cancelled, CancelledBy, EscrowHeld, EscrowRefunded, FeeQuote, Line, LinePrice, Rounding,
};
use events::{Event, Rejection};

/// Tea for 5 dollars, pots for 25, cups of another seller for 3, and a buyer with 100 dollars.
fn shop() -> World {
    stocked(World::new())
}

fn stocked(mut world: World) -> World {
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(SELLER, POT, usd(2500), 3)
        .given_listing(OTHER_SELLER, CUP, usd(300), 10)
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    world
}

/// Three teas for 15 dollars.
fn ordered() -> (World, OrderId) {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    (world, order)
}

fn wallet() -> LedgerAccount {
    LedgerAccount::Wallet(BUYER.account())
}

fn escrow(order: OrderId) -> LedgerAccount {
    LedgerAccount::Escrow(order)
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

fn reserved(world: &World, n: u64) -> u64 {
    world.market.listings.get(listing(n)).unwrap().stock.reserved
}

/// What is added of a listing at its price.
fn added(n: u64, quantity: u32, each: i64) -> Line {
    Line {
        discounts: vec![],
        final_sale: false,
        listing: listing(n),
        listing_version: 1,
        locations: vec![],
        price: LinePrice::Unit(usd(each)),
        quantity: units(quantity),
        tax: None,
        total: usd(each * i64::from(quantity)),
    }
}

fn fee(minor: i64) -> FeeQuote {
    let rounding = Rounding::HalfAwayFromZero;
    FeeQuote { amount: usd(minor), bps: 250, fixed_minor: 0, max_minor: None, min_minor: None, rounding }
}

fn refused(order: OrderId, problem: ChangeProblem) -> Rejection {
    Rejection::OrderChange { order, problem }
}

fn wrong_line(order: OrderId, n: u64, problem: LineChangeProblem) -> Rejection {
    Rejection::LineChange { order, listing: listing(n), problem }
}

#[test]
fn a_dearer_change_is_signed_by_its_buyer_and_applies_when_the_seller_accepts_it() {
    let (mut world, order) = ordered();
    world.after(DAY_MS).when(BUYER, propose(order, &[(TEA, 4), (POT, 1)], Some(usd(3000))));
    let (change, due) = (world.change(), DifferenceDue::Collect(usd(3000)));
    let proposed = ChangeProposed {
        added: vec![added(TEA, 1, 500), added(POT, 1, 2500)],
        by: Role::Buyer,
        change,
        due,
        expires_at: world.now.plus_ms(2 * DAY_MS),
        fee: fee(113),
        max_difference: Some(usd(3000)),
        order,
        reason: Some("a party".to_owned()),
        removed: vec![],
        total: usd(4500),
    };
    world.then_events([proposed.clone().into()]).when_again().then_repeat();
    // Until it is accepted nothing is reserved or paid.
    assert_eq!((reserved(&world, TEA), reserved(&world, POT)), (3, 0));
    then_holds(&world, [(wallet(), 8500), (escrow(order), 1500)]);
    world.after(DAY_MS).when(SELLER, accept_change(order, change, None));
    let changed = Changed {
        added: proposed.added,
        by: Role::Seller,
        change,
        due,
        fee: fee(113),
        order,
        ship_by: world.now.plus_ms(14 * DAY_MS),
        total: usd(4500),
        version: 2,
    };
    let held = EscrowHeld { order, release: None, transfer: transfer(3000, wallet(), escrow(order)) };
    world.then_events([changed.into(), held.into()]).when_again().then_repeat();
    assert_eq!((reserved(&world, TEA), reserved(&world, POT)), (4, 1));
    then_holds(&world, [(wallet(), 5500), (escrow(order), 4500)]);
    assert_eq!(world.market.next_deadline().unwrap().due, world.now.plus_ms(14 * DAY_MS));
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    let fees = LedgerAccount::PlatformFees;
    then_holds(&world, [(LedgerAccount::SellerAvailable(SELLER.account()), 4387), (fees, 113)]);
    assert_eq!(world.market.orders.open_count(), 0);
}

#[test]
fn a_seller_proposes_other_goods_and_the_buyer_signs_the_difference_when_he_accepts() {
    let (mut world, order) = ordered();
    world.when(SELLER, propose(order, &[(TEA, 1), (POT, 1)], None));
    let (change, due) = (world.change(), DifferenceDue::Collect(usd(1500)));
    let Event::ChangeProposed(proposed) = &world.events()[0] else { panic!("{:?}", world.events()) };
    assert_eq!((proposed.by, proposed.due, proposed.max_difference), (Role::Seller, due, None));
    assert_eq!(proposed.removed, line_units(&[(TEA, 2, usd(1000))]));
    let unsigned = || refused(order, ChangeProblem::Unsigned { difference: usd(1500) });
    world
        .when(BUYER, accept_change(order, change, None))
        .then_rejected([unsigned()])
        .when(BUYER, accept_change(order, change, Some(usd(1499))))
        .then_rejected([unsigned()])
        .when(BUYER, accept_change(order, change, Some(eur(1500))))
        .then_rejected([unsigned()])
        .when(BUYER, accept_change(order, change, Some(usd(1500))));
    let changed = Changed {
        added: vec![added(POT, 1, 2500)],
        by: Role::Buyer,
        change,
        due,
        fee: fee(100),
        order,
        ship_by: world.now.plus_ms(14 * DAY_MS),
        total: usd(4000),
        version: 2,
    };
    let cancelled = Cancelled {
        by: CancelledBy::Change,
        lines: line_units(&[(TEA, 2, usd(1000))]),
        order,
        reason: None,
        shipping: None,
        uncharged: None,
    };
    let refunded = EscrowRefunded {
        buyer: BUYER.account(),
        closed_as: None,
        order,
        remaining: Some(usd(500)),
        seller: SELLER.account(),
        transfer: Some(transfer(1000, escrow(order), wallet())),
    };
    let held = EscrowHeld { order, release: None, transfer: transfer(2500, wallet(), escrow(order)) };
    world.then_events([changed.into(), cancelled.into(), refunded.into(), held.into()]);
    assert_eq!((reserved(&world, TEA), reserved(&world, POT)), (1, 1));
    then_holds(&world, [(wallet(), 7000), (escrow(order), 3000)]);
}

#[test]
fn all_that_was_ordered_can_be_changed_to_something_else_and_the_order_goes_on() {
    let (mut world, order) = ordered();
    world.given(SELLER, propose(order, &[(TEA, 0), (POT, 1)], None));
    let change = world.change();
    world.when(BUYER, accept_change(order, change, Some(usd(1000)))).then_types([
        "order.changed.v1",
        "order.cancelled.v2",
        "escrow.refunded.v2",
        "escrow.held.v1",
    ]);
    assert_eq!((reserved(&world, TEA), reserved(&world, POT)), (0, 1));
    let open = world.market.orders.get(order).unwrap();
    assert_eq!((open.units_left(), open.lines.len(), open.changes().unwrap().version), (1, 2, 2));
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    then_holds(&world, [(wallet(), 7500), (escrow(order), 0)]);
    assert_eq!(world.market.next_deadline(), None);
}

#[test]
fn what_a_line_was_raised_to_costs_the_same_for_each_unit_and_all_of_it_together() {
    let (mut world, order) = ordered();
    world
        .given(SELLER, commands::command::UpdateListing { price: Some(usd(601)), ..update(TEA) }.into())
        .given(SELLER, propose(order, &[(TEA, 4)], None));
    let change = world.change();
    world.given(BUYER, accept_change(order, change, Some(usd(601))));
    // 21.01 dollars for four: the first costs a cent more.
    for (minor, n) in [(526, 1), (525, 2), (525, 3), (525, 4)] {
        world.when(SELLER, ship_units(order, &[(TEA, 1)]));
        let Event::OrderShipped(shipped) = &world.events()[0] else { panic!("{:?}", world.events()) };
        assert_eq!((shipped.lines[0].amount, shipped.shipment.get()), (usd(minor), n));
    }
}

#[test]
fn an_order_is_changed_again_and_what_it_was_is_counted() {
    let (mut world, order) = ordered();
    for (n, version) in [(4, 2), (5, 3), (2, 4)] {
        world.given(SELLER, propose(order, &[(TEA, n)], None));
        let change = world.change();
        world.given(BUYER, accept_change(order, change, Some(usd(500))));
        assert_eq!(world.market.orders.get(order).unwrap().changes().unwrap().version, version);
    }
    then_holds(&world, [(wallet(), 9000), (escrow(order), 1000)]);
}
