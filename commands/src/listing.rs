//! Listings with their stock.

use std::collections::BTreeMap;

use events::ids::{AccountId, ListingId};
use events::listing::{Created, StockReceived};
use events::{Event, Money, Rejection};
use serde::{Deserialize, Serialize};

use crate::command::{CreateListing, ReceiveStock};
use crate::market::Market;

/// Most units that one listing can have on hand.
pub const STOCK_MAX: u64 = 1_000_000_000_000;

/// A listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Who sells.
    pub seller: AccountId,
    /// Price of one unit.
    pub price: Money,
    /// Counts its changes from 1.
    pub version: u32,
    /// Units in stock, the reserved ones among them.
    pub on_hand: u64,
    /// Units that belong to orders not yet shipped; never more than are on hand.
    pub reserved: u64,
}

impl Listing {
    /// Gives how many units can be sold.
    pub fn available(&self) -> u64 {
        self.on_hand - self.reserved
    }
}

/// All listings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listings {
    by_id: BTreeMap<ListingId, Listing>,
}

impl Listings {
    /// Finds a listing.
    pub fn get(&self, listing: ListingId) -> Option<&Listing> {
        self.by_id.get(&listing)
    }

    /// Gives every listing.
    pub fn iter(&self) -> impl Iterator<Item = (&ListingId, &Listing)> {
        self.by_id.iter()
    }

    pub(crate) fn created(&mut self, event: &Created) {
        let Created { listing, price, seller, version, title: _ } = event;
        let new = Listing { seller: *seller, price: *price, version: *version, on_hand: 0, reserved: 0 };
        self.by_id.insert(*listing, new);
    }

    pub(crate) fn stock_received(&mut self, event: &StockReceived) {
        self.known(event.listing).on_hand = event.on_hand;
    }

    pub(crate) fn reserve(&mut self, listing: ListingId, units: u64) {
        let listing = self.known(listing);
        listing.reserved += units;
        assert!(listing.reserved <= listing.on_hand, "no more units are reserved than are on hand");
    }

    pub(crate) fn unreserve(&mut self, listing: ListingId, units: u64) {
        let listing = self.known(listing);
        assert!(listing.reserved >= units, "no more units are freed than were reserved");
        listing.reserved -= units;
    }

    pub(crate) fn ship(&mut self, listing: ListingId, units: u64) {
        self.unreserve(listing, units);
        self.known(listing).on_hand -= units;
    }

    fn known(&mut self, listing: ListingId) -> &mut Listing {
        self.by_id.get_mut(&listing).expect("an event about a listing follows the listing's creation")
    }
}

pub(crate) fn decide_create(
    market: &Market,
    seller: AccountId,
    command: &CreateListing,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let CreateListing { listing, price, title } = command;
    let mut reasons = Vec::new();
    if market.listings.get(*listing).is_some() {
        reasons.push(Rejection::ListingExists { listing: *listing });
    }
    if !price.is_positive() {
        reasons.push(Rejection::PriceNotPositive);
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let title = title.as_str().to_owned();
    Ok(vec![Created { listing: *listing, price: *price, seller, title, version: 1 }.into()])
}

pub(crate) fn decide_receive(
    market: &Market,
    seller: AccountId,
    command: &ReceiveStock,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReceiveStock { listing: id, quantity } = *command;
    let Some(listing) = market.listings.get(id) else {
        return Err(vec![Rejection::ListingUnknown { listing: id }]);
    };
    if listing.seller != seller {
        return Err(vec![Rejection::NotYourListing { listing: id }]);
    }
    let on_hand = listing.on_hand + u64::from(quantity.get());
    if on_hand > STOCK_MAX {
        return Err(vec![Rejection::StockOverflow { listing: id, max: STOCK_MAX }]);
    }
    Ok(vec![StockReceived { listing: id, on_hand, quantity }.into()])
}
