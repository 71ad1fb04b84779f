//! Promotions that the platform pays: the buyer pays less, the seller gets as much as without them, and what goes back goes to
//! each as much as he paid of it.

use commands::command::PaymentMethod;
use events::account::Role;
use events::escrow::FreezeReason;
use events::ledger::Transfer;
use events::order::{EscrowHeld, EscrowRefunded};
use events::payment::CaptureTime;
use events::promotion::{Subsidized, SubsidyReturned};
use events::rejection::OrderState;

use super::promotions;
use super::*;

const PLATFORM: LedgerAccount = LedgerAccount::PlatformPromotions;

fn platform_coupon(code: &str, gives: Benefit, uses: Option<u32>) -> CreatePromotion {
    CreatePromotion { code: Some(code.parse().unwrap()), uses, ..platform_promotion(gives) }
}

/// A shop where the platform pays 20 % of everything.
fn fifth_off() -> World {
    let mut world = shop();
    world.given(OPERATOR, platform_promotion(percent(2000)).into());
    world
}

#[track_caller]
fn then_holds<const N: usize>(world: &World, balances: [(LedgerAccount, i64); N]) {
    for (account, minor) in balances {
        assert_eq!(held(world, account), usd(minor), "{account}");
    }
    assert!(world.market.ledger.sums().values().all(|sum| *sum == 0));
}

fn escrow(order: OrderId) -> LedgerAccount {
    LedgerAccount::Escrow(order)
}

fn transfer(minor: i64, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount: usd(minor), from, to }
}

#[test]
fn operators_create_and_end_what_the_platform_pays_and_sellers_what_they_pay() {
    let mut world = shop();
    let wish = || platform_promotion(percent(2000));
    let missing = |actor: Actor, role| Rejection::RoleMissing { account: actor.account(), role };
    world
        .when(SELLER, wish())
        .then_rejected([missing(SELLER, Role::Operator)])
        .when(OPERATOR, promotion(percent(2000)))
        .then_rejected([missing(OPERATOR, Role::Seller)])
        .when(OPERATOR, CreatePromotion { listings: [listing(99)].into(), ..wish() })
        .then_rejected([Rejection::ListingUnknown { listing: listing(99) }])
        .when(OPERATOR, CreatePromotion { listings: [listing(TEA), listing(CUP)].into(), ..wish() });
    let promotion = world.promotion();
    let created = Created {
        code: None,
        from: world.now,
        gives: percent(2000),
        listings: [listing(TEA), listing(CUP)].into(),
        min_spend: None,
        promotion,
        seller: None,
        title: "Sale".to_owned(),
        until: None,
        uses: None,
        uses_per_account: None,
    };
    world
        .then_events([created.into()])
        .when_again()
        .then_repeat()
        .when(SELLER, end(promotion))
        .then_rejected([Rejection::NotYourPromotion { promotion }])
        .when(OTHER_OPERATOR, end(promotion))
        .then_events([Ended { promotion, seller: None }.into()]);
    for _ in 0..PROMOTIONS_MAX {
        world.given(OPERATOR, wish().into());
    }
    world
        .when(OTHER_OPERATOR, wish())
        .then_rejected([Rejection::TooManyPromotions { max: PROMOTIONS_MAX as u32 }])
        .given(SELLER, super::promotion(percent(1)).into());
}

#[test]
fn the_buyer_pays_less_and_the_platform_the_rest_in_the_same_commit() {
    let mut world = fifth_off();
    world.when(BUYER, place(&[(TEA, 2)], usd(1600)));
    let order = placed(&world).remove(0);
    let promotion = *world.market.promotions.iter().next().unwrap().0;
    let discount = Discount { amount: usd(400), paid_by: PaidBy::Platform, promotion };
    assert_eq!(order.lines[0].discounts, [discount]);
    assert_eq!((order.total, order.payable(), order.fee.amount), (usd(2000), usd(1600), usd(50)));
    let (id, release) = (order.order, None);
    let subsidized = Subsidized { order: id, transfer: transfer(400, PLATFORM, escrow(id)) };
    let paid = EscrowHeld { order: id, release, transfer: transfer(1600, wallet(), escrow(id)) };
    world.then_events([order.into(), subsidized.into(), paid.into()]).when_again().then_repeat();
    then_holds(&world, [(wallet(), 8400), (PLATFORM, -400), (escrow(id), 2000)]);
    // The seller earns as without it.
    world.given(SELLER, ship(id)).given(BUYER, confirm(id));
    then_holds(&world, [(earned(), 1950), (LedgerAccount::PlatformFees, 50), (PLATFORM, -400)]);
    // Signed for less than that, nothing is bought; what is paid by others is none of the buyer's limits.
    world
        .when(BUYER, place(&[(TEA, 2)], usd(1599)))
        .then_rejected([Rejection::TotalMismatch { signed: usd(1599), actual: usd(1600) }]);
}

#[test]
fn what_the_platform_pays_lowers_no_tax_and_comes_behind_what_sellers_give() {
    let mut world = fifth_off();
    world
        .given(SELLER, promotion(percent(1000)).into())
        .given(SELLER, set_rate("post", None, rate(500, Some(1800), None)))
        .given(OPERATOR, tax("DE", None, 1900))
        .given(BUYER, buy(&[(TEA, 2)], None, Some("DE"), usd(10_000)));
    let order = placed(&world).remove(0);
    // 20.00 less 2.00 by the seller, 3.42 of tax on that, delivered for nothing; 3.60 of it is the platform's.
    let line = &order.lines[0];
    let off: Vec<_> = line.discounts.iter().map(|off| (off.amount.minor, off.paid_by)).collect();
    assert_eq!(off, [(200, PaidBy::Seller), (360, PaidBy::Platform)]);
    assert_eq!((line.tax.as_ref().unwrap().amount, line.total), (usd(342), usd(2142)));
    assert_eq!((order.total, order.payable(), order.fee.amount), (usd(2142), usd(1782), usd(45)));
    let id = order.order;
    world.given(SELLER, ship(id)).given(BUYER, confirm(id));
    then_holds(
        &world,
        [(earned(), 1755), (LedgerAccount::PlatformTax, 342), (PLATFORM, -360), (wallet(), 10_000 - 1782)],
    );
}

#[test]
fn each_order_of_a_purchase_has_it_while_uses_are_left() {
    let mut world = shop();
    world.given(OPERATOR, platform_coupon("FIVE", Benefit::Amount(usd(500)), Some(1)).into());
    let both = || buy(&[(TEA, 1), (CUP, 2)], Some("FIVE"), None, usd(1500));
    world.given(BUYER, both());
    let subsidies: Vec<_> = placed(&world).iter().map(Placed::subsidy_minor).collect();
    assert_eq!(subsidies, [500, 0], "there was one use, and the first order has it");
    let exhausted = Rejection::CouponExhausted { by_account: false, coupon: "FIVE".parse().unwrap() };
    world.when(OTHER_BUYER, both()).then_rejected([exhausted.clone()]);
    // Cancelled whole, the order gives its use back, and the platform has its money.
    let order = world.market.orders.iter().find(|(_, order)| order.subsidy().is_some()).map(|(id, _)| *id);
    world.given(BUYER, cancel(order.unwrap()));
    then_holds(&world, [(PLATFORM, 0)]);
    world.given(OTHER_BUYER, both()).when(BUYER, both()).then_rejected([exhausted]);
    // With two uses, or any number, each order has it.
    world.given(OPERATOR, platform_coupon("TWO", percent(5000), Some(2)).into());
    world.given(BUYER, buy(&[(TEA, 1), (CUP, 2)], Some("TWO"), None, usd(1000)));
    assert_eq!(placed(&world).iter().map(Placed::subsidy_minor).sum::<i64>(), 1000);
}

#[test]
fn a_coupon_of_the_platform_that_gives_nothing_anywhere_is_refused_with_the_reason() {
    let mut world = shop();
    let coupon = || "CUPS".parse().unwrap();
    let wish = CreatePromotion {
        listings: [listing(CUP)].into(),
        min_spend: Some(usd(1000)),
        ..platform_coupon("CUPS", percent(1000), None)
    };
    world.given(OPERATOR, wish.into());
    let with = |lines: &[(u64, u32)]| buy(lines, Some("CUPS"), None, usd(10_000));
    world
        .when(BUYER, with(&[(TEA, 1)]))
        .then_rejected([Rejection::CouponInvalid {
            coupon: coupon(),
            problem: CouponProblem::NothingEligible,
        }])
        .when(BUYER, with(&[(CUP, 1)]))
        .then_rejected([Rejection::CouponInvalid { coupon: coupon(), problem: CouponProblem::MinSpend }])
        // One order that has it is enough.
        .given(BUYER, with(&[(TEA, 1), (CUP, 2)]));
    let subsidies: i64 = placed(&world).iter().map(Placed::subsidy_minor).sum();
    assert_eq!(subsidies, 100);
}

#[test]
fn cancelled_units_give_each_back_what_he_paid_of_them() {
    let mut world = shop();
    // The platform pays half of the tea and nothing of the pot.
    let wish = CreatePromotion { listings: [listing(TEA)].into(), ..platform_promotion(percent(5000)) };
    world.given(OPERATOR, wish.into());
    let order = world.placed(BUYER, place(&[(TEA, 3), (POT, 1)], usd(1833)));
    then_holds(&world, [(wallet(), 8167), (PLATFORM, -1500), (escrow(order), 3333)]);
    world.given(BUYER, cancel_units(order, &[(POT, 1)]));
    then_holds(&world, [(wallet(), 8500), (PLATFORM, -1500)]);
    world.when(SELLER, cancel_units(order, &[(TEA, 1)]));
    let (buyer, seller) = (BUYER.account(), SELLER.account());
    let returned = SubsidyReturned { order, transfer: transfer(500, escrow(order), PLATFORM) };
    let (closed_as, remaining) = (None, Some(usd(2000)));
    let transfer = Some(transfer(500, escrow(order), wallet()));
    let refunded = EscrowRefunded { buyer, closed_as, order, remaining, seller, transfer };
    let cancelled = world.events()[0].clone();
    let Event::OrderCancelled(of) = &cancelled else { panic!("{cancelled:?}") };
    assert_eq!((of.lines[0].amount, of.lines[0].subsidy), (usd(1000), Some(usd(500))));
    world.then_events([cancelled, returned.into(), refunded.into()]);
    world.given(SELLER, ship_units(order, &[(TEA, 1)])).given(BUYER, confirm(order));
    then_holds(&world, [(earned(), 975), (PLATFORM, -1000)]);
    // Nobody ships the rest.
    world.after(15 * DAY_MS).when_deadline();
    then_holds(&world, [(wallet(), 9500), (PLATFORM, -500), (escrow(order), 0)]);
    assert_eq!(world.market.orders.recently_closed(order).unwrap().state, OrderState::Completed);
}

#[test]
fn what_a_seller_gives_back_of_a_shipment_is_shared_and_no_buyer_gets_more_than_he_paid() {
    let mut world = shop();
    world.given(OPERATOR, platform_promotion(percent(3333)).into());
    // 10.00, of which 3.33 is the platform's.
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(667)));
    world.given(SELLER, ship(order));
    for (amount, in_wallet, platform) in [(1, 9334, -333), (500, 9667, -166), (499, 10_000, 0)] {
        world.given(SELLER, refund(order, 1, usd(amount)));
        then_holds(&world, [(wallet(), in_wallet), (PLATFORM, platform)]);
    }
    world.given(BUYER, confirm(order));
    then_holds(&world, [(wallet(), 10_000), (PLATFORM, 0), (earned(), 0), (escrow(order), 0)]);
}

#[test]
fn frozen_money_goes_back_to_both_in_the_shares_in_which_it_was_paid() {
    let (claim, dispute) = (FreezeReason::NotReceived, LedgerAccount::Dispute);
    // Split by an operator.
    let mut world = fifth_off();
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(1600)));
    world.given(SELLER, ship(order)).given(BUYER, freeze_money(order, 1, Some(usd(1500)), claim));
    then_holds(&world, [(escrow(order), 500), (dispute(order), 1500), (PLATFORM, -400)]);
    world.given(OPERATOR, settle(order, 1, usd(500), usd(1000)));
    // 10.00 goes back: 2.00 of it the platform had paid.
    then_holds(&world, [(wallet(), 8400 + 800), (PLATFORM, -200), (earned(), 487), (escrow(order), 500)]);
    // Of the rest 1.00 is the platform's.
    world.given(SELLER, refund(order, 1, usd(500)));
    then_holds(&world, [(wallet(), 9600), (PLATFORM, -100), (escrow(order), 0)]);
    // Unfrozen, it goes on as it was; nobody decides, and both have theirs back.
    let order = world.placed(OTHER_BUYER, place(&[(TEA, 1)], usd(800)));
    world
        .given(SELLER, ship(order))
        .given(OTHER_BUYER, freeze_money(order, 1, Some(usd(333)), claim))
        .given(OTHER_BUYER, unfreeze_money(order, 1))
        .given(OPERATOR, freeze_money(order, 1, None, FreezeReason::Operator));
    let frozen = world.market.orders.get(order).unwrap();
    assert_eq!(frozen.share_of(shipment(1)).frozen_minor, 200);
    while world.market.orders.get(order).is_some() {
        let due = world.market.next_deadline().unwrap().due;
        world.now = world.now.max(due);
        world.when_deadline();
    }
    then_holds(&world, [(LedgerAccount::Wallet(OTHER_BUYER.account()), 10_000), (PLATFORM, -100)]);
}

fn by_card(lines: &[(u64, u32)], total: i64, capture: CaptureTime, in_wallet: Option<i64>) -> Command {
    let payment_method: PaymentMethod = capturing(PROVIDER, capture, in_wallet.map(usd));
    place_with(payment_method, lines, usd(total))
}

fn provider_pays(world: &mut World, minor: i64) {
    let (payment, until) = (world.payment(), world.now.plus_ms(7 * DAY_MS));
    world
        .given(PROVIDER, report(payment, crate::support::held(usd(minor), until)))
        .given(PROVIDER, report(payment, took("ref", usd(minor))));
}

#[test]
fn a_card_and_a_wallet_pay_the_buyers_part_and_get_back_theirs() {
    let mut world = fifth_off();
    // 30.00, of which the platform pays 6.00, the wallet 9.00 and the card 15.00.
    let order = world.placed(BUYER, by_card(&[(TEA, 3)], 2400, CaptureTime::AtOnce, Some(900)));
    then_holds(&world, [(escrow(order), 1500), (PLATFORM, -600), (wallet(), 9100)]);
    // Not paid, each has his own back.
    world.given(BUYER, cancel(order));
    then_holds(&world, [(escrow(order), 0), (PLATFORM, 0), (wallet(), 10_000)]);
    let order = world.placed(BUYER, by_card(&[(TEA, 3)], 2400, CaptureTime::AtOnce, Some(900)));
    provider_pays(&mut world, 1500);
    then_holds(&world, [(escrow(order), 3000), (PLATFORM, -600), (wallet(), 9100)]);
    // A third goes back: 2.00 to the platform, 5.00 to the card, 3.00 to the wallet.
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    then_holds(
        &world,
        [(PLATFORM, -400), (LedgerAccount::RefundsPayable, 500), (wallet(), 9400), (escrow(order), 2000)],
    );
    world.given(BUYER, cancel(order));
    then_holds(&world, [(PLATFORM, 0), (LedgerAccount::RefundsPayable, 1500), (wallet(), 10_000)]);
}

#[test]
fn what_is_charged_when_it_leaves_is_charged_less_by_the_cards_part_of_cancelled_units() {
    let mut world = fifth_off();
    let order = world.placed(BUYER, by_card(&[(TEA, 4)], 3200, CaptureTime::OnShip, Some(800)));
    let (payment, until) = (world.payment(), world.now.plus_ms(7 * DAY_MS));
    world.given(PROVIDER, report(payment, crate::support::held(usd(2400), until)));
    // One unit of 10.00: 2.00 the platform's, 2.00 the wallet's, and 6.00 are never charged.
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    then_holds(&world, [(PLATFORM, -600), (wallet(), 9400), (escrow(order), 1200)]);
    world.given(SELLER, ready(order)).given(PROVIDER, report(payment, took("ref", usd(1800))));
    then_holds(&world, [(escrow(order), 3000)]);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    then_holds(&world, [(earned(), 2925), (PLATFORM, -600), (wallet(), 9400), (escrow(order), 0)]);
}

#[test]
fn a_preview_tells_what_the_platform_would_pay_and_limits_count_what_the_buyer_pays() {
    let mut world = fifth_off();
    world.given(BUYER, add(TEA, 2));
    let told = preview(&world.market, BUYER.account(), &Asked::default(), world.now).unwrap();
    assert_eq!((told.total, told.problems.len()), (Some(usd(1600)), 0));
    assert_eq!((told.orders[0].total, told.orders[0].subsidy), (usd(2000), Some(usd(400))));
    let mut world = promotions::limited(&[(0, 1600, 1600)]);
    world
        .given(OPERATOR, platform_promotion(percent(2000)).into())
        .given(BUYER, place(&[(TEA, 2)], usd(1600)))
        .when(BUYER, place(&[(TEA, 1)], usd(800)))
        .then_rejected([Rejection::KycRequired {
            limit: usd(1600),
            tier: Default::default(),
            total: usd(2400),
        }]);
}

#[test]
fn more_than_can_be_counted_is_not_paid_by_the_platform() {
    let mut world = shop();
    let all = Money::MINOR_MAX - 20_000;
    world
        .given_listing(SELLER, 9, usd(all), 9)
        .given(OPERATOR, platform_promotion(percent(9999)).into())
        .given(PROVIDER, fund(BUYER, usd(all / 2)))
        .when(BUYER, place(&[(9, 1)], usd(all)))
        .then_rejected([Rejection::AmountOverflow]);
}
