//! What somebody bought of late or is about to buy, which his results are put in order by a little.

use std::sync::PoisonError;

use events::ids::AccountId;
use events::search::Category;

use super::columns::Numbers;
use super::index::{Borne, Label};
use super::{Inner, SearchError};
use crate::listing::ROWS;
use crate::recommendation::owned_of_late;
use crate::runner::Projections;
use crate::view::{ViewError, ViewName};

/// What a listing gains whose seller he bought from, and what one gains whose category he bought from. Together less than a word
/// loses by being a synonym, so of one word they only move what fits equally well.
const OF_SELLER: u32 = 40;
const OF_CATEGORY: u32 = 40;
/// The most that a listing gains.
pub(super) const GAIN_MAX: u32 = OF_SELLER + OF_CATEGORY;

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
        let listings = match owned_of_late(views, account) {
            // Nobody's search hangs on the views of orders and carts.
            Err(ViewError::Stopped { .. }) => return Ok(Taste::default()),
            owned => owned?,
        };
        let mut taste = Taste::default();
        let live = views.inner.store.slot(ViewName::Listings).ask()?;
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
