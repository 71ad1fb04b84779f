//! What else somebody may want: what is bought together, and what is ordered of late.
//!
//! | question | key | size | written for an order of n listings |
//! |---|---|---|---|
//! | how often a listing was ordered, of late and in all | its number here | about 30 B | n |
//! | the number of a listing | listing | 20 B | once for each listing |
//! | what a listing was bought with | its number | 7 B for each of at most 200 | n, if n is 2 or more |
//! | what is ordered the most of late | rank, number | 20 B, nothing but its key | 2 n |
//! | how many baskets there were | only one | 6 B | 1 |
//! | what an order holds that is not paid yet | order | 17 B for each line | 2, if it waits for a payment |
//!
//! What of it changes is written once for each batch of commits. A basket is what one purchase holds, whoever sells it; it counts
//! when it is paid, or held by a provider to be paid. No account is remembered. What somebody may want for himself is found by
//! what the views of orders and carts say that he has.

use std::collections::{BTreeMap, HashSet};

use events::ids::{AccountId, ListingId, OrderGroupId, OrderId};
use events::listing::ListingStatus;
use events::order::{Cancelled, Placed};
use events::search::Category;
use events::{Commit, Event, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

pub use self::counts::{BASKET_LISTINGS_MAX, NEIGHBOURS_MAX, Practice, SOURCES_MAX, TOGETHER_MIN};
use self::counts::{Counts, belonging_to};
pub use self::decay::HALF_LIFE_DAYS;
pub use self::llr::{SIGNIFICANT, Together};
use crate::listing::{Offer, ROWS};
use crate::order::{OrderFilter, Side};
use crate::runner::Projections;
use crate::table::{Layout, Table};
use crate::view::{Fold, ViewError, ViewName};

mod counts;
mod decay;
mod llr;

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 1;
/// Most listings that are recommended at once.
pub const RECOMMENDED_MAX: usize = 50;
/// Most of one seller's that stand before others'.
const OF_SELLER_MAX: usize = 4;
/// Listings that are looked at for what is ordered of late, the most often ordered; what can't be bought is passed over.
const POPULAR_LOOKED_AT_MAX: usize = 500;
/// The same where those of one category are asked for.
const POPULAR_IN_CATEGORY_LOOKED_AT_MAX: usize = 2_000;
/// What somebody has: so many of his newest orders are looked at, and so many listings of these and of his cart.
const ORDERS_MAX: usize = 10;
const OWN_LISTINGS_MAX: usize = 30;

/// A listing that somebody may want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recommended {
    /// The listing, as it is now.
    pub offer: Offer,
    /// Why.
    pub reason: Reason,
}

/// Why a listing is recommended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "RecommendationReason")]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// It is bought together with another.
    BoughtWith {
        /// The other: one that was asked for, or that he has.
        listing: ListingId,
        /// What that is.
        title: String,
        /// In how many orders at least.
        orders: u64,
    },
    /// It is ordered a lot of late.
    Popular {
        /// How many orders of now weigh as much: one counts for half after a week.
        orders: u64,
    },
}

/// Answers what else somebody may want. What can't be bought now, and what only some may buy, is never recommended.
#[derive(Clone, Copy)]
pub struct Recommendations<'a>(&'a Projections);

impl<'a> Recommendations<'a> {
    pub(crate) fn new(views: &'a Projections) -> Self {
        Recommendations(views)
    }

    /// Gives what is bought together with some listings, what belongs to them the most first; of more than [`SOURCES_MAX`] the
    /// first count. At most `limit`, and never more than [`RECOMMENDED_MAX`]. Reads the disk.
    pub fn bought_with(&self, listings: &[ListingId], limit: usize) -> Result<Vec<Recommended>, ViewError> {
        let mut page = Page::new(limit, listings);
        self.add_belonging(listings, &mut page)?;
        Ok(page.recommended())
    }

    /// Gives what belongs to what somebody has of late, and behind it what is ordered of late. Nothing that he has is among it.
    /// Reads the disk.
    pub fn for_you(
        &self,
        account: AccountId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Recommended>, ViewError> {
        let own = owned_of_late(self.0, account)?;
        let mut page = Page::new(limit, &own);
        self.add_belonging(&own, &mut page)?;
        if !page.is_full() {
            self.add_popular(now, None, &mut page)?;
        }
        Ok(page.recommended())
    }

    /// Gives what is ordered the most of late, of a category or of all. Reads the disk.
    pub fn popular(
        &self,
        category: Option<&Category>,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Recommended>, ViewError> {
        let mut page = Page::new(limit, &[]);
        self.add_popular(now, category, &mut page)?;
        Ok(page.recommended())
    }

    fn add_belonging(&self, listings: &[ListingId], page: &mut Page) -> Result<(), ViewError> {
        let found = belonging_to(&self.0.inner.store.slot(ViewName::Recommendations).ask()?.tree, listings)?;
        let live = self.0.inner.store.slot(ViewName::Listings).ask()?;
        for candidate in found {
            if page.is_full() {
                break;
            }
            let Some(because) = ROWS.listing(&live.tree, candidate.because)? else { continue };
            let Some(offer) = ROWS.offer(&live.tree, candidate.listing)? else { continue };
            page.add(offer, || Reason::BoughtWith {
                listing: candidate.because,
                title: because.title,
                orders: u64::from(candidate.orders),
            });
        }
        Ok(())
    }

    fn add_popular(
        &self,
        now: Timestamp,
        category: Option<&Category>,
        page: &mut Page,
    ) -> Result<(), ViewError> {
        let counted = self.0.inner.store.slot(ViewName::Recommendations).ask()?;
        let live = self.0.inner.store.slot(ViewName::Listings).ask()?;
        let looked_at_max = category.map_or(POPULAR_LOOKED_AT_MAX, |_| POPULAR_IN_CATEGORY_LOOKED_AT_MAX);
        for row in counts::popular(&counted.tree, now).take(looked_at_max) {
            let (listing, orders) = row?;
            if page.is_full() || orders == 0 {
                break;
            }
            let Some(offer) = ROWS.offer(&live.tree, listing)? else { continue };
            let is_within = |wanted: &Category| {
                let own = offer.words.category.as_ref();
                own.is_some_and(|own| own.and_wider().any(|one| one == wanted.as_str()))
            };
            if category.is_none_or(is_within) {
                page.add(offer, || Reason::Popular { orders });
            }
        }
        Ok(())
    }
}

/// What is recommended at once.
struct Page {
    limit: usize,
    /// What is on it already, or must not be.
    known: HashSet<ListingId>,
    first: Vec<Recommended>,
    /// Of sellers who have [`OF_SELLER_MAX`] before.
    later: Vec<Recommended>,
}

impl Page {
    fn new(limit: usize, but: &[ListingId]) -> Page {
        let limit = limit.clamp(1, RECOMMENDED_MAX);
        Page { limit, known: but.iter().copied().collect(), first: Vec::new(), later: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.first.len() >= self.limit
    }

    /// Adds a listing, if it can be bought.
    fn add(&mut self, offer: Offer, reason: impl FnOnce() -> Reason) {
        let can_be_bought = offer.listing.status() == ListingStatus::Active
            && !offer.is_seller_suspended
            && !offer.listing.is_restricted
            && offer.listing.stock.available() > 0;
        if self.known.insert(offer.listing.listing) && can_be_bought {
            let is_same = |other: &&Recommended| other.offer.listing.seller == offer.listing.seller;
            let before = self.first.iter().filter(is_same).count();
            let place = if before < OF_SELLER_MAX { &mut self.first } else { &mut self.later };
            if place.len() < self.limit {
                place.push(Recommended { offer, reason: reason() });
            }
        }
    }

    fn recommended(self) -> Vec<Recommended> {
        self.first.into_iter().chain(self.later).take(self.limit).collect()
    }
}

/// Gives the listings that somebody has in his cart and those of his newest orders, each once.
pub(crate) fn owned_of_late(views: &Projections, account: AccountId) -> Result<Vec<ListingId>, ViewError> {
    let orders = views.orders().list(Side::Buyer, account, OrderFilter::All, None, ORDERS_MAX)?.orders;
    let cart = views.carts().active(account)?;
    let carried = cart.iter().flat_map(|cart| cart.lines.iter().map(|line| line.listing));
    let bought = orders.iter().flat_map(|order| order.lines.iter().map(|line| line.listing));
    let mut seen = HashSet::new();
    Ok(carried.chain(bought).filter(|listing| seen.insert(*listing)).take(OWN_LISTINGS_MAX).collect())
}

/// What an order holds whose payment is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    group: Option<OrderGroupId>,
    listings: Vec<ListingId>,
}

const WAITING: Layout<OrderId, Waiting> = Layout::new(b'o', VERSION);

impl Waiting {
    fn new(placed: &Placed) -> Self {
        Waiting { group: placed.group, listings: placed.lines.iter().map(|line| line.listing).collect() }
    }
}

/// How the view follows the log.
pub(crate) struct RecommendationFold {
    counts: Counts,
    waiting: Table<OrderId, Waiting>,
}

impl RecommendationFold {
    pub(crate) fn new() -> Self {
        RecommendationFold { counts: Counts::new(), waiting: Table::new(WAITING) }
    }

    fn cancelled(&mut self, tree: &Tree, cancelled: &Cancelled) -> Result<(), ViewError> {
        let Some(mut waiting) = self.waiting.take(tree, &cancelled.order)? else { return Ok(()) };
        waiting.listings.retain(|listing| cancelled.lines.iter().all(|line| line.listing != *listing));
        // An event of the first version names no lines: it is about all of them.
        if !waiting.listings.is_empty() && !cancelled.lines.is_empty() {
            self.waiting.set(cancelled.order, Some(waiting));
        }
        Ok(())
    }
}

impl Fold for RecommendationFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        // The orders of one purchase are paid in one commit, and are one basket.
        let mut baskets: BTreeMap<(Option<OrderGroupId>, Option<OrderId>), Vec<ListingId>> = BTreeMap::new();
        let mut at = None;
        for recorded in commit.events() {
            let paid = match &recorded.event {
                // What replaces something was not chosen again.
                Event::OrderPlaced(placed) if placed.replaces.is_some() => continue,
                Event::OrderPlaced(placed) if placed.payment.is_none() => {
                    (placed.order, Waiting::new(placed))
                }
                Event::OrderPlaced(placed) => {
                    self.waiting.set(placed.order, Some(Waiting::new(placed)));
                    continue;
                }
                Event::OrderPaid(events::order::Paid { order, .. })
                | Event::OrderAuthorized(events::order::Authorized { order, .. }) => {
                    match self.waiting.take(tree, order)? {
                        Some(waiting) => (*order, waiting),
                        None => continue,
                    }
                }
                Event::OrderCancelled(cancelled) => {
                    self.cancelled(tree, cancelled)?;
                    continue;
                }
                _ => continue,
            };
            let (order, Waiting { group, listings }) = paid;
            let alone = group.is_none().then_some(order);
            baskets.entry((group, alone)).or_default().extend(listings);
            at = Some(recorded.metadata.time);
        }
        for (basket, at) in baskets.into_values().zip(at.into_iter().cycle()) {
            self.counts.take(tree, &basket, at)?;
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.counts.write(tree, batch)?;
        self.waiting.write(tree, batch)
    }
}
