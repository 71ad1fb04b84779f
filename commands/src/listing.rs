//! Listings: what is offered, by whom, and whether it can be bought. Their stock is in [`crate::stock`].

use std::collections::BTreeMap;

use events::escrow::rule::ReleaseRule;
use events::ids::{AccountId, ListingId};
use events::listing::{
    Blocked, Created, Limits, ListingStatus, Paused, Resumed, TaxClass, Unblocked, Updated, Variant,
    Withdrawn,
};
use events::location::Located;
use events::rejection::ReleaseRejection;
use events::stock::Stock;
use events::{Event, Money, Rejection};
use serde::{Deserialize, Serialize};

pub use crate::command::STOCK_MAX;
use crate::command::{
    AskedVariant, BlockListing, CreateListing, PauseListing, ResumeListing, UnblockListing, UpdateListing,
    WithdrawListing,
};
use crate::market::Market;
use crate::reservation::Terms;

/// A listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Who sells.
    pub seller: AccountId,
    /// Price of one unit.
    pub price: Money,
    /// Counts its changes from 1.
    pub version: u32,
    /// What it is.
    pub title: Box<str>,
    /// How it is taxed.
    pub tax_class: Option<TaxClass>,
    /// The fewest and the most units that an order may have of it.
    pub limits: (u32, u32),
    /// Whether only accounts that are cleared for it may buy it.
    pub is_restricted: bool,
    /// Whether its seller takes nothing of it back after it was delivered.
    pub is_final: bool,
    /// The listing it is a variant of.
    pub variant_of: Option<ListingId>,
    /// Whether its seller sells it.
    pub sale: Sale,
    /// Whether an operator forbids that it is sold.
    pub is_blocked: bool,
    /// What is there of it.
    pub stock: Stock,
    /// How buyers may set units aside before they order them; none: they may not.
    pub reservable: Option<Box<Terms>>,
    /// What sets its money free besides what the market asks for.
    pub release: Option<Box<ReleaseRule>>,
}

/// Whether a seller sells a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sale {
    /// He does.
    Open,
    /// Not for the time being.
    Paused,
    /// Not any more.
    Withdrawn,
}

impl Listing {
    /// Gives how many units can be sold.
    pub fn available(&self) -> u64 {
        self.stock.available()
    }

    /// Tells whether it can be bought, its seller and its stock aside.
    pub fn status(&self) -> ListingStatus {
        match self.sale {
            Sale::Withdrawn => ListingStatus::Withdrawn,
            _ if self.is_blocked => ListingStatus::Blocked,
            Sale::Paused => ListingStatus::Paused,
            Sale::Open => ListingStatus::Active,
        }
    }
}

/// All listings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listings {
    by_id: BTreeMap<ListingId, Listing>,
    /// The variants of listings, by what sets them apart.
    variants: BTreeMap<ListingId, BTreeMap<BTreeMap<String, String>, ListingId>>,
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
        let new = Listing {
            seller: event.seller,
            price: event.price,
            version: event.version,
            title: event.title.as_str().into(),
            tax_class: event.tax_class.clone(),
            limits: event.limits.unwrap_or_default().range(),
            is_restricted: event.restricted,
            is_final: event.final_sale,
            variant_of: event.variant.as_ref().map(|variant| variant.of),
            sale: Sale::Open,
            is_blocked: false,
            stock: Stock::default(),
            reservable: None,
            release: event.release.clone().map(Box::new),
        };
        self.by_id.insert(event.listing, new);
        if let Some(Variant { attributes, of }) = &event.variant {
            self.variants.entry(*of).or_default().insert(attributes.clone(), event.listing);
        }
    }

    pub(crate) fn updated(&mut self, event: &Updated) {
        let Updated { final_sale, limits, listing, price, restricted, tax_class, title, version, release } =
            event;
        let known = self.known(*listing);
        known.version = *version;
        if let Some(limits) = limits {
            known.limits = limits.range();
        }
        if let Some(price) = price {
            known.price = *price;
        }
        if let Some(final_sale) = final_sale {
            known.is_final = *final_sale;
        }
        if let Some(restricted) = restricted {
            known.is_restricted = *restricted;
        }
        if let Some(tax_class) = tax_class {
            known.tax_class = Some(tax_class.clone());
        }
        if let Some(title) = title {
            known.title = title.as_str().into();
        }
        if let Some(release) = release {
            known.release = Some(Box::new(release.clone()));
        }
    }

    pub(crate) fn enter(&mut self, listing: ListingId, sale: Sale) {
        self.known(listing).sale = sale;
    }

    pub(crate) fn block(&mut self, listing: ListingId, is_blocked: bool) {
        self.known(listing).is_blocked = is_blocked;
    }

    /// Changes what is in stock of a listing.
    pub(crate) fn change_stock(&mut self, listing: ListingId, change: impl FnOnce(&mut Stock) -> Option<()>) {
        change(&mut self.known(listing).stock).expect("an event about stock fits what is there");
    }

    pub(crate) fn allow_reservations(&mut self, listing: ListingId, terms: Option<Box<Terms>>) {
        self.known(listing).reservable = terms;
    }

    /// Keeps units for an order, or for a buyer who sets them aside. `own` are what the buyer has set aside already; his
    /// order takes those first, as the event behind it says.
    pub(crate) fn reserve(&mut self, listing: ListingId, units: u64, own: u64, locations: &[Located]) {
        self.change_stock(listing, |stock| {
            assert!(units <= stock.available_to(own), "no more units are reserved than can be sold");
            stock.reserve(units, locations)
        });
    }

    fn known(&mut self, listing: ListingId) -> &mut Listing {
        self.by_id.get_mut(&listing).expect("an event about a listing follows the listing's creation")
    }
}

/// Finds a listing of a seller.
pub(crate) fn owned(
    market: &Market,
    seller: AccountId,
    listing: ListingId,
) -> Result<&Listing, Vec<Rejection>> {
    match market.listings.get(listing) {
        None => Err(vec![Rejection::ListingUnknown { listing }]),
        Some(known) if known.seller != seller => Err(vec![Rejection::NotYourListing { listing }]),
        Some(known) => Ok(known),
    }
}

/// Finds a listing of a seller that he has not withdrawn.
pub(crate) fn offered(
    market: &Market,
    seller: AccountId,
    listing: ListingId,
) -> Result<&Listing, Vec<Rejection>> {
    let known = owned(market, seller, listing)?;
    match known.status() {
        status @ ListingStatus::Withdrawn => Err(vec![Rejection::ListingUnavailable { listing, status }]),
        _ => Ok(known),
    }
}

/// Finds why a listing can't be bought by anybody, its stock aside.
pub(crate) fn check_sale(market: &Market, listing: ListingId, known: &Listing, reasons: &mut Vec<Rejection>) {
    let status = known.status();
    if status != ListingStatus::Active {
        reasons.push(Rejection::ListingUnavailable { listing, status });
    }
    let seller = known.seller;
    if market.accounts.get(seller).is_some_and(|account| !account.may_sell()) {
        reasons.push(Rejection::SellerSuspended { listing, seller });
    }
}

fn check_terms(price: Option<Money>, limits: Option<Limits>, reasons: &mut Vec<Rejection>) {
    if price.is_some_and(|price| !price.is_positive()) {
        reasons.push(Rejection::PriceNotPositive);
    }
    if let Some(Limits { min: Some(min), max: Some(max) }) = limits
        && min > max
    {
        reasons.push(Rejection::LimitsContradict { min, max });
    }
}

/// A rule comes on top of the market's own, and both together are one.
fn check_release(
    market: &Market,
    listing: ListingId,
    release: Option<&ReleaseRule>,
    reasons: &mut Vec<Rejection>,
) {
    if market.escrow_terms().release().rule().and(release).is_none() {
        reasons.push(ReleaseRejection::ReleaseRuleTooLarge { listing }.into());
    }
}

fn check_variant(market: &Market, seller: AccountId, asked: &AskedVariant, reasons: &mut Vec<Rejection>) {
    let AskedVariant { attributes, of } = asked;
    match offered(market, seller, *of) {
        Err(found) => reasons.extend(found),
        Ok(known) if known.variant_of.is_some() => {
            reasons.push(Rejection::VariantOfVariant { listing: *of });
        }
        Ok(_) => {}
    }
    let same = market.listings.variants.get(of).and_then(|variants| variants.get(attributes.by_name()));
    // One that was withdrawn makes room for another.
    if let Some(listing) = same
        && market.listings.get(*listing).is_some_and(|known| known.sale != Sale::Withdrawn)
    {
        reasons.push(Rejection::VariantExists { listing: *listing });
    }
}

pub(crate) fn decide_create(
    market: &Market,
    seller: AccountId,
    command: &CreateListing,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let CreateListing { final_sale, limits, listing, price, restricted, tax_class, title, variant, release } =
        command;
    let mut reasons = Vec::new();
    if market.listings.get(*listing).is_some() {
        reasons.push(Rejection::ListingExists { listing: *listing });
    }
    check_terms(Some(*price), *limits, &mut reasons);
    check_release(market, *listing, release.as_ref(), &mut reasons);
    if let Some(variant) = variant {
        check_variant(market, seller, variant, &mut reasons);
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let variant = variant
        .as_ref()
        .map(|AskedVariant { attributes, of }| Variant { attributes: attributes.by_name().clone(), of: *of });
    Ok(vec![
        Created {
            limits: *limits,
            final_sale: *final_sale,
            restricted: *restricted,
            tax_class: tax_class.clone(),
            variant,
            release: release.clone(),
            ..Created::new(*listing, *price, seller, title.as_str().to_owned())
        }
        .into(),
    ])
}

pub(crate) fn decide_update(
    market: &Market,
    seller: AccountId,
    command: &UpdateListing,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let listing = command.listing;
    let known = offered(market, seller, listing)?;
    let mut reasons = Vec::new();
    check_terms(command.price, command.limits, &mut reasons);
    check_release(market, listing, command.release.as_ref(), &mut reasons);
    if let Some(Money { currency: found, .. }) = command.price
        && found != known.price.currency
    {
        reasons.push(Rejection::CurrencyMismatch { listing, expected: known.price.currency, found });
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let title = command.title.as_ref().map(|title| title.as_str());
    let tax_class = command.tax_class.as_ref();
    let release = command.release.as_ref();
    let updated = Updated {
        final_sale: command.final_sale.filter(|is_final| *is_final != known.is_final),
        limits: command.limits.filter(|limits| limits.range() != known.limits),
        listing,
        price: command.price.filter(|price| *price != known.price),
        restricted: command.restricted.filter(|restricted| *restricted != known.is_restricted),
        tax_class: tax_class.filter(|class| Some(*class) != known.tax_class.as_ref()).cloned(),
        title: title.filter(|title| *title != &*known.title).map(str::to_owned),
        version: known.version + 1,
        release: release.filter(|rule| Some(*rule) != known.release.as_deref()).cloned(),
    };
    let nothing = Updated {
        final_sale: None,
        limits: None,
        listing,
        price: None,
        restricted: None,
        tax_class: None,
        title: None,
        version: updated.version,
        release: None,
    };
    Ok(if updated == nothing { vec![] } else { vec![updated.into()] })
}

pub(crate) fn decide_pause(
    market: &Market,
    seller: AccountId,
    command: &PauseListing,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let PauseListing { listing } = *command;
    let is_done = offered(market, seller, listing)?.sale == Sale::Paused;
    Ok(if is_done { vec![] } else { vec![Paused { listing }.into()] })
}

pub(crate) fn decide_resume(
    market: &Market,
    seller: AccountId,
    command: &ResumeListing,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ResumeListing { listing } = *command;
    let is_done = offered(market, seller, listing)?.sale == Sale::Open;
    Ok(if is_done { vec![] } else { vec![Resumed { listing }.into()] })
}

pub(crate) fn decide_withdraw(
    market: &Market,
    seller: AccountId,
    command: &WithdrawListing,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let WithdrawListing { listing } = *command;
    let is_done = owned(market, seller, listing)?.sale == Sale::Withdrawn;
    Ok(if is_done { vec![] } else { vec![Withdrawn { listing }.into()] })
}

pub(crate) fn decide_block(market: &Market, command: &BlockListing) -> Result<Vec<Event>, Vec<Rejection>> {
    let BlockListing { listing, reason } = command;
    match market.listings.get(*listing) {
        None => Err(vec![Rejection::ListingUnknown { listing: *listing }]),
        Some(known) if known.is_blocked => Ok(vec![]),
        Some(known) => {
            let reason = reason.as_str().to_owned();
            Ok(vec![Blocked { listing: *listing, reason, seller: known.seller }.into()])
        }
    }
}

pub(crate) fn decide_unblock(
    market: &Market,
    command: &UnblockListing,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let UnblockListing { listing, reason } = command;
    match market.listings.get(*listing) {
        None => Err(vec![Rejection::ListingUnknown { listing: *listing }]),
        Some(known) if !known.is_blocked => Ok(vec![]),
        Some(known) => {
            let reason = reason.as_str().to_owned();
            Ok(vec![Unblocked { listing: *listing, reason, seller: known.seller }.into()])
        }
    }
}
