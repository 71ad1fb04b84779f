//! What becomes of an order whose chargeback is lost.

use commands::command::Standing;
use events::Event;
use events::chargeback::ShipmentCut;
use events::escrow::FreezeReason;
use events::ledger::LedgerAccount;
use events::order::CancelledBy;
use events::rejection::{OrderState, ReturnRejection};

use super::{available, held, moves, receivable, shop, stock};
use crate::support::chargebacks::*;
use crate::support::returns::{ask_return, taking_back};
use crate::support::*;

#[test]
fn what_was_not_shipped_is_cancelled_and_its_stock_is_free() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 2)], usd(2000), None);
    world.given(PROVIDER, says(payment, usd(2000), Standing::NeedsResponse));
    world.when(PROVIDER, says(payment, usd(2000), Standing::Lost)).then_types([
        "chargeback.lost.v1",
        "order.charged_back.v1",
        "order.cancelled.v2",
        "escrow.refunded.v2",
    ]);
    let Event::OrderCancelled(cancelled) = &world.events()[2] else { unreachable!() };
    assert_eq!(cancelled.by, CancelledBy::Chargeback);
    let Event::EscrowRefunded(refunded) = &world.events()[3] else { unreachable!() };
    assert_eq!((refunded.transfer, refunded.closed_as), (None, Some(OrderState::Cancelled)));
    assert_eq!(world.market.listings.get(listing(TEA)).unwrap().stock.reserved, 0);
    world.when(SELLER, ship(order));
    assert!(matches!(world.events()[0], Event::CommandRejected(_)));
}

#[test]
fn what_the_wallet_paid_of_it_goes_back_to_the_wallet() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), Some(usd(300)));
    world.given(PROVIDER, says(payment, usd(700), Standing::NeedsResponse));
    world.given(PROVIDER, says(payment, usd(700), Standing::Lost));
    let escrow = LedgerAccount::Escrow(order);
    let back = (escrow, LedgerAccount::Wallet(BUYER.account()), 300);
    assert_eq!(moves(&world).last(), Some(&back));
    assert_eq!(held(&world, LedgerAccount::Wallet(BUYER.account())), 10_000);
}

#[test]
fn a_shipment_is_worth_so_much_less() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 2)], usd(2000), None);
    world.given(SELLER, ship(order));
    world.given(PROVIDER, says(payment, usd(500), Standing::NeedsResponse));
    world.when(PROVIDER, says(payment, usd(500), Standing::Lost));
    world.then_types(["chargeback.lost.v1", "order.charged_back.v1"]);
    let Event::OrderChargedBack(charged) = &world.events()[1] else { unreachable!() };
    assert_eq!(charged.cuts, [ShipmentCut { amount: usd(500), shipment: shipment(1), tax: None }]);
    world.given(BUYER, confirm(order));
    // The fee is on what was released.
    assert_eq!(held(&world, available()), 1500 - 38);
    assert!(world.market.orders.get(order).is_none());
}

#[test]
fn a_shipment_of_which_all_is_lost_goes_its_way_for_nothing() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(SELLER, ship(order));
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    world.given(PROVIDER, says(payment, usd(1000), Standing::Lost));
    world.when(BUYER, confirm(order));
    assert_eq!(moves(&world), []);
    assert!(world.market.orders.get(order).is_none());
    assert_eq!((held(&world, available()), held(&world, LedgerAccount::PlatformFees)), (0, 0));
}

#[test]
fn what_is_left_and_what_is_on_its_way_bear_it_by_what_was_paid_for_them() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 4)], usd(4000), None);
    world.given(SELLER, ship_units(order, &[(TEA, 3)]));
    world.given(PROVIDER, says(payment, usd(2000), Standing::NeedsResponse));
    world.given(PROVIDER, says(payment, usd(2000), Standing::Lost));
    // Half of 1,000 is lost of what is left, and the other half goes to the wallet; 1,500 of what is on its way.
    assert_eq!(held(&world, LedgerAccount::Wallet(BUYER.account())), 10_500);
    world.given(BUYER, confirm(order));
    let seller = held(&world, available());
    let fee = held(&world, LedgerAccount::PlatformFees);
    assert_eq!((seller + fee, fee), (1500, 38));
}

#[test]
fn its_dispute_ends_since_the_bank_has_decided() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 2)], usd(2000), None);
    world.given(SELLER, ship(order));
    world.given(BUYER, freeze_money(order, 1, Some(usd(1600)), FreezeReason::NotReceived));
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    let (escrow, dispute) = (LedgerAccount::Escrow(order), LedgerAccount::Dispute(order));
    let to = super::chargebacks();
    assert_eq!(moves(&world), [(escrow, to, 400), (dispute, to, 600)]);
    world.when(PROVIDER, says(payment, usd(1000), Standing::Lost));
    let Event::OrderChargedBack(charged) = &world.events()[1] else { panic!("{:?}", world.events()) };
    assert_eq!(charged.unfrozen_of, [shipment(1)]);
    assert_eq!(moves(&world).last(), Some(&(dispute, escrow, 1000)));
    world.given(BUYER, confirm(order));
    assert_eq!(held(&world, available()), 975);
}

#[test]
fn a_chargeback_and_a_return_do_not_pay_for_the_same_units() {
    let mut world = taking_back(true);
    stock(&mut world);
    let (payment, order) = world.bought_by_card(&[(TEA, 2)], usd(2000), None);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    // Both units were paid to the seller; one is to come back.
    world.given(BUYER, ask_return(order, 1, &[(TEA, 1)]));
    world.given(PROVIDER, says(payment, usd(2000), Standing::NeedsResponse));
    assert_eq!((held(&world, available()), held(&world, receivable())), (0, -50));
    world.when(PROVIDER, says(payment, usd(2000), Standing::Lost));
    let Event::OrderChargedBack(charged) = &world.events()[1] else { panic!("{:?}", world.events()) };
    assert_eq!((charged.returns.len(), charged.amount), (1, usd(2000)));
    world.when(BUYER, ask_return(order, 1, &[(TEA, 1)]));
    world.then_rejected([ReturnRejection::NothingPaid { order }.into()]);
    // Nothing of it can be returned for money, so it ends.
    world.when_deadline().then_types(["order.closed.v1"]);
}

#[test]
fn a_part_of_it_that_the_bank_gave_back_is_not_returned_again() {
    let mut world = taking_back(true);
    stock(&mut world);
    let (payment, order) = world.bought_by_card(&[(TEA, 2)], usd(2000), None);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    world.given(PROVIDER, says(payment, usd(500), Standing::NeedsResponse));
    world.given(PROVIDER, says(payment, usd(500), Standing::Lost));
    world.when(BUYER, ask_return(order, 1, &[(TEA, 1)]));
    let Event::ReturnRequested(asked) = &world.events()[0] else { panic!("{:?}", world.events()) };
    assert_eq!(asked.lines[0].amount, usd(750), "of 1,500 that are left of two units");
}

#[test]
fn what_was_closed_long_ago_is_taken_from_its_seller() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    assert!(world.market.orders.get(order).is_none());
    world.when(PROVIDER, says(payment, usd(1000), Standing::Lost));
    world.then_types(["chargeback.opened.v1", "chargeback.lost.v1"]);
    assert_eq!((held(&world, available()), held(&world, receivable())), (0, -25));
}
