//! Orders that wait for their seller's word, in a market where sellers accept them.

use crate::support::*;
use commands::Refusal;
use commands::order::Stage;
use events::account::Role;
use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{Accepted, Cancelled, CancelledBy, EscrowRefunded, OrderNumber};
use events::rejection::OrderState;
use events::{Event, Rejection};

/// A market in which sellers have two days, and an order of three teas that waits.
fn waiting() -> (World, OrderId) {
    let mut world = World::accepting();
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    (world, order)
}

/// What cancels all of it and pays it back.
fn cancelled(order: OrderId, by: CancelledBy, reason: Option<&str>) -> [Event; 2] {
    let lines = line_units(&[(TEA, 3, usd(1500))]);
    let (from, to) = (LedgerAccount::Escrow(order), LedgerAccount::Wallet(BUYER.account()));
    let refunded = EscrowRefunded {
        buyer: BUYER.account(),
        closed_as: Some(OrderState::Cancelled),
        order,
        remaining: None,
        seller: SELLER.account(),
        transfer: Some(Transfer { amount: usd(1500), from, to }),
    };
    let reason = reason.map(str::to_owned);
    [Cancelled { by, lines, order, reason, shipping: None, uncharged: None }.into(), refunded.into()]
}

fn waits(world: &World, due: i64, waiting: Waiting) {
    let due = START.plus_ms(due);
    assert_eq!(world.market.next_deadline(), Some(DeadlineStamp { due, waiting }));
}

#[test]
fn an_order_waits_for_its_seller_and_its_time_to_ship_begins_with_his_word() {
    let (mut world, order) = waiting();
    let accept_by = START.plus_ms(2 * DAY_MS);
    match &world.events()[0] {
        Event::OrderPlaced(placed) => {
            assert_eq!(placed.accept_by, Some(accept_by));
            assert_eq!(placed.ship_by, START.plus_ms(16 * DAY_MS), "when he says yes in the last moment");
            assert_eq!(placed.number, Some(OrderNumber::FIRST));
        }
        other => panic!("{other:?}"),
    }
    waits(&world, 2 * DAY_MS, Waiting::AcceptBy { order });
    let open = world.market.orders.get(order).unwrap();
    assert_eq!((open.stage, open.state()), (Stage::AwaitingSeller { accept_by }, OrderState::AwaitingSeller));
    let ship_by = START.plus_ms(15 * DAY_MS);
    world
        .after(DAY_MS)
        .when(SELLER, accept(order))
        .then_events([Accepted { order, ship_by }.into()])
        .when_again()
        .then_repeat()
        .when(SELLER, accept(order))
        .then_unchanged();
    waits(&world, 15 * DAY_MS, Waiting::ShipBy { order });
    let open = world.market.orders.get(order).unwrap();
    assert_eq!((open.stage, open.ship_by, open.state()), (Stage::Confirmed, ship_by, OrderState::Placed));
    world.given(SELLER, ship(order)).when(SELLER, accept(order)).then_unchanged();
    world.given(BUYER, confirm(order)).when(SELLER, accept(order)).then_unchanged();
    assert_eq!(world.market.next_deadline(), None);
}

#[test]
fn an_order_that_is_declined_is_cancelled_and_paid_back_with_the_reason() {
    let (mut world, order) = waiting();
    let events = cancelled(order, CancelledBy::Account(Role::Seller), Some("broken on the shelf"));
    world
        .when(SELLER, decline(order))
        .then_events(events)
        .when_again()
        .then_repeat()
        .when(SELLER, decline(order))
        .then_unchanged()
        .then(|market| {
            assert_eq!(market.next_deadline(), None);
            assert_eq!(market.listings.get(listing(TEA)).unwrap().available(), 10);
            let wallet = LedgerAccount::Wallet(BUYER.account());
            assert_eq!(market.ledger.balance(wallet, usd(0).currency), usd(10_000));
        })
        .when(SELLER, accept(order))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Cancelled }])
        .when(SELLER, ship(order))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Cancelled }]);
}

#[test]
fn nobody_said_anything_in_time_and_the_buyer_is_paid_back() {
    let (mut world, order) = waiting();
    world.when_deadline().then_events(cancelled(order, CancelledBy::AcceptDeadline, None));
    assert_eq!(world.now, START.plus_ms(2 * DAY_MS));
    assert_eq!(world.market.next_deadline(), None);
    world
        .when(SELLER, accept(order))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Cancelled }])
        .when(SELLER, decline(order))
        .then_unchanged();
}

#[test]
fn until_the_seller_has_accepted_the_order_only_its_buyer_and_operators_cancel_it() {
    let (mut world, order) = waiting();
    let accept_by = START.plus_ms(2 * DAY_MS);
    for command in
        [ship(order), ship_units(order, &[(TEA, 1)]), cancel(order), cancel_units(order, &[(TEA, 1)])]
    {
        world.when(SELLER, command).then_rejected([Rejection::NotAccepted { accept_by, order }]);
    }
    for actor in [BUYER, PROVIDER] {
        let state = OrderState::AwaitingSeller;
        world.when(actor, confirm(order)).then_rejected([Rejection::OrderState { order, state }]);
    }
    waits(&world, 2 * DAY_MS, Waiting::AcceptBy { order });
    for (actor, role) in [(BUYER, Role::Buyer), (OPERATOR, Role::Operator)] {
        let (mut world, order) = waiting();
        let events = cancelled(order, CancelledBy::Account(role), Some("changed my mind"));
        world.when(actor, cancel(order)).then_events(events);
        assert_eq!(world.market.next_deadline(), None);
    }
}

#[test]
fn a_part_that_the_buyer_cancels_leaves_the_rest_waiting() {
    let (mut world, order) = waiting();
    world.given(BUYER, cancel_units(order, &[(TEA, 2)]));
    waits(&world, 2 * DAY_MS, Waiting::AcceptBy { order });
    world.given(SELLER, accept(order)).given(SELLER, ship(order)).given(BUYER, confirm(order));
    let seller = LedgerAccount::SellerAvailable(SELLER.account());
    assert_eq!(world.market.ledger.balance(seller, usd(0).currency), usd(487));
    // Where nothing is left, nothing waits.
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(1000)));
    world.given(BUYER, cancel_units(order, &[(TEA, 2)]));
    assert_eq!(world.market.next_deadline(), None);
    assert_eq!(world.market.orders.open_count(), 0);
}

#[test]
fn an_accepted_order_is_cancelled_and_not_declined() {
    let (mut world, order) = waiting();
    world.given(SELLER, accept(order)).when(SELLER, decline(order));
    world.then_rejected([Rejection::AlreadyAccepted { order }]).given(SELLER, cancel(order));
    // Where nobody waits for sellers, every order is accepted from the first.
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    world
        .when(SELLER, accept(order))
        .then_unchanged()
        .when(SELLER, decline(order))
        .then_rejected([Rejection::AlreadyAccepted { order }]);
    let state = OrderState::Completed;
    world.given(SELLER, ship(order)).given(BUYER, confirm(order)).when(SELLER, decline(order));
    world.then_rejected([Rejection::OrderState { order, state }]);
}

#[test]
fn only_the_orders_own_seller_has_a_word() {
    let (mut world, order) = waiting();
    let no_role =
        || Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    for command in [accept as fn(_) -> _, decline] {
        world.when(OTHER_SELLER, command(order)).then_rejected([Rejection::NotYourOrder { order }]);
        for actor in [BUYER, OPERATOR, PROVIDER, REGISTRAR] {
            world.when(actor, command(order)).then_refused(no_role());
        }
        let unknown = OrderId::derive(BUYER.account(), cid(START, 999), 0);
        world.when(SELLER, command(unknown)).then_rejected([Rejection::OrderUnknown { order: unknown }]);
    }
    world.given(BUYER, cancel(order));
    for command in [accept as fn(_) -> _, decline] {
        world.when(OTHER_SELLER, command(order)).then_rejected([Rejection::NotYourOrder { order }]);
    }
}
