//! The terms that purchases are priced by: tax rules, what sellers take for delivery, and promotions with their uses.

use std::collections::BTreeSet;

use events::ids::{AccountId, ListingId, OrderId, PromotionId};
use events::listing::TaxClass;
use events::order::Placed;
use events::promotion::{Benefit, CouponCode, Created, PaidBy};
use events::rejection::OrderState;
use events::shipping::{Method, RateSet};
use events::tax::{Region, Set};
use events::{Bps, Commit, Currency, Event, Money, Position, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};
use uuid::Uuid;

use crate::store::Slot;
use crate::table::{Key, Layout, Table, read_uuid};
use crate::view::{Fold, ViewError};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 2;

/// Most promotions in one page of a list.
pub const PROMOTIONS_PER_PAGE_MAX: usize = 100;

/// How something is taxed in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaxRule {
    /// The region.
    pub region: Region,
    /// The class that it is for; null: everything that has no rule of its own there.
    pub tax_class: Option<TaxClass>,
    /// The rate, in hundredths of a percent.
    pub bps: Bps,
    /// Whether prices hold the tax already; else it comes on top.
    pub inclusive: bool,
    /// Of which change of the market's rules it is.
    pub version: u64,
}

/// What a seller takes for delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShippingRate {
    /// How it is delivered.
    pub method: Method,
    /// Where to; null: everywhere that has no rate of its own.
    pub region: Option<Region>,
    /// For the whole delivery.
    pub flat: Money,
    /// It costs nothing if the goods cost so much; null: it always costs.
    pub free_from: Option<Money>,
    /// For each unit on top; null: nothing.
    pub per_unit: Option<Money>,
    /// Of which change of the seller's rates it is.
    pub version: u32,
}

/// A promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Promotion {
    /// The promotion.
    pub promotion: PromotionId,
    /// Who sells, and earns less; null: the platform pays.
    pub seller: Option<AccountId>,
    /// Who pays what it gives.
    pub paid_by: PaidBy,
    /// What buyers are told.
    pub title: String,
    /// What it gives.
    pub gives: Benefit,
    /// Only buyers who name it get it; null: everybody does.
    pub code: Option<CouponCode>,
    /// What it is taken off of; empty: everything the seller sells or, where the platform pays, everybody does.
    pub listings: BTreeSet<ListingId>,
    /// How much must be spent on it; null: anything.
    pub min_spend: Option<Money>,
    /// From when on.
    pub from: Timestamp,
    /// Until when, that moment left out; null: until somebody ends it.
    pub until: Option<Timestamp>,
    /// When somebody ended it; null: nobody has.
    pub ended_at: Option<Timestamp>,
    /// How many orders may have it; null: any number.
    pub uses: Option<u32>,
    /// How many orders of one account may have it; null: any number.
    pub uses_per_account: Option<u32>,
    /// How many orders have it.
    pub used: u64,
}

/// Some promotions of a seller or of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Oldest first.
    pub promotions: Vec<Promotion>,
    /// Pass it as `after` to get the next page; none: this was the last.
    pub next: Option<PromotionId>,
}

/// A region is as long as it says in front.
impl Key for Region {
    fn write(&self, out: &mut Vec<u8>) {
        let code = self.as_str().as_bytes();
        out.push(u8::try_from(code.len()).expect("a region has few letters"));
        out.extend_from_slice(code);
    }
}

const TAXES: Layout<Region, Vec<TaxRule>> = Layout::new(b't', VERSION);
const RATES: Layout<AccountId, Vec<ShippingRate>> = Layout::new(b'r', VERSION);
/// Promotions of sellers and, under the id that nobody has, the platform's.
const PROMOTIONS: Layout<(AccountId, PromotionId), Promotion> = Layout::new(b'p', VERSION);
/// Promotions of orders that may still give their uses back.
const DISCOUNTED: Layout<OrderId, Vec<(Payer, PromotionId)>> = Layout::new(b'd', VERSION);

/// Whose promotion it is: a seller's, or the platform's.
type Payer = Option<AccountId>;

/// Gives the key of a promotion.
fn key(payer: Payer, promotion: PromotionId) -> (AccountId, PromotionId) {
    (payer.unwrap_or(AccountId::from_uuid(Uuid::nil())), promotion)
}

/// Answers about the terms of purchases.
#[derive(Clone, Copy)]
pub struct Terms<'a>(&'a Slot);

impl<'a> Terms<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Terms(slot)
    }

    /// Gives the tax rules of a region, and of its country if it is a part of one.
    pub fn taxes(&self, region: &Region) -> Result<Vec<TaxRule>, ViewError> {
        let live = self.0.ask()?;
        let mut rules = Vec::new();
        for place in [Some(region.clone()), region.country()].into_iter().flatten() {
            rules.extend(TAXES.get(&live.tree, &place)?.unwrap_or_default());
        }
        Ok(rules)
    }

    /// Gives what a seller takes for delivery. One without rates delivers everywhere for nothing.
    pub fn rates(&self, seller: AccountId) -> Result<Vec<ShippingRate>, ViewError> {
        Ok(RATES.get(&self.0.ask()?.tree, &seller)?.unwrap_or_default())
    }

    /// Lists a seller's promotions or, of none, the platform's, oldest first: those behind `after`, or all. A page has at most
    /// `limit` promotions, and never more than [`PROMOTIONS_PER_PAGE_MAX`].
    pub fn promotions(
        &self,
        payer: Option<AccountId>,
        after: Option<PromotionId>,
        limit: usize,
    ) -> Result<Page, ViewError> {
        let limit = limit.clamp(1, PROMOTIONS_PER_PAGE_MAX);
        let live = self.0.ask()?;
        let from = key(payer, after.unwrap_or(PromotionId::from_uuid(Uuid::nil())));
        let mut page = Page { promotions: Vec::with_capacity(limit), next: None };
        for row in PROMOTIONS.scan_from(&live.tree, &from.0, &from) {
            let (key, promotion) = row?;
            if after.map(PromotionId::uuid) == read_uuid(&key) {
                continue;
            }
            if page.promotions.len() == limit {
                page.next = page.promotions.last().map(|promotion| promotion.promotion);
                break;
            }
            page.promotions.push(promotion);
        }
        Ok(page)
    }
}

/// How the view follows the log.
pub(crate) struct TermsFold {
    taxes: Table<Region, Vec<TaxRule>>,
    rates: Table<AccountId, Vec<ShippingRate>>,
    promotions: Table<(AccountId, PromotionId), Promotion>,
    discounted: Table<OrderId, Vec<(Payer, PromotionId)>>,
}

impl TermsFold {
    pub(crate) fn new() -> Self {
        TermsFold {
            taxes: Table::new(TAXES),
            rates: Table::new(RATES),
            promotions: Table::new(PROMOTIONS),
            discounted: Table::new(DISCOUNTED),
        }
    }

    fn set_tax(&mut self, tree: &Tree, event: &Set) -> Result<(), ViewError> {
        let Set { bps, inclusive, region, tax_class, version } = event.clone();
        let rules = self.taxes.entry(tree, &region)?.get_or_insert_default();
        rules.retain(|rule| rule.tax_class != tax_class);
        rules.push(TaxRule { region, tax_class, bps, inclusive, version });
        Ok(())
    }

    fn set_rate(&mut self, tree: &Tree, event: &RateSet) -> Result<(), ViewError> {
        let RateSet { method, rate, region, seller, version } = event.clone();
        let (flat, free_from, per_unit) = (rate.flat(), rate.free_from(), rate.per_unit());
        self.remove_rate(tree, seller, (flat.currency, &method, region.as_ref()))?;
        let rates = self.rates.entry(tree, &seller)?.get_or_insert_default();
        rates.push(ShippingRate { method, region, flat, free_from, per_unit, version });
        Ok(())
    }

    fn remove_rate(
        &mut self,
        tree: &Tree,
        seller: AccountId,
        of: (Currency, &Method, Option<&Region>),
    ) -> Result<(), ViewError> {
        let rates = self.rates.entry(tree, &seller)?.get_or_insert_default();
        rates.retain(|rate| (rate.flat.currency, &rate.method, rate.region.as_ref()) != of);
        Ok(())
    }

    fn create(&mut self, event: &Created) {
        let Created { code, from, gives, listings, min_spend, promotion, seller, title, .. } = event.clone();
        let Created { until, uses, uses_per_account, .. } = *event;
        let new = Promotion {
            promotion,
            seller,
            paid_by: if seller.is_some() { PaidBy::Seller } else { PaidBy::Platform },
            title,
            gives,
            code,
            listings,
            min_spend,
            from,
            until,
            ended_at: None,
            uses,
            uses_per_account,
            used: 0,
        };
        self.promotions.set(key(seller, promotion), Some(new));
    }

    fn promotion(
        &mut self,
        tree: &Tree,
        key: (AccountId, PromotionId),
        position: Position,
    ) -> Result<&mut Promotion, ViewError> {
        let missing = || ViewError::unknown(format_args!("promotion {}", key.1), position);
        self.promotions.entry(tree, &key)?.as_mut().ok_or_else(missing)
    }

    fn place(&mut self, tree: &Tree, placed: &Placed, position: Position) -> Result<(), ViewError> {
        let discounts = placed.lines.iter().flat_map(|line| &line.discounts);
        let promotions = discounts.map(|discount| {
            let payer = Some(placed.seller).filter(|_| discount.paid_by == PaidBy::Seller);
            (payer, discount.promotion)
        });
        let promotions: BTreeSet<(Payer, PromotionId)> = promotions.collect();
        if promotions.is_empty() {
            return Ok(());
        }
        for (payer, promotion) in &promotions {
            self.promotion(tree, key(*payer, *promotion), position)?.used += 1;
        }
        self.discounted.set(placed.order, Some(Vec::from_iter(promotions)));
        Ok(())
    }

    fn close(&mut self, tree: &Tree, end: &events::order::End, position: Position) -> Result<(), ViewError> {
        let Some(promotions) = self.discounted.take(tree, &end.order)? else { return Ok(()) };
        if end.state != OrderState::Cancelled {
            return Ok(());
        }
        for (payer, promotion) in promotions {
            let used = &mut self.promotion(tree, key(payer, promotion), position)?.used;
            *used = used.checked_sub(1).ok_or(ViewError::overflow("uses of a promotion", position))?;
        }
        Ok(())
    }
}

impl Fold for TermsFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        for recorded in commit.events() {
            let position = recorded.position;
            match &recorded.event {
                Event::TaxSet(e) => self.set_tax(tree, e)?,
                Event::ShippingRateSet(e) => self.set_rate(tree, e)?,
                Event::ShippingRateRemoved(e) => {
                    self.remove_rate(tree, e.seller, (e.currency, &e.method, e.region.as_ref()))?;
                }
                Event::PromotionCreated(e) => self.create(e),
                Event::PromotionEnded(e) => {
                    self.promotion(tree, key(e.seller, e.promotion), position)?.ended_at =
                        Some(commit.time());
                }
                Event::OrderPlaced(placed) => self.place(tree, placed, position)?,
                other => {
                    if let Some(end) = other.order_end() {
                        self.close(tree, &end, position)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.taxes.write(tree, batch)?;
        self.rates.write(tree, batch)?;
        self.promotions.write(tree, batch)?;
        self.discounted.write(tree, batch)
    }
}
