//! From where the money of a chargeback is taken, in which order, and that nobody is paid twice.

use commands::command::{ReportedOutcome, Standing};
use events::ids::RefundId;
use events::ledger::LedgerAccount;
use events::market::{EscrowTerms, ReserveTerms};
use events::money::Bps;
use events::{Event, Rejection};

use super::{available, chargebacks, held, moves, receivable, shop, stock};
use crate::support::chargebacks::*;
use crate::support::*;

fn escrow(order: events::ids::OrderId) -> LedgerAccount {
    LedgerAccount::Escrow(order)
}

fn wallet() -> LedgerAccount {
    LedgerAccount::Wallet(BUYER.account())
}

#[test]
fn what_is_in_escrow_is_taken_from_there_and_goes_back_there() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    assert_eq!(moves(&world), [(escrow(order), chargebacks(), 1000)]);
    world.given(PROVIDER, says(payment, usd(1000), Standing::Won));
    assert_eq!(moves(&world), [(chargebacks(), escrow(order), 1000)]);
}

#[test]
fn what_was_released_is_taken_from_what_is_kept_from_what_he_has_and_is_owed() {
    let kept = ReserveTerms::new(Bps::new(1_000).unwrap(), 7 * DAY_MS).unwrap();
    let escrow = Some(EscrowTerms::default().keeping(Some(kept)));
    let mut world = World::on(Terms { escrow, ..Terms::default() });
    stock(&mut world);
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    let reserve = LedgerAccount::SellerReserve(SELLER.account());
    assert_eq!((held(&world, reserve), held(&world, available())), (98, 877));
    let until = world.market.reserves.of(SELLER.account()).next().unwrap().0;
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    let all = [(reserve, 98), (available(), 877), (receivable(), 25)];
    assert_eq!(moves(&world), all.map(|(from, minor)| (from, chargebacks(), minor)));
    let Event::ChargebackOpened(opened) = &world.events()[0] else { unreachable!() };
    assert_eq!(opened.kept_until, [until]);
    assert!(world.market.next_deadline().is_none(), "nothing is kept any more");
    world.given(PROVIDER, says(payment, usd(1000), Standing::Won));
    assert_eq!(moves(&world), all.map(|(to, minor)| (chargebacks(), to, minor)));
    assert_eq!(world.market.reserves.of(SELLER.account()).next(), Some((until, usd(98))));
}

#[test]
fn what_would_be_his_by_now_is_not_kept_again() {
    let kept = ReserveTerms::new(Bps::new(1_000).unwrap(), 7 * DAY_MS).unwrap();
    let escrow = Some(EscrowTerms::default().keeping(Some(kept)));
    let mut world = World::on(Terms { escrow, ..Terms::default() });
    stock(&mut world);
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    world.after(9 * DAY_MS);
    world.given(PROVIDER, says(payment, usd(1000), Standing::Won));
    assert_eq!((held(&world, available()), held(&world, receivable())), (975, 0));
}

#[test]
fn what_no_order_took_is_taken_from_the_wallet_and_what_is_short_is_owed() {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(400), 10).given(BUYER, request(usd(1000)));
    let payment = world.payment();
    world.given(PROVIDER, report(payment, took("r", usd(1000))));
    world.given(BUYER, place(&[(TEA, 1)], usd(400)));
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    let owed = LedgerAccount::BuyerReceivable(BUYER.account());
    assert_eq!(moves(&world), [(wallet(), chargebacks(), 600), (owed, chargebacks(), 400)]);
    world.given(PROVIDER, says(payment, usd(1000), Standing::Won));
    assert_eq!(moves(&world), [(chargebacks(), wallet(), 600), (chargebacks(), owed, 400)]);
}

#[test]
fn the_orders_of_a_payment_bear_it_by_what_each_has_of_it() {
    let mut world = shop();
    let (payment, tea) = world.bought_by_card(&[(TEA, 1), (CUP, 1)], usd(1400), None);
    let cup = world.market.payments.orders_of(payment).iter().copied().find(|id| *id != tea).unwrap();
    world.given(PROVIDER, says(payment, usd(701), Standing::NeedsResponse));
    let mut parts = [(tea, 1000), (cup, 400)];
    parts.sort_unstable();
    // Of the first orders together, rounded down.
    let first = 701 * parts[0].1 / 1400;
    assert_eq!(
        moves(&world),
        [(escrow(parts[0].0), chargebacks(), first), (escrow(parts[1].0), chargebacks(), 701 - first)]
    );
}

#[test]
fn an_order_that_has_given_its_part_back_bears_nothing() {
    let mut world = shop();
    let (payment, tea) = world.bought_by_card(&[(TEA, 1), (CUP, 1)], usd(1400), None);
    world.given(SELLER, cancel(tea));
    let cup = *world.market.payments.orders_of(payment).iter().next().unwrap();
    world.given(PROVIDER, says(payment, usd(400), Standing::NeedsResponse));
    assert_eq!(moves(&world), [(escrow(cup), chargebacks(), 400)]);
}

#[test]
fn a_part_that_the_wallet_paid_is_none_of_the_bank_s() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), Some(usd(300)));
    world.when(PROVIDER, says(payment, usd(701), Standing::NeedsResponse));
    assert!(matches!(world.events()[0], Event::CommandRejected(_)));
    world.given(PROVIDER, says(payment, usd(700), Standing::NeedsResponse));
    assert_eq!(moves(&world), [(escrow(order), chargebacks(), 700)]);
    assert_eq!(held(&world, escrow(order)), 300);
}

/// A payment into the wallet of which a refund is on its way when the bank takes all of it.
fn refunded_and_disputed() -> (World, events::ids::PaymentId, RefundId) {
    let mut world = World::new();
    world.given(BUYER, request(usd(1000)));
    let payment = world.payment();
    world.given(PROVIDER, report(payment, took("r", usd(1000))));
    world.given(BUYER, give_back(payment, usd(400)));
    let refund = world.refund();
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    (world, payment, refund)
}

#[test]
fn what_is_on_its_way_back_is_advanced_by_the_platform_and_not_taken_twice() {
    let (mut world, payment, refund) = refunded_and_disputed();
    let expense = LedgerAccount::PlatformExpense;
    assert_eq!(moves(&world), [(wallet(), chargebacks(), 600), (expense, chargebacks(), 400)]);
    let Event::ChargebackOpened(opened) = &world.events()[0] else { unreachable!() };
    assert_eq!(opened.advanced, Some(usd(400)));
    // No more of it goes back while it is disputed.
    let amount = usd(1);
    world.given(PROVIDER, fund(BUYER, usd(100)));
    world.when(BUYER, give_back(payment, amount));
    world.then_rejected([Rejection::PaymentAmount { payment, amount, most: usd(0) }]);
    // The provider refuses the refund: what comes back of it is the platform's.
    let outcome = ReportedOutcome::RefundFailed { code: text("charge_disputed"), refund };
    world.when(PROVIDER, report(payment, outcome));
    world.then_types(["payment.refund_failed.v1", "chargeback.covered.v1"]);
    assert_eq!(held(&world, expense), 0);
    assert_eq!(held(&world, wallet()), 100);
    world.given(PROVIDER, says(payment, usd(1000), Standing::Won));
    assert_eq!(held(&world, wallet()), 1100, "all of it is his again");
}

#[test]
fn a_refund_that_goes_through_beside_a_chargeback_costs_the_platform_what_it_advanced() {
    let (mut world, payment, refund) = refunded_and_disputed();
    let outcome = ReportedOutcome::Refunded { reference: text("re"), refund };
    world.given(PROVIDER, report(payment, outcome));
    world.given(PROVIDER, says(payment, usd(1000), Standing::Lost));
    assert_eq!(held(&world, LedgerAccount::PlatformExpense), -400);
    assert_eq!(held(&world, LedgerAccount::ProviderClearing(PROVIDER.account())), 400);
}

#[test]
fn what_is_lost_is_gone_at_the_provider() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    let clearing = LedgerAccount::ProviderClearing(PROVIDER.account());
    let before = held(&world, clearing);
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    assert_eq!(held(&world, clearing), before);
    world.given(PROVIDER, says(payment, usd(1000), Standing::Lost));
    assert_eq!((held(&world, clearing), held(&world, chargebacks())), (before + 1000, 0));
}
