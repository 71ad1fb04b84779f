//! What somebody bought of late or is about to buy, which his results are put in order by a little.

use std::collections::HashSet;
use std::sync::PoisonError;

use events::ids::{AccountId, ListingId};
use events::search::Category;

use super::columns::Numbers;
use super::index::Label;
use super::{Inner, SearchError};
use crate::listing::ROWS;
use crate::order::Side;
use crate::runner::Projections;
use crate::view::ViewName;

/// Orders that are looked at, the newest.
const ORDERS_MAX: usize = 10;
/// Listings of those orders and of the cart that are looked at.
const LISTINGS_MAX: usize = 30;
/// What a listing gains of whose seller he bought, and what one gains of whose category he did. Together less than a word gains by
/// being whole, so they only move what fits about as well.
const OF_SELLER: u32 = 40;
const OF_CATEGORY: u32 = 40;

/// What somebody bought of late or is about to buy.
#[derive(Debug, Default)]
pub(super) struct Taste {
    /// The places of the sellers.
    sellers: HashSet<u32>,
    /// The labels of the narrowest categories.
    categories: HashSet<u32>,
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
            taste.sellers.extend(inner.columns.place_of(offer.listing.seller));
            let category = offer.words.category.as_ref().map(Category::as_str);
            let label = category.and_then(|category| labels.number_of(&Label::Category(category).write()));
            taste.categories.extend(label);
        }
        Ok(taste)
    }

    /// Gives what a listing gains.
    pub(super) fn gain(&self, numbers: &Numbers, labels: &[u32]) -> u32 {
        let of_seller = if self.sellers.contains(&numbers.seller) { OF_SELLER } else { 0 };
        let is_of_category =
            !self.categories.is_empty() && labels.iter().any(|label| self.categories.contains(label));
        of_seller + if is_of_category { OF_CATEGORY } else { 0 }
    }
}
