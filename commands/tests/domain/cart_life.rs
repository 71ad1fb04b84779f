//! What becomes of a cart besides its being filled: saved lines, freezing, restoring, and being left alone.

use crate::support::*;
use commands::Refusal;
use commands::cart::{FREEZE_MS_MAX, SAVED_MAX};
use events::cart::{
    Abandoned, Frozen, KeptPrice, MovedBack, Restored, RestoredLine, SavedForLater, Unfrozen,
};
use events::ids::CartId;
use events::metadata::Waiting;
use events::order::LinePrice;
use events::{Event, Quantity, Rejection};

fn shop() -> World {
    let mut world = World::new();
    world
        .register(GUEST)
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(OTHER_SELLER, POT, usd(2500), 1)
        .given_listing(SELLER, CUP, eur(300), 1)
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    world
}

fn no_role() -> Refusal {
    Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() }
}

// Saved for later.

#[test]
fn a_saved_line_leaves_the_cart_and_comes_back_with_what_was_added_meanwhile() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 2)).given(BUYER, add(POT, 1));
    let (account, cart, listing) = (BUYER.account(), world.cart(BUYER), listing(TEA));
    world
        .when(BUYER, save(TEA))
        .then_events([SavedForLater { account, cart, listing, quantity: units(2), version: 3 }.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, save(TEA))
        .then_unchanged()
        .given(BUYER, add(TEA, 1))
        .when(BUYER, save(TEA))
        .then_events([SavedForLater { account, cart, listing, quantity: units(3), version: 5 }.into()])
        .given(BUYER, add(TEA, 4))
        .when(BUYER, move_back(TEA))
        .then_events([MovedBack { account, cart, listing, quantity: units(7), version: 7 }.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, move_back(TEA))
        .then_unchanged()
        .then(|market| assert!(market.accounts.get(account).unwrap().saved.is_empty()));
}

#[test]
fn only_a_line_of_the_cart_is_saved_and_only_a_saved_one_moved_back() {
    let mut world = shop();
    world
        .when(BUYER, save(TEA))
        .then_rejected([Rejection::NotInCart { listing: listing(TEA) }])
        .when(BUYER, move_back(TEA))
        .then_rejected([Rejection::NotSaved { listing: listing(TEA) }])
        .when(SELLER, save(TEA))
        .then_refused(no_role())
        .when(SELLER, move_back(TEA))
        .then_refused(no_role());
}

#[test]
fn saved_lines_have_bounds_of_their_own() {
    let mut world = World::new();
    let last = SAVED_MAX as u64;
    for n in 0..=last {
        world.given(SELLER, create_listing(n, usd(1)));
    }
    for n in 0..last {
        world.given(BUYER, add(n, Quantity::MAX)).given(BUYER, save(n));
    }
    let limit = |n| Rejection::QuantityLimit { listing: listing(n), max: Quantity::MAX, min: None };
    world
        .given(BUYER, add(last, 1))
        .when(BUYER, save(last))
        .then_rejected([Rejection::TooManySaved { max: SAVED_MAX as u32 }])
        .given(BUYER, add(0, 1))
        .when(BUYER, save(0))
        .then_rejected([limit(0)])
        .when(BUYER, move_back(0))
        .then_rejected([limit(0)]);
}

#[test]
fn a_line_comes_back_only_into_a_cart_of_its_currency_with_room() {
    let (expected, found) = (eur(0).currency, usd(0).currency);
    shop()
        .given(BUYER, add(TEA, 1))
        .given(BUYER, save(TEA))
        .given(BUYER, add(CUP, 1))
        .when(BUYER, move_back(TEA))
        .then_rejected([Rejection::CurrencyMismatch { listing: listing(TEA), expected, found }])
        .given(BUYER, clear())
        .when(BUYER, move_back(TEA))
        .then_types(["cart.moved_back.v1"]);
    let mut world = World::new();
    for n in 0..=100 {
        world.given(SELLER, create_listing(n, usd(1)));
    }
    world.given(BUYER, add(100, 1)).given(BUYER, save(100));
    for n in 0..100 {
        world.given(BUYER, add(n, 1));
    }
    world.when(BUYER, move_back(100)).then_rejected([Rejection::TooManyLines { max: 100 }]);
}

#[test]
fn saved_lines_are_not_bought_and_outlast_the_cart() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 2)).given(BUYER, add(POT, 1)).given(BUYER, save(POT));
    let cart = world.cart(BUYER);
    world.given(BUYER, migrate(cart, usd(1000)));
    let signed = world.sign(BUYER, move_back(POT));
    let opened = CartId::derive(BUYER.account(), signed.stamp.command);
    let (account, listing) = (BUYER.account(), listing(POT));
    world.when_signed(signed).then_events([MovedBack {
        account,
        cart: opened,
        listing,
        quantity: units(1),
        version: 1,
    }
    .into()]);
    world
        .given(BUYER, save(POT))
        .when_deadline()
        .then_types(["order.cancelled.v2", "escrow.refunded.v2"])
        .when_deadline()
        .then_types(["cart.abandoned.v1"])
        .given(BUYER, move_back(POT));
}

// Frozen.

#[test]
fn a_frozen_cart_is_not_edited_until_it_is_unfrozen() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 2)).given(BUYER, add(POT, 1)).given(BUYER, save(POT));
    let (account, cart, until) = (BUYER.account(), world.cart(BUYER), world.now.plus_ms(60 * SECOND_MS));
    let prices = vec![KeptPrice { listing: listing(TEA), listing_version: 1, unit_price: usd(500) }];
    world
        .when(BUYER, freeze(until))
        .then_events([Frozen { account, cart, prices, until, version: 4 }.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, freeze(until))
        .then_unchanged()
        .then(|market| assert_eq!(market.listings.get(listing(TEA)).unwrap().stock.reserved, 0));
    let frozen = || [Rejection::CartFrozen { until }];
    for edit in [add(TEA, 1), set(TEA, 1), remove(TEA), clear(), save(TEA), move_back(POT)] {
        world.when(BUYER, edit).then_rejected(frozen());
    }
    world
        .when(BUYER, freeze(until.plus_ms(1)))
        .then_rejected(frozen())
        .when(BUYER, unfreeze())
        .then_events([Unfrozen { account, cart, version: 5 }.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, unfreeze())
        .then_unchanged()
        .given(BUYER, add(TEA, 1));
}

#[test]
fn a_cart_with_lines_is_frozen_for_a_day_at_most() {
    let mut world = shop();
    let (now, latest) = (world.now, world.now.plus_ms(FREEZE_MS_MAX));
    world
        .when(BUYER, freeze(latest))
        .then_rejected([Rejection::CartMissing])
        .when(BUYER, unfreeze())
        .then_unchanged()
        .given(BUYER, add(TEA, 1))
        .given(BUYER, remove(TEA))
        .when(BUYER, freeze(now))
        .then_rejected([Rejection::CartEmpty, Rejection::FreezeTime { latest }])
        .given(BUYER, add(TEA, 1))
        .when(BUYER, freeze(latest.plus_ms(1)))
        .then_rejected([Rejection::FreezeTime { latest }])
        .when(SELLER, freeze(latest))
        .then_refused(no_role())
        .when(SELLER, unfreeze())
        .then_refused(no_role())
        .when(BUYER, freeze(latest))
        .then_types(["cart.frozen.v1"]);
}

#[test]
fn a_freeze_ends_by_itself() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 1));
    let (account, cart, until) = (BUYER.account(), world.cart(BUYER), world.now.plus_ms(60 * SECOND_MS));
    world.given(BUYER, freeze(until));
    let next = world.market.next_deadline().unwrap();
    assert_eq!((next.due, next.waiting), (until, Waiting::CartFrozenUntil { account }));
    world.when_deadline().then_events([Unfrozen { account, cart, version: 3 }.into()]);
    world.given(BUYER, add(TEA, 1));
}

#[test]
fn a_frozen_cart_is_bought_at_its_prices_and_never_dearer_than_signed() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 2));
    let (cart, until) = (world.cart(BUYER), world.now.plus_ms(60 * SECOND_MS));
    world.given(BUYER, freeze(until));
    // The listing becomes dearer: no command of this test can do that, so what the cart keeps is made cheaper.
    let kept = KeptPrice { listing: listing(TEA), listing_version: 7, unit_price: usd(400) };
    let frozen = Frozen { account: BUYER.account(), cart, prices: vec![kept], until, version: 3 };
    world.given_events([frozen.into()]);
    world
        .when(BUYER, migrate(cart, usd(799)))
        .then_rejected([Rejection::TotalMismatch { signed: usd(799), actual: usd(800) }])
        .given(BUYER, migrate(cart, usd(800)));
    match world.events() {
        [Event::OrderPlaced(placed), ..] => {
            assert_eq!(placed.total, usd(800));
            assert_eq!(placed.lines[0].price, LinePrice::Unit(usd(400)));
            assert_eq!(placed.lines[0].listing_version, 7);
        }
        other => panic!("{other:?}"),
    }
}

// Restored.

#[test]
fn the_last_cart_that_became_orders_is_restored_as_a_new_one() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 2)).given(BUYER, add(POT, 1));
    let from = world.cart(BUYER);
    world.when(BUYER, restore(from)).then_rejected([Rejection::CartForgotten { cart: from }]);
    world.given(BUYER, migrate(from, usd(3500)));
    let signed = world.sign(BUYER, restore(from));
    let cart = CartId::derive(BUYER.account(), signed.stamp.command);
    let line = |n, quantity| RestoredLine { listing: listing(n), quantity: units(quantity) };
    let lines = vec![line(TEA, 2), line(POT, 1)];
    world
        .when_signed(signed)
        .then_events([
            Restored { account: BUYER.account(), cart, from, lines: lines.clone(), version: 1 }.into()
        ])
        .when_again()
        .then_repeat()
        .when(BUYER, restore(from))
        .then_rejected([Rejection::CartNotEmpty { cart }])
        .given(BUYER, clear())
        .when(BUYER, restore(from))
        .then_events([Restored { account: BUYER.account(), cart, from, lines, version: 3 }.into()])
        .when(OTHER_BUYER, restore(from))
        .then_rejected([Rejection::CartForgotten { cart: from }])
        .when(SELLER, restore(from))
        .then_refused(no_role())
        .given(BUYER, remove(POT))
        .given(BUYER, migrate(cart, usd(1000)))
        .when(BUYER, restore(from))
        .then_rejected([Rejection::CartForgotten { cart: from }]);
}

// Left alone.

#[test]
fn an_idle_cart_is_abandoned_and_the_next_thing_opens_another() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 1)).after(29 * DAY_MS).given(BUYER, add(TEA, 1));
    let (account, cart, touched) = (BUYER.account(), world.cart(BUYER), world.now);
    world.when_deadline().then_events([Abandoned { account, cart, version: 3 }.into()]);
    assert_eq!(world.now, touched.plus_ms(30 * DAY_MS));
    assert_eq!(world.market.next_deadline(), None);
    world.when(BUYER, set(TEA, 1)).then_rejected([Rejection::CartMissing]);
    world.given(BUYER, add(TEA, 1));
    assert_ne!(world.cart(BUYER), cart);
    assert_eq!(world.market.next_deadline().unwrap().waiting, Waiting::CartIdle { account });
}

#[test]
fn a_cart_waits_for_one_deadline_whatever_happens_to_it() {
    let mut world = shop();
    let until = world.now.plus_ms(60 * SECOND_MS);
    for command in [add(TEA, 1), add(POT, 1), save(POT), set(TEA, 2), freeze(until), unfreeze(), clear()] {
        world.after(SECOND_MS).given(BUYER, command);
    }
    world.when_deadline().then_types(["cart.abandoned.v1"]);
    assert_eq!(world.market.next_deadline(), None);
    world.given(BUYER, move_back(POT));
    let cart = world.cart(BUYER);
    world.given(BUYER, migrate(cart, usd(2500)));
    assert!(matches!(world.market.next_deadline().unwrap().waiting, Waiting::ShipBy { .. }));
}
