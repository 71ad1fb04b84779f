//! Filling a cart, which reserves nothing.

use crate::support::*;
use commands::Refusal;
use commands::command::{Expected, LINES_MAX};
use events::cart::{Cleared, ItemAdded, ItemRemoved, QuantitySet};
use events::ids::CartId;
use events::{Quantity, Rejection};

fn shop() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(OTHER_SELLER, POT, usd(2500), 1)
        .given_listing(SELLER, CUP, eur(300), 1);
    world
}

#[test]
fn the_first_item_opens_a_cart_and_more_of_it_joins_its_line() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 2));
    let cart = world.cart(BUYER);
    let added = |added, quantity, version| ItemAdded {
        account: BUYER.account(),
        added: units(added),
        by: None,
        cart,
        listing: listing(TEA),
        listing_version: 1,
        quantity: units(quantity),
        unit_price: usd(500),
        version,
    };
    world
        .then_events([added(2, 2, 1).into()])
        .when_again()
        .then_repeat()
        .when(BUYER, add(TEA, 3))
        .then_events([added(3, 5, 2).into()])
        .then(|market| assert_eq!(market.listings.get(listing(TEA)).unwrap().stock.reserved, 0));
    let signed = world.sign(OTHER_BUYER, add(TEA, 1));
    let own = CartId::derive(OTHER_BUYER.account(), signed.stamp.command);
    world.when_signed(signed).then_types(["cart.item_added.v1"]);
    assert_eq!(world.cart(OTHER_BUYER), own, "everybody fills his own");
}

#[test]
fn a_line_is_of_a_known_listing_in_the_carts_currency_and_within_limits() {
    let limit = Rejection::QuantityLimit { listing: listing(TEA), max: Quantity::MAX, min: None };
    let currency = Rejection::CurrencyMismatch {
        listing: listing(CUP),
        expected: usd(0).currency,
        found: eur(0).currency,
    };
    shop()
        .when(BUYER, add(99, 1))
        .then_rejected([Rejection::ListingUnknown { listing: listing(99) }])
        .given(BUYER, add(TEA, 1))
        .when(BUYER, add(TEA, Quantity::MAX))
        .then_rejected([limit])
        .when(BUYER, add(CUP, 1))
        .then_rejected([currency])
        .given(BUYER, remove(TEA))
        .when(BUYER, add(CUP, 1))
        .then_types(["cart.item_added.v1"])
        .given(BUYER, clear())
        .when(BUYER, add(TEA, 1))
        .then_types(["cart.item_added.v1"]);
}

#[test]
fn nobody_puts_his_own_things_into_his_cart() {
    use commands::command::RegisterAccount;
    use events::account::Role;
    let trader = Actor(30);
    let roles = [Role::Buyer, Role::Seller].into();
    let mut world = World::new();
    world
        .given(REGISTRAR, RegisterAccount { account: trader.account(), roles }.into())
        .given(REGISTRAR, register_device(trader))
        .given_listing(trader, TEA, usd(500), 1)
        .when(trader, add(TEA, 1))
        .then_rejected([Rejection::SelfPurchase { listing: listing(TEA) }]);
}

#[test]
fn a_cart_holds_a_hundred_lines_and_every_reason_against_one_more_is_told() {
    let mut world = World::new();
    let last = LINES_MAX as u64;
    for n in 0..=last {
        let price = if n == last { eur(1) } else { usd(1) };
        world.given(SELLER, create_listing(n, price));
    }
    for n in 0..last {
        world.given(BUYER, add(n, 1));
    }
    let currency = Rejection::CurrencyMismatch {
        listing: listing(last),
        expected: usd(0).currency,
        found: eur(0).currency,
    };
    world
        .when(BUYER, add(last, 1))
        .then_rejected([Rejection::TooManyLines { max: LINES_MAX as u32 }, currency])
        .when(BUYER, add(0, 1))
        .then_types(["cart.item_added.v1"]);
}

#[test]
fn a_quantity_is_set_on_a_line_that_is_there() {
    let mut world = shop();
    world
        .when(BUYER, set(TEA, 1))
        .then_rejected([Rejection::CartMissing])
        .given(BUYER, add(TEA, 1))
        .when(BUYER, set(POT, 1))
        .then_rejected([Rejection::NotInCart { listing: listing(POT) }])
        .when(BUYER, set(TEA, 1))
        .then_unchanged();
    let cart = world.cart(BUYER);
    let (account, listing, quantity) = (BUYER.account(), listing(TEA), units(7));
    world
        .when(BUYER, set(TEA, 7))
        .then_events([QuantitySet { account, by: None, cart, listing, quantity, version: 2 }.into()])
        .when_again()
        .then_repeat();
}

#[test]
fn what_is_removed_is_gone_and_removing_it_again_changes_nothing() {
    let mut world = shop();
    world.when(BUYER, remove(TEA)).then_unchanged().given(BUYER, add(TEA, 1)).given(BUYER, add(POT, 1));
    let cart = world.cart(BUYER);
    let (account, listing) = (BUYER.account(), listing(TEA));
    world
        .when(BUYER, remove(TEA))
        .then_events([ItemRemoved { account, by: None, cart, listing, version: 3 }.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, remove(TEA))
        .then_unchanged();
}

#[test]
fn a_cart_is_cleared_once_and_stays_the_same_cart() {
    let mut world = shop();
    world.when(BUYER, clear()).then_unchanged().given(BUYER, add(TEA, 1));
    let cart = world.cart(BUYER);
    world
        .when(BUYER, clear())
        .then_events([Cleared { account: BUYER.account(), by: None, cart, version: 2 }.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, clear())
        .then_unchanged()
        .given(BUYER, add(POT, 1));
    assert_eq!(world.cart(BUYER), cart);
}

#[test]
fn only_buyers_have_carts() {
    let denied = Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    for actor in [REGISTRAR, PROVIDER, OPERATOR, SELLER] {
        let mut world = shop();
        for command in [add(TEA, 1), set(TEA, 1), remove(TEA), clear()] {
            world.when(actor, command).then_refused(denied.clone());
        }
    }
}

#[test]
fn a_command_that_names_versions_is_decided_only_against_those() {
    let cart = |version| Expected { cart: Some(version), listing: None };
    let stale =
        |what: &str, expected, current| Rejection::StaleVersion { what: what.to_owned(), expected, current };
    shop()
        .when_if(cart(1), BUYER, add(TEA, 1))
        .then_rejected([stale("cart", 1, 0)])
        .when_if(cart(0), BUYER, add(TEA, 1))
        .then_types(["cart.item_added.v1"])
        .when_if(cart(1), BUYER, set(TEA, 2))
        .then_types(["cart.quantity_set.v1"])
        .when_if(cart(1), BUYER, remove(TEA))
        .then_rejected([stale("cart", 1, 2)])
        .when_if(Expected { cart: Some(9), listing: Some(9) }, BUYER, add(TEA, 1))
        .then_rejected([stale("cart", 9, 2), stale("listing", 9, 1)]);
    let listing = |version| Expected { cart: None, listing: Some(version) };
    for (actor, command, current) in [
        (SELLER, receive(TEA, 1), 1),
        (SELLER, create_listing(99, usd(1)), 0),
        (BUYER, add(POT, 1), 1),
        (BUYER, set(TEA, 5), 1),
        (BUYER, remove(TEA), 1),
    ] {
        let mut world = shop();
        world.given(BUYER, add(TEA, 1));
        world.when_if(listing(7), actor, command.clone()).then_rejected([stale("listing", 7, current)]);
        world.when_if(listing(current), actor, command);
        assert!(!matches!(world.events(), [events::Event::CommandRejected(_)]));
    }
}
