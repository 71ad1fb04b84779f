//! What somebody bought of late or is about to buy, which his results are put in order by a little.

use std::sync::PoisonError;

use events::ids::{AccountId, ListingId};
use events::search::Category;

use super::columns::Numbers;
use super::index::{Borne, Label};
use super::{Inner, SearchError};
use crate::listing::ROWS;
use crate::order::Side;
use crate::runner::Projections;
use crate::view::ViewName;

/// Orders that are looked at, the newest.
const ORDERS_MAX: usize = 10;
/// Listings of those orders and of the cart that are looked at.
const LISTINGS_MAX: usize = 30;
/// What a listing gains whose seller he bought from, and what one gains whose category he bought from. Together less than a word
/// loses by being a synonym, so of one word they only move what fits equally well.
const OF_SELLER: u32 = 40;
const OF_CATEGORY: u32 = 40;

/// What somebody bought of late or is about to buy.
#[derive(Debug, Default)]
pub(super) struct Taste {
    /// The places of the sellers.
    sellers: Numbered,
    /// The labels of the narrowest categories.
    categories: Numbered,
}

/// Some numbers out of few, asked for once for each result.
#[derive(Debug, Default)]
struct Numbered(Vec<bool>);

impl Numbered {
    fn add(&mut self, number: u32) {
        let at = number as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, false);
        }
        self.0[at] = true;
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(number as usize).copied().unwrap_or(false)
    }
}

impl Taste {
    /// Reads it from the views of orders and carts.
    pub(super) fn of(account: AccountId, views: &Projections, inner: &Inner) -> Result<Taste, SearchError> {
        let orders = views.orders().list(Side::Buyer, account, None, ORDERS_MAX)?.orders;
        let cart = views.carts().active(account)?;
        let carried = cart.iter().flat_map(|cart| cart.lines.iter().map(|line| line.listing));
        let bought = orders.iter().flat_map(|order| order.lines.iter().map(|line| line.listing));
        let listings: Vec<ListingId> = carried.chain(bought).take(LISTINGS_MAX).collect();
        let mut taste = Taste::default();
        let live = views.inner.store.slot(ViewName::Listings).read();
        let labels = inner.labels.read().unwrap_or_else(PoisonError::into_inner);
        for listing in listings {
            let Some(offer) = ROWS.offer(&live.tree, listing)? else { continue };
            if let Some(place) = inner.columns.place_of(offer.listing.seller) {
                taste.sellers.add(place);
            }
            let category = offer.words.category.as_ref().map(Category::as_str);
            if let Some(borne) = category.and_then(|category| labels.find(Label::Category(category))) {
                taste.categories.add(borne.label);
            }
        }
        Ok(taste)
    }

    /// Gives what a listing gains.
    pub(super) fn gain(&self, numbers: &Numbers, labels: &[Borne]) -> u32 {
        let of_seller = if self.sellers.has(numbers.seller) { OF_SELLER } else { 0 };
        let is_of_category = labels.iter().any(|borne| self.categories.has(borne.label));
        of_seller + if is_of_category { OF_CATEGORY } else { 0 }
    }
}
