//! The three validators of a purchase: **listing**, **account** and **payment**. Each is a pure function that finds
//! every reason against the purchase; a refusal carries the reasons of all three.

use std::collections::BTreeSet;

use events::account::Role;
use events::ids::{AccountId, ListingId};
use events::order::{Line, LinePrice};
use events::rejection::QuoteField;
use events::{Money, Quantity, Rejection, Timestamp};

use crate::command::{LINES_MAX, PaymentMethod, VerifiedQuote};
use crate::listing::{Listing, check_sale};
use crate::market::Market;
use crate::order;

/// What a buyer wants to buy, wherever it comes from.
pub(crate) struct Purchase<'a> {
    /// Who buys.
    pub(crate) buyer: AccountId,
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
    pub(crate) quote: Option<&'a VerifiedQuote>,
}

/// A line with its price and its seller.
pub(crate) struct PricedLine {
    pub(crate) seller: AccountId,
    pub(crate) line: Line,
}

/// Runs the three validators and gives the priced lines, or every reason against the purchase.
pub(crate) fn purchase(
    market: &Market,
    purchase: &Purchase<'_>,
    now: Timestamp,
) -> Result<Vec<PricedLine>, Vec<Rejection>> {
    let mut reasons = Vec::new();
    let priced = listing(market, purchase, now, &mut reasons);
    account(market, purchase, &mut reasons);
    // What some lines cost is unknown where pricing failed: then the sum can't be judged.
    if priced.len() == purchase.lines.len() {
        payment(market, purchase, &priced, &mut reasons);
    }
    if reasons.is_empty() { Ok(priced) } else { Err(reasons) }
}

/// Availability, limits, price and seller of each line.
fn listing(
    market: &Market,
    purchase: &Purchase<'_>,
    now: Timestamp,
    reasons: &mut Vec<Rejection>,
) -> Vec<PricedLine> {
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
        if !market.accounts.has_role(known.seller, Role::Seller) {
            reasons.push(Rejection::RoleMissing { account: known.seller, role: Role::Seller });
        }
        check_sale(market, id, known, reasons);
        check_units(asked, known, reasons);
        let price = match asked.quote {
            None => {
                known.price.checked_mul(asked.quantity).map(|total| (LinePrice::Unit(known.price), total))
            }
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
                let line = Line {
                    listing: id,
                    listing_version: known.version,
                    price,
                    quantity: asked.quantity,
                    total,
                };
                priced.push(PricedLine { seller: known.seller, line });
            }
        }
    }
    priced
}

/// Whether an order may have so many units, and whether they are there.
fn check_units(asked: &AskedLine<'_>, known: &Listing, reasons: &mut Vec<Rejection>) {
    let (listing, units) = (asked.listing, asked.quantity.get());
    let (min, max) = known.limits;
    if !(min..=max).contains(&units) {
        let min = (min > 1).then_some(min);
        reasons.push(Rejection::QuantityLimit { listing, max, min });
    }
    let (requested, available) = (u64::from(units), known.available());
    if requested > available {
        reasons.push(Rejection::InsufficientStock { listing, requested, available });
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
    let signer = market.accounts.key(verified.key).map(|key| key.account);
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
fn account(market: &Market, purchase: &Purchase<'_>, reasons: &mut Vec<Rejection>) {
    let buyer = purchase.buyer;
    if !market.accounts.has_role(buyer, Role::Buyer) {
        reasons.push(Rejection::RoleMissing { account: buyer, role: Role::Buyer });
    }
    let is_cleared = market.accounts.get(buyer).is_some_and(|account| account.is_cleared);
    for asked in &purchase.lines {
        let listing = asked.listing;
        let Some(known) = market.listings.get(listing) else { continue };
        if known.seller == buyer {
            reasons.push(Rejection::SelfPurchase { listing });
        }
        if known.is_restricted && !is_cleared {
            reasons.push(Rejection::ClearanceMissing { listing });
        }
    }
}

/// Whether the signed total covers the lines, and what it is paid with the total.
fn payment(market: &Market, purchase: &Purchase<'_>, priced: &[PricedLine], reasons: &mut Vec<Rejection>) {
    let signed = purchase.signed_total;
    let sum = priced
        .iter()
        .try_fold(Money::zero(signed.currency), |sum, priced| sum.checked_add(priced.line.total));
    let Ok(required) = sum else {
        reasons.push(Rejection::AmountOverflow);
        return;
    };
    if required.minor > signed.minor {
        reasons.push(Rejection::TotalMismatch { signed, actual: required });
    }
    order::check_tender(market, purchase.buyer, purchase.method, required, reasons);
}
