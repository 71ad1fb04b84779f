//! What a purchase costs: taxes, deliveries and promotions, and what becomes of their money.

mod platform;
pub(crate) mod promotions;

use std::collections::BTreeMap;

use crate::support::*;
use commands::Command;
use commands::command::{CreateListing, CreatePromotion, Delivery, PlaceOrder, SetTax};
use commands::preview::{Asked, preview};
use commands::promotion::{COUNTED_USES_MAX, PROMOTIONS_MAX};
use commands::shipping::RATES_MAX;
use events::account::Verified;
use events::cart::{CouponApplied, CouponRemoved};
use events::ids::OrderId;
use events::ledger::LedgerAccount;
use events::market::{FeePolicy, PurchaseLimit};
use events::order::{Placed, Rounding};
use events::promotion::{Benefit, Created, Discount, Ended, PaidBy};
use events::rejection::CouponProblem;
use events::shipping::{Quote, RateRemoved, RateSet};
use events::tax::{Set, Tax};
use events::{Bps, Event, Money, Rejection};

/// Two things of one seller, one of another, and two buyers with 100 dollars each.
fn shop() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(1000), 10)
        .given_listing(SELLER, POT, usd(333), 10)
        .given_listing(OTHER_SELLER, CUP, usd(500), 10)
        .given(PROVIDER, fund(BUYER, usd(10_000)))
        .given(PROVIDER, fund(OTHER_BUYER, usd(10_000)));
    world
}

/// Gives the orders that were placed last.
#[track_caller]
fn placed(world: &World) -> Vec<Placed> {
    let placed = world.events().iter().filter_map(|event| match event {
        Event::OrderPlaced(placed) => Some(placed.clone()),
        _ => None,
    });
    let placed: Vec<_> = placed.collect();
    assert!(!placed.is_empty(), "{:?}", world.outcome());
    placed
}

fn by(method: &str, seller: Actor, code: &str) -> Option<Delivery> {
    let methods = BTreeMap::from([(seller.account(), method.parse().unwrap())]);
    Some(Delivery { methods, ..Delivery::to(region(code)) })
}

fn delivered(lines: &[(u64, u32)], delivery: Option<Delivery>) -> Command {
    let Command::PlaceOrder(order) = place(lines, usd(10_000)) else { unreachable!() };
    PlaceOrder { delivery, ..order }.into()
}

fn held(world: &World, account: LedgerAccount) -> Money {
    world.market.ledger.balance(account, usd(0).currency)
}

fn wallet() -> LedgerAccount {
    LedgerAccount::Wallet(BUYER.account())
}

fn earned() -> LedgerAccount {
    LedgerAccount::SellerAvailable(SELLER.account())
}

fn tax_line(minor: i64, bps: u32, code: &str, version: u64) -> Tax {
    Tax {
        amount: usd(minor),
        bps: Bps::new(bps).unwrap(),
        inclusive: false,
        region: region(code),
        rounding: Rounding::HalfAwayFromZero,
        tax_class: None,
        version,
    }
}

// Taxes.

#[test]
fn an_operator_sets_taxes_and_each_change_has_a_version() {
    let mut world = shop();
    let set = |bps, inclusive, version| -> Event {
        let bps = Bps::new(bps).unwrap();
        Set { bps, inclusive, region: region("DE"), tax_class: None, version }.into()
    };
    world
        .when(OPERATOR, tax("DE", None, 1900))
        .then_events([set(1900, false, 1)])
        .when_again()
        .then_repeat()
        .when(OPERATOR, tax("DE", None, 1900))
        .then_unchanged()
        .when(OPERATOR, tax_inside("DE", 1900))
        .then_events([set(1900, true, 2)]);
}

#[test]
fn a_tax_on_top_is_part_of_the_total_and_stands_in_the_order_with_its_rule() {
    let mut world = shop();
    world.given(OPERATOR, tax("DE", None, 1900)).given(BUYER, buy(&[(POT, 3)], None, Some("DE"), usd(1189)));
    let order = placed(&world).remove(0);
    // 9.99 and 1.90 (1.8981) on top.
    assert_eq!(order.lines[0].tax, Some(tax_line(190, 1900, "DE", 1)));
    assert_eq!((order.lines[0].total, order.total), (usd(1189), usd(1189)));
    // The fee is on what is no tax: 2.5 % of 9.99.
    assert_eq!(order.fee.amount, usd(25));
}

#[test]
fn a_tax_that_prices_hold_changes_no_total() {
    let mut world = shop();
    world.given(OPERATOR, tax_inside("DE", 1900)).given(BUYER, buy(&[(TEA, 1)], None, Some("DE"), usd(1000)));
    let order = placed(&world).remove(0);
    assert_eq!(order.lines[0].tax, Some(Tax { inclusive: true, ..tax_line(160, 1900, "DE", 1) }));
    assert_eq!((order.total, order.fee.amount), (usd(1000), usd(21)));
}

#[test]
fn the_rule_of_the_region_and_of_the_class_come_first() {
    let mut world = shop();
    let plain = CreateListing::new(listing(9), usd(1000), text("A book"));
    let book = CreateListing { tax_class: Some("reduced".parse().unwrap()), ..plain };
    world.given(SELLER, book.into()).given(SELLER, receive(9, 9));
    world
        .given(OPERATOR, tax("US", None, 500))
        .given(OPERATOR, tax("US", Some("reduced"), 100))
        .given(OPERATOR, tax("US-CA", None, 725));
    let mut taxes = |code: &str, n: u64| {
        world.given(BUYER, buy(&[(n, 1)], None, Some(code), usd(10_000)));
        let order = placed(&world).remove(0);
        world.given(BUYER, cancel(order.order));
        order.lines[0]
            .tax
            .clone()
            .map(|tax| (tax.amount.minor, tax.region.to_string(), tax.tax_class.is_some()))
    };
    for (code, n, found) in [
        ("US-CA", TEA, Some((73, "US-CA", false))), // 72.5
        ("US-CA", 9, Some((73, "US-CA", false))),
        ("US-NY", TEA, Some((50, "US", false))),
        ("US-NY", 9, Some((10, "US", true))),
        ("US", 9, Some((10, "US", true))),
        ("DE", TEA, None),
    ] {
        let found =
            found.map(|(minor, place, is_class): (i64, &str, bool)| (minor, place.to_owned(), is_class));
        assert_eq!(taxes(code, n), found, "{code} {n}");
    }
}

#[test]
fn where_something_is_taxed_or_costs_to_be_delivered_the_region_must_be_named() {
    let mut world = shop();
    world.given(OPERATOR, tax("DE", None, 1900));
    world.when(BUYER, place(&[(TEA, 1)], usd(2000))).then_rejected([Rejection::AddressRequired]);
    let mut world = shop();
    world.given(SELLER, set_rate("post", None, rate(500, None, None)));
    world.when(BUYER, place(&[(TEA, 1)], usd(2000))).then_rejected([Rejection::AddressRequired]);
    // The other seller has no rates.
    world.given(BUYER, place(&[(CUP, 1)], usd(500)));
}

#[test]
fn the_signed_total_is_a_ceiling_for_everything_together() {
    let mut world = shop();
    world
        .given(OPERATOR, tax("DE", None, 1000))
        .given(SELLER, set_rate("post", None, rate(500, None, None)))
        .given(SELLER, promotion(percent(1000)).into());
    // 10.00 less 1.00 and 5.00 for delivery, and 10 % of both.
    let actual = usd(990 + 550);
    world
        .when(BUYER, buy(&[(TEA, 1)], None, Some("DE"), usd(1539)))
        .then_rejected([Rejection::TotalMismatch { signed: usd(1539), actual }])
        .given(BUYER, buy(&[(TEA, 1)], None, Some("DE"), usd(5000)));
    assert_eq!(held(&world, wallet()), usd(10_000 - 1540));
}

#[test]
fn an_amount_with_taxes_that_is_too_large_to_be_kept_is_refused() {
    let mut world = shop();
    world
        .given_listing(SELLER, 9, usd(Money::MINOR_MAX), 1)
        .given(OPERATOR, tax("DE", None, 1))
        .when(BUYER, buy(&[(9, 1)], None, Some("DE"), usd(Money::MINOR_MAX)))
        .then_rejected([Rejection::AmountOverflow]);
}

// Deliveries.

#[test]
fn a_seller_sets_and_removes_rates() {
    let mut world = shop();
    let (method, seller) = ("post".parse::<events::shipping::Method>().unwrap(), SELLER.account());
    let set = |rate, version| -> Event {
        RateSet { method: method.clone(), rate, region: Some(region("DE")), seller, version }.into()
    };
    let currency = usd(0).currency;
    let removed =
        RateRemoved { currency, method: method.clone(), region: Some(region("DE")), seller, version: 3 };
    world
        .when(SELLER, set_rate("post", Some("DE"), rate(500, None, None)))
        .then_events([set(rate(500, None, None), 1)])
        .when(SELLER, set_rate("post", Some("DE"), rate(500, None, None)))
        .then_unchanged()
        .when(SELLER, set_rate("post", Some("DE"), rate(400, Some(5000), None)))
        .then_events([set(rate(400, Some(5000), None), 2)])
        .when(SELLER, remove_rate("post", Some("DE")))
        .then_events([removed.into()])
        .when(SELLER, remove_rate("post", Some("DE")))
        .then_unchanged();
    // Without rates, everything is delivered for nothing again.
    world.given(BUYER, place(&[(TEA, 1)], usd(1000)));
    for n in 0..RATES_MAX {
        world.given(SELLER, set_rate(&format!("m{n}"), None, rate(1, None, None)));
    }
    world
        .when(SELLER, set_rate("post", None, rate(1, None, None)))
        .then_rejected([Rejection::TooManyRates { max: RATES_MAX as u32 }]);
}

#[test]
fn a_delivery_costs_what_its_rate_says_and_stands_in_the_order() {
    let mut world = shop();
    let post = rate(500, Some(4000), Some(50));
    world
        .given(SELLER, set_rate("post", Some("DE"), post))
        .given(OPERATOR, tax("DE", Some("shipping"), 1000));
    world.given(BUYER, buy(&[(TEA, 2), (POT, 1)], None, Some("DE"), usd(10_000)));
    let order = placed(&world).remove(0);
    let tax = Tax { tax_class: Some("shipping".parse().unwrap()), ..tax_line(65, 1000, "DE", 1) };
    let quote = Quote {
        method: "post".parse().unwrap(),
        price: usd(650),
        rate: post,
        tax: Some(tax),
        total: usd(715),
        version: 1,
    };
    assert_eq!((order.shipping, order.total), (Some(quote), usd(2333 + 715)));
    world.given(BUYER, buy(&[(TEA, 4)], None, Some("DE"), usd(10_000)));
    let order = placed(&world).remove(0);
    assert_eq!((order.shipping.unwrap().total, order.total), (usd(0), usd(4000)));
}

#[test]
fn the_buyer_chooses_how_each_seller_delivers_and_else_the_cheapest_does() {
    let mut world = shop();
    world
        .given(SELLER, set_rate("post", None, rate(500, None, None)))
        .given(SELLER, set_rate("express", None, rate(1500, None, None)))
        .given(SELLER, set_rate("express", Some("US"), rate(400, None, None)))
        .given(SELLER, set_rate("bike", Some("US-CA"), rate(500, None, None)));
    for (delivery, method, minor) in [
        (to("DE"), "post", 500),
        (by("express", SELLER, "DE"), "express", 1500),
        (to("US"), "express", 400),
        (to("US-CA"), "express", 400),
        (by("bike", SELLER, "US-CA"), "bike", 500),
    ] {
        world.given(BUYER, delivered(&[(TEA, 1)], delivery));
        let order = placed(&world).remove(0);
        world.given(BUYER, cancel(order.order));
        let shipping = order.shipping.unwrap();
        assert_eq!((shipping.method.as_str(), shipping.total.minor), (method, minor));
    }
}

#[test]
fn a_seller_with_rates_who_does_not_deliver_there_can_not_be_bought_from() {
    let mut world = shop();
    world.given(SELLER, set_rate("post", Some("DE"), rate(500, None, None)));
    let unavailable = |method: Option<&str>, code: &str, seller: Actor| Rejection::DeliveryUnavailable {
        method: method.map(|method| method.parse().unwrap()),
        region: region(code),
        seller: seller.account(),
    };
    world
        .when(BUYER, delivered(&[(TEA, 1)], to("FR")))
        .then_rejected([unavailable(None, "FR", SELLER)])
        .when(BUYER, delivered(&[(TEA, 1)], by("bike", SELLER, "DE")))
        .then_rejected([unavailable(Some("bike"), "DE", SELLER)])
        // A seller without rates, or of nothing that is bought, has no methods.
        .when(BUYER, delivered(&[(CUP, 1)], by("bike", OTHER_SELLER, "DE")))
        .then_rejected([unavailable(Some("bike"), "DE", OTHER_SELLER)])
        .when(BUYER, delivered(&[(CUP, 1)], by("post", SELLER, "DE")))
        .then_rejected([unavailable(Some("post"), "DE", SELLER)]);
    // All that is wrong is told at once.
    let lines = [(TEA, 99), (CUP, 1)];
    let short = Rejection::InsufficientStock { listing: listing(TEA), requested: 99, available: 10 };
    world.when(BUYER, delivered(&lines, to("FR"))).then_rejected([short, unavailable(None, "FR", SELLER)]);
}

#[test]
fn delivery_is_paid_with_the_first_shipment() {
    let mut world = shop();
    world.given(SELLER, set_rate("post", None, rate(500, None, None)));
    let order = world.placed(BUYER, buy(&[(TEA, 2)], None, Some("DE"), usd(10_000)));
    world.given(SELLER, ship_units(order, &[(TEA, 1)]));
    let shipping = |world: &World| match world.events() {
        [Event::OrderShipped(shipped)] => shipped.shipping.map(|shipping| shipping.amount.minor),
        other => panic!("{other:?}"),
    };
    assert_eq!(shipping(&world), Some(500));
    world.given(SELLER, ship(order));
    assert_eq!(shipping(&world), None);
    world.given(BUYER, confirm_shipment(order, 2));
    assert_eq!(held(&world, earned()), usd(975));
    world.given(BUYER, confirm_shipment(order, 1));
    // 25.00 less 2.5 %: 62.5 cents, half a cent going up.
    assert_eq!(held(&world, earned()), usd(2500 - 63));
}

#[test]
fn delivery_is_paid_back_when_nothing_is_ever_shipped() {
    let mut world = shop();
    world.given(OPERATOR, tax("DE", None, 1000)).given(SELLER, set_rate("post", None, rate(500, None, None)));
    let order = world.placed(BUYER, buy(&[(TEA, 2)], None, Some("DE"), usd(10_000)));
    world.given(BUYER, cancel_units(order, &[(TEA, 1)]));
    assert_eq!(held(&world, wallet()), usd(10_000 - 1100 - 550));
    world.given(SELLER, cancel_units(order, &[(TEA, 1)]));
    assert_eq!(held(&world, wallet()), usd(10_000));
    assert_eq!(world.market.orders.open_count(), 0);
    // As it is when nobody ships in time.
    world.given(BUYER, buy(&[(TEA, 2)], None, Some("DE"), usd(10_000)));
    world.when_deadline();
    assert_eq!(held(&world, wallet()), usd(10_000));
}

#[test]
fn delivery_is_not_paid_back_when_something_was_shipped() {
    let mut world = shop();
    world.given(SELLER, set_rate("post", None, rate(500, None, None)));
    let order = world.placed(BUYER, buy(&[(TEA, 2)], None, Some("DE"), usd(10_000)));
    world.given(SELLER, ship_units(order, &[(TEA, 1)])).given(BUYER, cancel_units(order, &[(TEA, 1)]));
    assert_eq!(held(&world, wallet()), usd(10_000 - 1500));
    world.given(BUYER, confirm(order));
    assert_eq!((held(&world, wallet()), world.market.orders.open_count()), (usd(8500), 0));
}

// Promotions.
