//! A part of a shipment's payment that is given back while the buyer keeps the units.

use crate::support::*;
use commands::Refusal;
use events::account::Role;
use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::order::{EscrowRefunded, Refunded};
use events::rejection::OrderState;
use events::{Money, Rejection};

/// Three teas and a pot for 40 dollars; two teas are on their way.
fn sent() -> (World, OrderId) {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(SELLER, POT, usd(2500), 2)
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 3), (POT, 1)], usd(4000)));
    world.given(SELLER, ship_units(order, &[(TEA, 2)]));
    (world, order)
}

#[track_caller]
fn then_has(world: &World, wallet: i64, escrow: (OrderId, i64), seller: i64, fees: i64) {
    let of = |account| world.market.ledger.balance(account, usd(0).currency).minor;
    let (buyer, earns) = (BUYER.account(), SELLER.account());
    let found = (of(LedgerAccount::Wallet(buyer)), of(LedgerAccount::Escrow(escrow.0)));
    assert_eq!(found, (wallet, escrow.1));
    let found = (of(LedgerAccount::SellerAvailable(earns)), of(LedgerAccount::PlatformFees));
    assert_eq!(found, (seller, fees));
}

#[test]
fn a_seller_or_an_operator_gives_back_a_part_and_the_seller_gets_the_rest() {
    for (actor, by) in [(SELLER, Role::Seller), (OPERATOR, Role::Operator)] {
        let (mut world, order) = sent();
        let (buyer, seller) = (BUYER.account(), SELLER.account());
        let (from, to) = (LedgerAccount::Escrow(order), LedgerAccount::Wallet(buyer));
        let (reason, remaining) = ("scratched".to_owned(), Some(usd(3700)));
        let transfer = Some(Transfer { amount: usd(300), from, to });
        world
            .when(actor, refund(order, 1, usd(300)))
            .then_events([
                Refunded {
                    amount: usd(300),
                    by,
                    order,
                    reason,
                    shipment: shipment(1),
                    subsidy: None,
                    tax: None,
                }
                .into(),
                EscrowRefunded { buyer, closed_as: None, order, remaining, seller, transfer }.into(),
            ])
            .when_again()
            .then_repeat();
        then_has(&world, 6300, (order, 3700), 0, 0);
        // Another one is given on top; in inspection too.
        world.given(PROVIDER, confirm(order)).given(actor, refund(order, 1, usd(200)));
        world.given(BUYER, confirm(order));
        then_has(&world, 6500, (order, 3000), 487, 13);
        world.given(SELLER, ship(order)).given(BUYER, confirm(order));
        then_has(&world, 6500, (order, 0), 3412, 88);
        let closed = world.market.orders.recently_closed(order).unwrap();
        assert_eq!(closed.state, OrderState::Completed);
    }
}

#[test]
fn no_more_is_given_back_than_the_shipment_holds() {
    let (mut world, order) = sent();
    let too_much = |n, amount: Money, most| Rejection::RefundAmount {
        amount,
        most: usd(most),
        order,
        shipment: shipment(n),
    };
    world
        .when(SELLER, refund(order, 1, usd(1001)))
        .then_rejected([too_much(1, usd(1001), 1000)])
        .when(SELLER, refund(order, 1, eur(1)))
        .then_rejected([too_much(1, eur(1), 1000)])
        .when(SELLER, refund(order, 1, usd(0)))
        .then_rejected([Rejection::AmountNotPositive])
        .when(SELLER, refund(order, 2, usd(1)))
        .then_rejected([Rejection::ShipmentUnknown { order, shipment: shipment(2), shipments: 1 }])
        .given(SELLER, refund(order, 1, usd(400)))
        .when(SELLER, refund(order, 1, usd(601)))
        .then_rejected([too_much(1, usd(601), 600)])
        .given(BUYER, confirm(order))
        .when(SELLER, refund(order, 1, usd(1)))
        .then_rejected([too_much(1, usd(1), 0)]);
}

#[test]
fn a_shipment_that_was_given_back_whole_pays_nobody_and_still_closes_its_order() {
    let (mut world, order) = sent();
    world
        .given(SELLER, cancel_units(order, &[(TEA, 1), (POT, 1)]))
        .given(SELLER, refund(order, 1, usd(1000)));
    then_has(&world, 10_000, (order, 0), 0, 0);
    world.when(BUYER, confirm(order)).then_types(["order.delivered.v2", "escrow.released.v2"]);
    assert_eq!(world.market.orders.open_count(), 0);
    assert_eq!(world.market.next_deadline(), None);
    world
        .when(SELLER, refund(order, 1, usd(1)))
        .then_rejected([Rejection::OrderState { order, state: OrderState::Completed }]);
}

#[test]
fn only_the_orders_seller_and_operators_give_back() {
    let (mut world, order) = sent();
    world.when(OTHER_SELLER, refund(order, 1, usd(1))).then_rejected([Rejection::NotYourOrder { order }]);
    for actor in [BUYER, PROVIDER] {
        let rule = "the account has no role that may give this command".into();
        world.when(actor, refund(order, 1, usd(1))).then_refused(Refusal::ScopeDenied { rule });
    }
    let unknown = OrderId::derive(BUYER.account(), cid(START, 999), 0);
    let rejection = Rejection::OrderUnknown { order: unknown };
    world.when(SELLER, refund(unknown, 1, usd(1))).then_rejected([rejection]);
}
