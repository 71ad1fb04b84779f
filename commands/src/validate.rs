//! The three validators of a purchase: **listing**, **account** and **payment**. Each is a pure function that finds
//! every reason against the purchase; a refusal carries the reasons of all three.

use std::collections::BTreeSet;

use events::account::Role;
use events::cart::KeptPrice;
use events::ids::{AccountId, ListingId};
use events::listing::TaxClass;
use events::location::Located;
use events::order::LinePrice;
use events::promotion::{CouponCode, Discount};
use events::rejection::QuoteField;
use events::{Money, Quantity, Rejection, Timestamp};

use crate::command::{Delivery, LINES_MAX, PaymentMethod, VerifiedQuote};
use crate::limits;
use crate::listing::{Listing, check_sale};
use crate::market::Market;
use crate::order;
use crate::price::{self, Part};

/// What a buyer wants to buy, wherever it comes from.
pub(crate) struct Purchase<'a> {
    /// Who buys.
    pub(crate) buyer: AccountId,
    /// The code of a promotion.
    pub(crate) coupon: Option<&'a CouponCode>,
    /// Where and how it is delivered.
    pub(crate) delivery: Option<&'a Delivery>,
    /// The lines asked for.
    pub(crate) lines: Vec<AskedLine<'a>>,
    /// How it is paid.
    pub(crate) method: &'a PaymentMethod,
    /// The most that may be charged.
    pub(crate) signed_total: Money,
}

/// One line asked for.
#[derive(Clone, Copy)]
pub(crate) struct AskedLine<'a> {
    pub(crate) listing: ListingId,
    pub(crate) quantity: Quantity,
    /// How many units the order has of it already, where units are added to one.
    pub(crate) before: u32,
    pub(crate) quote: Option<&'a VerifiedQuote>,
    /// The price that a frozen cart keeps, instead of today's.
    pub(crate) kept: Option<KeptPrice>,
}

/// A line with its price and its seller.
pub(crate) struct PricedLine<'a> {
    /// Who sells.
    pub(crate) seller: AccountId,
    /// Whether nothing of it is taken back.
    pub(crate) is_final: bool,
    /// What is bought.
    pub(crate) listing: ListingId,
    /// The version of the listing that was priced.
    pub(crate) listing_version: u32,
    /// At which named locations its units are to be reserved.
    pub(crate) locations: Vec<Located>,
    /// Where the price comes from.
    pub(crate) price: LinePrice,
    /// How many units.
    pub(crate) quantity: Quantity,
    /// The price of all units, before anything is taken off.
    pub(crate) full: Money,
    /// What it is cheaper by.
    pub(crate) discounts: Vec<Discount>,
    /// How it is taxed.
    pub(crate) tax_class: Option<&'a TaxClass>,
}

/// What the three validators make of a purchase.
pub(crate) struct Judged {
    /// What it costs at each seller, for the lines that have a price.
    pub(crate) parts: Vec<Part>,
    /// What its buyer pays for all of it; none when something of it has no price.
    pub(crate) total: Option<Money>,
    /// Every reason against the purchase.
    pub(crate) reasons: Vec<Rejection>,
}

/// Runs the three validators.
pub(crate) fn judge(market: &Market, purchase: &Purchase<'_>, now: Timestamp) -> Judged {
    let mut reasons = Vec::new();
    let priced = listing(market, purchase, now, &mut reasons);
    account(market, purchase, &mut reasons);
    // What some of it costs may be unknown: then the sum can't be judged.
    let (parts, is_whole) = price::parts(market, purchase, priced, now, &mut reasons);
    let sum = price::sum(&parts, purchase.signed_total.currency);
    reasons.extend(price::check_subsidies(market, &parts).err());
    if is_whole {
        match sum {
            Some(total) => {
                order::check_capture(purchase.method, parts.len(), total, &mut reasons);
                payment(market, purchase, total, now, &mut reasons);
            }
            None => reasons.push(Rejection::AmountOverflow),
        }
    }
    let total = sum.filter(|_| is_whole);
    Judged { parts, total, reasons }
}

/// Gives what a purchase costs at each seller, and its buyer altogether, or every reason against it.
pub(crate) fn purchase(
    market: &Market,
    purchase: &Purchase<'_>,
    now: Timestamp,
) -> Result<(Vec<Part>, Money), Vec<Rejection>> {
    let Judged { parts, total, reasons } = judge(market, purchase, now);
    total.filter(|_| reasons.is_empty()).map(|total| (parts, total)).ok_or(reasons)
}

/// Availability, limits, price and seller of each line.
pub(crate) fn listing<'a>(
    market: &'a Market,
    purchase: &Purchase<'_>,
    now: Timestamp,
    reasons: &mut Vec<Rejection>,
) -> Vec<PricedLine<'a>> {
    if purchase.lines.is_empty() {
        reasons.push(Rejection::LinesEmpty);
    }
    if purchase.lines.len() > LINES_MAX {
        reasons.push(Rejection::TooManyLines { max: LINES_MAX as u32 });
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut priced = Vec::with_capacity(purchase.lines.len());
    for asked in &purchase.lines {
        let id = asked.listing;
        if !seen.insert(id) {
            reasons.push(Rejection::DuplicateLine { listing: id });
            continue;
        }
        let Some(known) = market.listings.get(id) else {
            reasons.push(Rejection::ListingUnknown { listing: id });
            continue;
        };
        check_offer(market, purchase.buyer, asked, known, reasons);
        let (listing_version, unit) =
            asked.kept.map_or((known.version, known.price), |kept| (kept.listing_version, kept.unit_price));
        let price = match asked.quote {
            None => unit.checked_mul(asked.quantity).map(|total| (LinePrice::Unit(unit), total)),
            Some(quote) => {
                let before = reasons.len();
                check_quote(market, purchase, *asked, quote, now, reasons);
                if reasons.len() > before {
                    continue;
                }
                Ok((LinePrice::Quote, quote.quote.total))
            }
        };
        match price {
            Err(_) => reasons.push(Rejection::AmountOverflow),
            Ok((_, total)) if !total.is_positive() => reasons.push(Rejection::PriceNotPositive),
            Ok((_, total)) if total.currency != purchase.signed_total.currency => {
                let (expected, found) = (purchase.signed_total.currency, total.currency);
                reasons.push(Rejection::CurrencyMismatch { listing: id, expected, found });
            }
            Ok((price, total)) => {
                priced.push(PricedLine {
                    seller: known.seller,
                    is_final: known.is_final,
                    listing: id,
                    listing_version,
                    locations: known.stock.allocate(asked.quantity),
                    price,
                    quantity: asked.quantity,
                    full: total,
                    discounts: Vec::new(),
                    tax_class: known.tax_class.as_ref(),
                });
            }
        }
    }
    priced
}

/// Whether a listing is sold, by one who may, in so many units.
pub(crate) fn check_offer(
    market: &Market,
    buyer: AccountId,
    asked: &AskedLine<'_>,
    known: &Listing,
    reasons: &mut Vec<Rejection>,
) {
    if !market.accounts.has_role(known.seller, Role::Seller) {
        reasons.push(Rejection::RoleMissing { account: known.seller, role: Role::Seller });
    }
    check_sale(market, asked.listing, known, reasons);
    check_units(market, buyer, asked, known, reasons);
}

/// Whether an order may have so many units, and whether they are there: what the buyer has set aside is.
fn check_units(
    market: &Market,
    buyer: AccountId,
    asked: &AskedLine<'_>,
    known: &Listing,
    reasons: &mut Vec<Rejection>,
) {
    let listing = asked.listing;
    check_limits(listing, asked.before.saturating_add(asked.quantity.get()), known, reasons);
    let requested = u64::from(asked.quantity.get());
    let available = known.stock.available_to(market.reservations.units_of(buyer, listing));
    if requested > available {
        reasons.push(Rejection::InsufficientStock { listing, requested, available });
    }
}

/// Whether an order may have so many units.
pub(crate) fn check_limits(listing: ListingId, units: u32, known: &Listing, reasons: &mut Vec<Rejection>) {
    let (min, max) = known.limits;
    if !(min..=max).contains(&units) {
        let min = (min > 1).then_some(min);
        reasons.push(Rejection::QuantityLimit { listing, max, min });
    }
}

/// A quote replaces the listing's price only for the buyer, listing and quantity it names, while it is good, and if
/// the listing's seller signed it.
fn check_quote(
    market: &Market,
    purchase: &Purchase<'_>,
    asked: AskedLine<'_>,
    verified: &VerifiedQuote,
    now: Timestamp,
    reasons: &mut Vec<Rejection>,
) {
    let listing = asked.listing;
    let quote = &verified.quote;
    let seller = market.listings.get(listing).map(|known| known.seller);
    let signer = market.accounts.signer(verified.key);
    let mut differs = |field| reasons.push(Rejection::QuoteMismatch { listing, field });
    if quote.listing != listing {
        differs(QuoteField::Listing);
    }
    if quote.quantity != asked.quantity {
        differs(QuoteField::Quantity);
    }
    if quote.buyer != purchase.buyer {
        differs(QuoteField::Buyer);
    }
    if signer != seller {
        differs(QuoteField::Seller);
    }
    if now > quote.exp {
        reasons.push(Rejection::QuoteExpired { listing, expired: quote.exp });
    }
}

/// Whether this account may buy these things.
pub(crate) fn account(market: &Market, purchase: &Purchase<'_>, reasons: &mut Vec<Rejection>) {
    let buyer = purchase.buyer;
    if !market.accounts.has_role(buyer, Role::Buyer) {
        reasons.push(Rejection::RoleMissing { account: buyer, role: Role::Buyer });
    }
    for asked in &purchase.lines {
        let listing = asked.listing;
        let Some(known) = market.listings.get(listing) else { continue };
        check_buyer(market, buyer, listing, known, reasons);
    }
}

/// Whether this account may buy a listing.
pub(crate) fn check_buyer(
    market: &Market,
    buyer: AccountId,
    listing: ListingId,
    known: &Listing,
    reasons: &mut Vec<Rejection>,
) {
    if known.seller == buyer {
        reasons.push(Rejection::SelfPurchase { listing });
    }
    let is_cleared = market.accounts.get(buyer).is_some_and(|account| account.is_cleared);
    if known.is_restricted && !is_cleared {
        reasons.push(Rejection::ClearanceMissing { listing });
    }
}

/// Whether the signed total covers what the purchase costs, what it is paid with that, and the buyer's limits that as well.
fn payment(
    market: &Market,
    purchase: &Purchase<'_>,
    required: Money,
    now: Timestamp,
    reasons: &mut Vec<Rejection>,
) {
    let signed = purchase.signed_total;
    if required.minor > signed.minor {
        reasons.push(Rejection::TotalMismatch { signed, actual: required });
    }
    order::check_tender(market, purchase.buyer, purchase.method, required, reasons);
    limits::check(market, purchase.buyer, required, now, reasons);
}
