//! Escrows that a buyer sets up out of his wallet after all.

use events::Rejection;
use events::ledger::LedgerAccount;
use events::order::{EscrowHeld, Paid};
use events::payment::{VoidReason, VoidRequested};
use events::rejection::OrderState;

use super::{awaited, shop, state, then_holds, transfer, wallet};
use crate::support::*;

#[test]
fn a_buyer_pays_out_of_his_wallet_what_a_card_did_not_bring() {
    let mut world = shop();
    let order = world.placed(BUYER, place_by_card(&[(TEA, 2)], usd(1000), Some(usd(300))));
    let payment = world.payment();
    let ship_by = world.now.plus_ms(14 * DAY_MS);
    world.when(BUYER, set_up(order, BUYER, SELLER, usd(1000)));
    let held =
        EscrowHeld { order, release: None, transfer: transfer(700, wallet(), LedgerAccount::Escrow(order)) };
    let void = VoidRequested {
        account: BUYER.account(),
        because: VoidReason::Cancelled,
        payment,
        provider: PROVIDER.account(),
    };
    let paid = Paid { accept_by: None, order, payment: None, ship_by };
    world
        .then_events([held.into(), paid.into(), void.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, set_up(order, BUYER, SELLER, usd(1000)))
        .then_unchanged();
    assert_eq!(
        (state(&world, order), world.market.orders.get(order).unwrap().card.clone()),
        (OrderState::Placed, None)
    );
    // What the card brings all the same is the buyer's, and what is cancelled goes back to the wallet alone.
    world
        .when(PROVIDER, report(payment, took("r", usd(700))))
        .then_types(["payment.captured.v1"])
        .when(BUYER, cancel(order))
        .then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    then_holds(&world, wallet(), 10_000 + 700);
}

#[test]
fn an_escrow_is_set_up_by_its_buyer_as_the_order_says() {
    let mut world = shop();
    let paid = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    let (order, _) = awaited(&mut world);
    let mismatch = |order, minor| Rejection::EscrowMismatch {
        amount: usd(minor),
        buyer: BUYER.account(),
        order,
        seller: SELLER.account(),
    };
    world
        .when(BUYER, set_up(order, OTHER_BUYER, SELLER, usd(1000)))
        .then_rejected([mismatch(order, 1000)])
        .when(BUYER, set_up(order, BUYER, OTHER_SELLER, usd(1000)))
        .then_rejected([mismatch(order, 1000)])
        .when(BUYER, set_up(order, BUYER, SELLER, usd(999)))
        .then_rejected([mismatch(order, 1000)])
        .when(OTHER_BUYER, set_up(order, OTHER_BUYER, SELLER, usd(1000)))
        .then_rejected([Rejection::NotYourOrder { order }])
        .when(BUYER, set_up(paid, BUYER, SELLER, usd(500)))
        .then_unchanged()
        .given(BUYER, cancel(paid))
        .when(BUYER, set_up(paid, BUYER, SELLER, usd(500)))
        .then_rejected([Rejection::OrderState { order: paid, state: OrderState::Cancelled }]);
}

#[test]
fn a_wallet_that_holds_too_little_sets_nothing_up() {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(999)));
    let (order, payment) = awaited(&mut world);
    world
        .when(BUYER, set_up(order, BUYER, SELLER, usd(1000)))
        .then_rejected([Rejection::InsufficientFunds { available: usd(999), required: usd(1000) }]);
    assert!(world.market.payments.get(payment).is_some(), "the card may still bring it");
}
