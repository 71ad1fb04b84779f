//! Stock: what arrives, what is lost, what is kept back, and what is sold before it is there.

use crate::support::*;
use commands::Refusal;
use commands::command::{Delta, STOCK_MAX, Units};
use commands::stock::{EXPECTED_AHEAD_MAX_MS, EXPECTED_MAX};
use events::Rejection;
use events::stock::AdjustmentReason::{Correction, Counted, Damaged, Found, Lost, Returned};
use events::stock::{Adjusted, BackorderLimitSet, Expected, Incoming, SafetySet, ShortfallDetected, Stock};

/// A market with ten units of tea and a buyer with money.
fn shop() -> World {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(100_000)));
    world
}

fn stock(world: &World) -> Stock {
    world.market.listings.get(listing(TEA)).expect("tea is listed").stock.clone()
}

fn short(requested: u64, available: u64) -> Rejection {
    Rejection::InsufficientStock { listing: listing(TEA), requested, available }
}

#[test]
fn an_adjustment_says_why_and_damaged_units_are_kept_apart() {
    let mut world = shop();
    let mut on_hand = 10;
    let mut damaged = 0;
    for (delta, reason) in [
        (-2, Counted),
        (3, Counted),
        (-1, Lost),
        (2, Found),
        (1, Returned),
        (-3, Damaged),
        (1, Damaged),
        (-1, Correction),
        (4, Correction),
    ] {
        on_hand = (on_hand as i64 + delta) as u64;
        if reason == Damaged {
            damaged = (damaged as i64 - delta) as u64;
        }
        let adjusted = Adjusted { damaged, delta, listing: listing(TEA), location: None, on_hand, reason };
        world
            .when(SELLER, adjust(TEA, delta, reason))
            .then_events([adjusted.into()])
            .when_again()
            .then_repeat();
        assert_eq!((stock(&world).on_hand, stock(&world).damaged), (on_hand, damaged));
        assert_eq!(stock(&world).available(), on_hand, "what is damaged can't be bought");
    }
}

#[test]
fn an_adjustment_takes_what_is_there_in_the_direction_of_its_reason() {
    let mut world = shop();
    for (delta, reason) in [(1, Lost), (-1, Found), (-1, Returned)] {
        world
            .when(SELLER, adjust(TEA, delta, reason))
            .then_rejected([Rejection::AdjustmentDirection { reason }]);
    }
    let overflow = || Rejection::StockOverflow { listing: listing(TEA), max: STOCK_MAX };
    world
        .when(SELLER, adjust(TEA, -11, Lost))
        .then_rejected([short(11, 10)])
        .when(SELLER, adjust(TEA, -11, Damaged))
        .then_rejected([short(11, 10)])
        .when(SELLER, adjust(TEA, 1, Damaged))
        .then_rejected([short(1, 0)])
        .when(SELLER, adjust(TEA, STOCK_MAX as i64, Found))
        .then_rejected([overflow()])
        .when(OTHER_SELLER, adjust(TEA, 1, Found))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }])
        .when(SELLER, adjust(POT, 1, Found))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }])
        .when(OPERATOR, adjust(TEA, 1, Found))
        .then_refused(Refusal::ScopeDenied {
            rule: "the account has no role that may give this command".into(),
        })
        .given(SELLER, adjust(TEA, -10, Damaged))
        .given(SELLER, adjust(TEA, STOCK_MAX as i64, Found))
        .when(SELLER, adjust(TEA, -(STOCK_MAX as i64), Damaged))
        .then_rejected([overflow()]);
    assert!(Delta::try_from(0).is_err() && Delta::try_from(i64::MIN).is_err());
    assert!(Delta::try_from(STOCK_MAX as i64 + 1).is_err() && Units::try_from(STOCK_MAX + 1).is_err());
    assert!(Delta::try_from(-(STOCK_MAX as i64)).is_ok() && Units::try_from(STOCK_MAX).is_ok());
}

#[test]
fn safety_stock_is_not_sold_and_still_covers_open_orders() {
    let mut world = shop();
    world
        .when(SELLER, set_safety(TEA, 4))
        .then_events([SafetySet { listing: listing(TEA), location: None, units: 4 }.into()])
        .when(SELLER, set_safety(TEA, 4))
        .then_unchanged()
        .when(BUYER, place(&[(TEA, 7)], usd(10_000)))
        .then_rejected([short(7, 6)]);
    let order = world.placed(BUYER, place(&[(TEA, 6)], usd(10_000)));
    world
        .when(BUYER, place(&[(TEA, 1)], usd(10_000)))
        .then_rejected([short(1, 0)])
        .when(SELLER, adjust(TEA, -3, Lost))
        .then_types(["stock.adjusted.v1"])
        .when(SELLER, set_safety(TEA, 9))
        .then_types(["stock.safety_set.v1"])
        .when(SELLER, ship(order))
        .then_types(["order.shipped.v2"])
        .when(OTHER_SELLER, set_safety(TEA, 1))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }])
        .when(SELLER, set_safety(POT, 1))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }]);
    assert_eq!(stock(&world), Stock { on_hand: 1, safety: 9, ..Stock::default() });
}

#[test]
fn backorders_are_sold_up_to_their_limit_and_shipped_when_stock_is_there() {
    let mut world = shop();
    world
        .when(SELLER, set_backorder_limit(TEA, 5))
        .then_events([BackorderLimitSet { listing: listing(TEA), units: 5 }.into()])
        .when_again()
        .then_repeat()
        .when(SELLER, set_backorder_limit(TEA, 5))
        .then_unchanged()
        .when(BUYER, place(&[(TEA, 16)], usd(10_000)))
        .then_rejected([short(16, 15)]);
    let order = world.placed(BUYER, place(&[(TEA, 12)], usd(10_000)));
    world
        .when(BUYER, place(&[(TEA, 4)], usd(10_000)))
        .then_rejected([short(4, 3)])
        .when(SELLER, ship(order))
        .then_rejected([short(12, 10)])
        .given(SELLER, receive(TEA, 2))
        .when(SELLER, ship(order))
        .then_types(["order.shipped.v2"])
        .when(OTHER_SELLER, set_backorder_limit(TEA, 1))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }])
        .when(SELLER, set_backorder_limit(POT, 1))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }]);
    assert_eq!(stock(&world), Stock { backorder_limit: 5, ..Stock::default() });
}

#[test]
fn units_that_open_orders_miss_are_told_and_the_orders_wait_for_stock() {
    let shortfall =
        |missing, on_hand, reserved| ShortfallDetected { listing: listing(TEA), missing, on_hand, reserved };
    let adjusted = |delta, on_hand, reason| Adjusted {
        damaged: if reason == Damaged { 4 } else { 0 },
        delta,
        listing: listing(TEA),
        location: None,
        on_hand,
        reason,
    };
    let mut world = shop();
    let (large, small) = (
        world.placed(BUYER, place(&[(TEA, 6)], usd(10_000))),
        world.placed(BUYER, place(&[(TEA, 3)], usd(10_000))),
    );
    world
        .when(SELLER, adjust(TEA, -4, Damaged))
        .then_events([adjusted(-4, 6, Damaged).into(), shortfall(3, 6, 9).into()])
        .when_again()
        .then_repeat()
        .when(BUYER, place(&[(TEA, 1)], usd(500)))
        .then_rejected([short(1, 0)])
        .when(SELLER, ship(small))
        .then_types(["order.shipped.v2"])
        .when(SELLER, ship(large))
        .then_rejected([short(6, 3)])
        .given(SELLER, receive(TEA, 3))
        .when(SELLER, ship(large))
        .then_types(["order.shipped.v2"]);
    assert_eq!(stock(&world), Stock { damaged: 4, ..Stock::default() });
}

#[test]
fn a_shortfall_is_told_when_it_grows_and_a_cancelled_order_ends_it() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 9)], usd(10_000)));
    world
        .when(SELLER, adjust(TEA, -1, Lost))
        .then_types(["stock.adjusted.v1"])
        .when(SELLER, adjust(TEA, -1, Lost))
        .then_types(["stock.adjusted.v1", "stock.shortfall_detected.v1"])
        .when(SELLER, adjust(TEA, -2, Counted))
        .then_types(["stock.adjusted.v1", "stock.shortfall_detected.v1"])
        .when(SELLER, adjust(TEA, 1, Found))
        .then_types(["stock.adjusted.v1"])
        .when(SELLER, set_backorder_limit(TEA, 3))
        .then_types(["stock.backorder_limit_set.v1"])
        .when(SELLER, set_backorder_limit(TEA, 0))
        .then_types(["stock.backorder_limit_set.v1", "stock.shortfall_detected.v1"])
        .given(BUYER, cancel(order))
        .when(BUYER, place(&[(TEA, 7)], usd(10_000)))
        .then_types(["order.placed.v1", "escrow.held.v1"]);
    assert_eq!(stock(&world), Stock { on_hand: 7, reserved: 7, ..Stock::default() });
}

#[test]
fn an_order_that_can_not_be_shipped_in_time_is_paid_back() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 9)], usd(10_000)));
    world
        .given(SELLER, adjust(TEA, -10, Lost))
        .when(SELLER, ship(order))
        .then_rejected([short(9, 0)])
        .when_deadline()
        .then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    assert_eq!(stock(&world), Stock::default());
}

#[test]
fn what_is_expected_is_told_by_its_time_and_taken_off_by_what_arrives() {
    let mut world = shop();
    let day = |n: i64| START.plus_ms(n * DAY_MS);
    let expected = |units, due| Expected { due, listing: listing(TEA), location: None, units };
    world
        .when(SELLER, expect(TEA, 5, day(3)))
        .then_events([expected(5, day(3)).into()])
        .when_again()
        .then_repeat()
        .when(SELLER, expect(TEA, 5, day(3)))
        .then_unchanged()
        .given(SELLER, expect(TEA, 7, day(2)))
        .when(SELLER, expect(TEA, 6, day(3)))
        .then_events([expected(6, day(3)).into()])
        .given(SELLER, receive(TEA, 8));
    assert_eq!(stock(&world).incoming, [Incoming { due: day(3), location: None, units: 5 }]);
    assert_eq!(stock(&world).available(), 18, "what is on its way is not sold");
    world
        .after(4 * DAY_MS)
        .when(SELLER, expect(TEA, 1, day(3)))
        .then_rejected([Rejection::DueOutOfRange {
            due: day(3),
            latest: day(4).plus_ms(EXPECTED_AHEAD_MAX_MS),
        }])
        .when(SELLER, expect(TEA, 0, day(3)))
        .then_events([expected(0, day(3)).into()])
        .when(SELLER, expect(TEA, 0, day(3)))
        .then_unchanged();
    assert_eq!(stock(&world).incoming, []);
}

#[test]
fn units_are_expected_at_some_times_and_not_in_another_age() {
    let mut world = shop();
    let latest = START.plus_ms(EXPECTED_AHEAD_MAX_MS);
    for n in 0..EXPECTED_MAX as i64 {
        world.given(SELLER, expect(TEA, 1, latest.plus_ms(-n)));
    }
    let many = Rejection::TooManyExpected { listing: listing(TEA), max: EXPECTED_MAX as u32 };
    let far = |due| Rejection::DueOutOfRange { due, latest };
    world
        .when(SELLER, expect(TEA, 1, START))
        .then_rejected([many.clone()])
        .when(SELLER, expect(TEA, 1, latest.plus_ms(1)))
        .then_rejected([far(latest.plus_ms(1)), many])
        .given(SELLER, expect(TEA, 2, latest))
        .when(OTHER_SELLER, expect(TEA, 2, latest))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }])
        .when(SELLER, expect(POT, 2, latest))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }]);
}
