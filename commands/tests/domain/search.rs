//! What a listing is found by: said whole by its seller, and remembered by nobody who decides.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::*;
use commands::Refusal;
use commands::command::{DescribeListing, SetSynonyms, SynonymGroup};
use events::Rejection;
use events::listing::ListingStatus;
use events::search::{Described, SynonymsSet};

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

fn group(words: &[&str]) -> Result<SynonymGroup, String> {
    words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>().try_into()
}

#[test]
fn an_operator_says_which_words_mean_the_same() {
    let groups = vec![group(&["sofa", "couch"]).unwrap()];
    let set = SynonymsSet { groups: vec![BTreeSet::from(["couch".to_owned(), "sofa".to_owned()])] };
    let rule = "the account has no role that may give this command";
    shop()
        .when(OPERATOR, SetSynonyms { groups: groups.clone() })
        .then_events([set.into()])
        .when(OPERATOR, SetSynonyms { groups: vec![] })
        .then_events([SynonymsSet { groups: vec![] }.into()])
        .when(SELLER, SetSynonyms { groups })
        .then_refused(Refusal::ScopeDenied { rule: rule.into() });
}

#[test]
fn words_that_mean_the_same_are_few_and_plain() {
    assert!(group(&["day", "ημέρα", "2"]).is_ok());
    let long = "x".repeat(41);
    for bad in [&["sofa"][..], &["day bed", "sofa"], &["", "sofa"], &["a"; 9], &[long.as_str(), "y"]] {
        assert!(group(bad).is_err(), "{bad:?}");
    }
    let nine: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    assert!(group(&nine.iter().map(String::as_str).collect::<Vec<_>>()).is_err());
    let read = |count: usize| {
        let groups: Vec<_> = (0..count).map(|_| ["a", "b"]).collect();
        commands::Command::parse("search.set_synonyms", &serde_json::json!({ "groups": groups }))
    };
    assert!(read(500).is_ok() && read(501).is_err());
}
