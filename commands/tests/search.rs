//! What a listing is found by: said whole by its seller, and remembered by nobody who decides.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::collections::{BTreeMap, BTreeSet};

use commands::command::DescribeListing;
use events::Rejection;
use events::listing::ListingStatus;
use events::search::Described;
use support::*;

fn shop() -> World {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10);
    world
}

/// A description of a tea.
fn describe(n: u64) -> DescribeListing {
    let attributes = BTreeMap::from([("colour".to_owned(), "green".to_owned())]);
    DescribeListing {
        attributes: Some(attributes.try_into().unwrap()),
        category: Some("kitchen/tea".parse().unwrap()),
        description: Some(text("From Uji.")),
        listing: listing(n),
        tags: Some(BTreeSet::from(["leaf".to_owned(), "loose".to_owned()]).try_into().unwrap()),
    }
}

fn described() -> Described {
    Described {
        attributes: BTreeMap::from([("colour".to_owned(), "green".to_owned())]),
        category: Some("kitchen/tea".parse().unwrap()),
        description: Some("From Uji.".to_owned()),
        listing: listing(TEA),
        tags: BTreeSet::from(["leaf".to_owned(), "loose".to_owned()]),
    }
}

#[test]
fn a_seller_says_what_a_listing_is_found_by_in_place_of_what_he_said_before() {
    let bare =
        DescribeListing { attributes: None, category: None, description: None, tags: None, ..describe(TEA) };
    let nothing = Described {
        attributes: BTreeMap::new(),
        category: None,
        description: None,
        listing: listing(TEA),
        tags: BTreeSet::new(),
    };
    let mut world = shop();
    let before = world.market.clone();
    world
        .when(SELLER, describe(TEA))
        .then_events([described().into()])
        .when(SELLER, describe(TEA))
        .then_events([described().into()])
        .when(SELLER, bare)
        .then_events([nothing.into()]);
    assert_eq!(world.market.listings, before.listings, "no memory is spent on it");
}

#[test]
fn only_its_seller_describes_a_listing_and_only_while_it_is_offered() {
    let unavailable =
        Rejection::ListingUnavailable { listing: listing(TEA), status: ListingStatus::Withdrawn };
    shop()
        .when(OTHER_SELLER, describe(TEA))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }])
        .when(SELLER, describe(POT))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }])
        .given(SELLER, pause(TEA))
        .when(SELLER, describe(TEA))
        .then_types(["listing.described.v1"])
        .given(SELLER, withdraw(TEA))
        .when(SELLER, describe(TEA))
        .then_rejected([unavailable]);
}
