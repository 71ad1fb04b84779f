//! Listings and their stock.

use crate::support::*;
use commands::Refusal;
use commands::listing::STOCK_MAX;
use events::listing::{Created, StockReceived};
use events::{Money, Rejection};

fn no_role() -> Refusal {
    Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() }
}

#[test]
fn a_seller_lists_a_thing_at_its_first_version_with_nothing_in_stock() {
    let created = Created::new(listing(TEA), usd(500), SELLER.account(), "A thing".to_owned());
    World::new()
        .when(SELLER, create_listing(TEA, usd(500)))
        .then_events([created.into()])
        .then(|market| assert_eq!(market.listings.get(listing(TEA)).unwrap().available(), 0))
        .when_again()
        .then_repeat();
}

#[test]
fn a_listing_is_new_and_costs_something() {
    let exists = || Rejection::ListingExists { listing: listing(TEA) };
    let mut world = World::new();
    world.given(SELLER, create_listing(TEA, usd(500)));
    for (n, price, reasons) in [
        (TEA, 500, vec![exists()]),
        (POT, 0, vec![Rejection::PriceNotPositive]),
        (POT, -1, vec![Rejection::PriceNotPositive]),
        (POT, i64::MIN, vec![Rejection::PriceNotPositive]),
    ] {
        let reasons: [Rejection; 1] = reasons.try_into().unwrap();
        world.when(SELLER, create_listing(n, usd(price))).then_rejected(reasons);
    }
    world
        .when(OTHER_SELLER, create_listing(TEA, usd(0)))
        .then_rejected([exists(), Rejection::PriceNotPositive])
        .when(SELLER, create_listing(POT, usd(Money::MINOR_MAX)))
        .then_types(["listing.created.v1"]);
}

#[test]
fn only_sellers_list_and_receive_stock() {
    for actor in [REGISTRAR, PROVIDER, OPERATOR, BUYER] {
        let mut world = World::new();
        world.when(actor, create_listing(TEA, usd(1))).then_refused(no_role());
        world.when(actor, receive(TEA, 1)).then_refused(no_role());
    }
}

#[test]
fn stock_adds_up() {
    let received = |on_hand, n| {
        StockReceived { listing: listing(TEA), location: None, on_hand, quantity: units(n) }.into()
    };
    World::new()
        .given(SELLER, create_listing(TEA, usd(500)))
        .when(SELLER, receive(TEA, 3))
        .then_events([received(3, 3)])
        .when_again()
        .then_repeat()
        .when(SELLER, receive(TEA, 1_000_000))
        .then_events([received(1_000_003, 1_000_000)])
        .then(|market| assert_eq!(market.listings.get(listing(TEA)).unwrap().available(), 1_000_003));
}

#[test]
fn only_the_listings_seller_receives_its_stock() {
    World::new()
        .given(SELLER, create_listing(TEA, usd(500)))
        .when(SELLER, receive(POT, 1))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }])
        .when(OTHER_SELLER, receive(TEA, 1))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }]);
}

#[test]
fn stock_has_a_limit_which_can_be_reached() {
    let before =
        StockReceived { listing: listing(TEA), location: None, on_hand: STOCK_MAX - 5, quantity: units(1) };
    World::new()
        .given(SELLER, create_listing(TEA, usd(500)))
        .given_events([before.into()])
        .when(SELLER, receive(TEA, 6))
        .then_rejected([Rejection::StockOverflow { listing: listing(TEA), max: STOCK_MAX }])
        .when(SELLER, receive(TEA, 5))
        .then_types(["stock.received.v1"]);
}
