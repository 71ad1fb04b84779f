//! What a purchase costs: for each seller among its lines the prices, what promotions take off them, the delivery, and taxes
//! on both. Here, and nowhere else, it is computed; what comes of it stands in `order.placed` with all it was computed from.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use events::escrow::rule::{ReleaseRule, ReleaseTerms};
use events::ids::{AccountId, PromotionId};
use events::listing::TaxClass;
use events::order::{FeeQuote, Line, LinePrice};
use events::promotion::Discount;
use events::rejection::CouponProblem;
use events::shipping::{Method, Quote, Rate};
use events::tax::{Region, Tax};
use events::{Currency, Money, Rejection, Timestamp};

use crate::fees;
use crate::market::Market;
use crate::promotion::{Offer, Promotion};
use crate::tax::shipping_class;
use crate::validate::{PricedLine, Purchase};

/// What one seller's part of a purchase costs.
pub(crate) struct Part {
    /// Who sells.
    pub(crate) seller: AccountId,
    /// Its lines, with discounts and taxes.
    pub(crate) lines: Vec<Line>,
    /// Its delivery; none where the seller has no rates.
    pub(crate) shipping: Option<Quote>,
    /// What it costs.
    pub(crate) total: Money,
    /// What the platform would take of it.
    pub(crate) fee: FeeQuote,
    /// By which terms its money is released, where its listings ask for more than the market does.
    pub(crate) release: Option<ReleaseTerms>,
}

/// How a part is delivered: the method, its rate and that rate's version.
type Chosen<'a> = Option<(&'a Method, Rate, u32)>;

/// Splits a purchase by seller, in the order of their ids, and computes what each part costs, of the lines that have a price.
/// Tells whether that is all of it; otherwise what is missing is among `reasons`.
pub(crate) fn parts(
    market: &Market,
    purchase: &Purchase<'_>,
    priced: Vec<PricedLine<'_>>,
    now: Timestamp,
    reasons: &mut Vec<Rejection>,
) -> (Vec<Part>, bool) {
    let (before, is_whole) = (reasons.len(), priced.len() == purchase.lines.len());
    let mut by_seller = BTreeMap::<AccountId, Vec<PricedLine<'_>>>::new();
    for line in priced {
        by_seller.entry(line.seller).or_default().push(line);
    }
    check_address(market, purchase, &by_seller, reasons);
    let mut parts = Vec::with_capacity(by_seller.len());
    for (seller, mut lines) in by_seller {
        if is_whole {
            discount(market, purchase, seller, &mut lines, now, reasons);
        }
        let units: u64 = lines.iter().map(|line| u64::from(line.quantity.get())).sum();
        let chosen = choose(market, purchase, seller, (price_of(&lines), units), reasons);
        let release = release(market, seller, &lines, reasons);
        match part(market, purchase, seller, lines, chosen, units) {
            Some(part) => parts.push(Part { release, ..part }),
            None => reasons.push(Rejection::AmountOverflow),
        }
    }
    let is_whole = is_whole && reasons.len() == before;
    (parts, is_whole)
}

/// Sums what parts cost; none where that is larger than can be kept.
pub(crate) fn sum(parts: &[Part], currency: Currency) -> Option<Money> {
    parts.iter().try_fold(Money::zero(currency), |sum, part| sum.checked_add(part.total).ok())
}

/// Where something goes must be known when any tax or any rate of its sellers depends on it; every seller whom a method is
/// chosen for must be one of them; and a coupon must be one of theirs.
fn check_address(
    market: &Market,
    purchase: &Purchase<'_>,
    by_seller: &BTreeMap<AccountId, Vec<PricedLine<'_>>>,
    reasons: &mut Vec<Rejection>,
) {
    match purchase.delivery {
        None => {
            let has_rates = by_seller.keys().any(|seller| market.rates.of(*seller).is_some());
            if has_rates || !market.taxes.is_empty() {
                reasons.push(Rejection::AddressRequired);
            }
        }
        Some(delivery) => {
            for (seller, method) in &delivery.methods {
                if !by_seller.contains_key(seller) || market.rates.of(*seller).is_none() {
                    let (method, region) = (Some(method.clone()), delivery.region.clone());
                    reasons.push(Rejection::DeliveryUnavailable { method, region, seller: *seller });
                }
            }
        }
    }
    if let Some(coupon) = purchase.coupon {
        let known = market.promotions.with_code(coupon);
        let problem = match known {
            None => Some(CouponProblem::Unknown),
            Some((_, known)) if !by_seller.contains_key(&known.seller) => {
                Some(CouponProblem::NothingEligible)
            }
            Some(_) => None,
        };
        reasons.extend(problem.map(|problem| Rejection::CouponInvalid { coupon: coupon.clone(), problem }));
    }
}

/// Takes the best promotion that needs no code off the lines of one seller, and then the buyer's coupon off what is left, if
/// it is this seller's.
fn discount(
    market: &Market,
    purchase: &Purchase<'_>,
    seller: AccountId,
    lines: &mut [PricedLine<'_>],
    now: Timestamp,
    reasons: &mut Vec<Rejection>,
) {
    let currency = purchase.signed_total.currency;
    let offers = |lines: &[PricedLine<'_>]| -> Vec<Offer> {
        let offers = lines.iter().map(|line| Offer {
            listing: line.listing,
            price_minor: line.full.minor,
            left_minor: line.left().minor,
            is_fixed: line.price == LinePrice::Quote,
        });
        offers.collect()
    };
    let usable = |known: &Promotion| {
        known.code.is_none() && known.check_time(now).is_ok() && known.check_uses(purchase.buyer).is_ok()
    };
    let mut automatic = market.promotions.of(seller).filter(|(_, known)| usable(known)).peekable();
    if automatic.peek().is_some() {
        let full = offers(lines);
        let given = automatic.filter_map(|(id, known)| Some((known.off(&full, currency).ok()?, id)));
        // Of two that give the same, the older one.
        let best = given
            .max_by_key(|(off, id)| (off.iter().map(|minor| i128::from(*minor)).sum::<i128>(), Reverse(*id)));
        if let Some((off, id)) = best {
            take_off(lines, &off, id);
        }
    }
    let Some(coupon) = purchase.coupon else { return };
    let Some((id, known)) = market.promotions.with_code(coupon).filter(|(_, known)| known.seller == seller)
    else {
        return;
    };
    let coupon = || coupon.clone();
    if let Err(by_account) = known.check_uses(purchase.buyer) {
        reasons.push(Rejection::CouponExhausted { by_account, coupon: coupon() });
        return;
    }
    match known.check_time(now).and_then(|()| known.off(&offers(lines), currency)) {
        Ok(off) => take_off(lines, &off, id),
        Err(problem) => reasons.push(Rejection::CouponInvalid { coupon: coupon(), problem }),
    }
}

fn take_off(lines: &mut [PricedLine<'_>], off: &[i64], promotion: PromotionId) {
    for (line, minor) in lines.iter_mut().zip(off).filter(|(_, minor)| **minor > 0) {
        line.discounts.push(Discount { amount: Money::new(*minor, line.full.currency), promotion });
    }
}

/// Sums what lines cost when discounts are taken off, in minor units.
fn price_of(lines: &[PricedLine<'_>]) -> i128 {
    lines.iter().map(|line| i128::from(line.left().minor)).sum()
}

/// Chooses how a seller delivers: by the method that the buyer named, or by the cheapest.
fn choose<'a>(
    market: &'a Market,
    purchase: &Purchase<'a>,
    seller: AccountId,
    (price, units): (i128, u64),
    reasons: &mut Vec<Rejection>,
) -> Chosen<'a> {
    let (rates, delivery) = (market.rates.of(seller)?, purchase.delivery?);
    let there = rates.to(&delivery.region, purchase.signed_total.currency);
    let wanted = delivery.methods.get(&seller);
    let cost = |rate: &Rate| shipping_minor(rate, price, units);
    let chosen = match wanted {
        Some(wanted) => there.get_key_value(wanted),
        // Of two that cost the same, the one whose name is first.
        None => there.iter().min_by_key(|(method, (rate, _))| (cost(rate), **method)),
    };
    if chosen.is_none() {
        let (method, region) = (wanted.cloned(), delivery.region.clone());
        reasons.push(Rejection::DeliveryUnavailable { method, region, seller });
    }
    chosen.map(|(method, (rate, version))| (*method, *rate, *version))
}

/// Makes the terms by which the money of one seller's lines is released: all that the market and any of them asks for. None
/// where that is what the market does.
fn release(
    market: &Market,
    seller: AccountId,
    lines: &[PricedLine<'_>],
    reasons: &mut Vec<Rejection>,
) -> Option<ReleaseTerms> {
    let rules = lines.iter().filter_map(|line| market.listings.get(line.listing)?.release.as_deref());
    let rules: Vec<&ReleaseRule> = rules.collect();
    if rules.is_empty() {
        return None;
    }
    let terms = market.escrow_terms();
    let terms = terms.release();
    let Some(rule) = terms.rule().and(rules) else {
        reasons.push(Rejection::TooManyReleaseRules { seller });
        return None;
    };
    let all = ReleaseTerms::new(terms.hold_ms(), rule).expect("the market's own delay is in its range");
    (all != *terms).then_some(all)
}

/// Computes what a delivery costs, tax on top left out.
fn shipping_minor(rate: &Rate, price: i128, units: u64) -> i128 {
    if rate.free_from().is_some_and(|least| price >= i128::from(least.minor)) {
        return 0;
    }
    let per_unit = rate.per_unit().map_or(0, |each| i128::from(each.minor));
    i128::from(rate.flat().minor) + per_unit * i128::from(units)
}

/// Puts taxes on the lines and the delivery, and sums up; none where a sum is larger than can be kept.
fn part(
    market: &Market,
    purchase: &Purchase<'_>,
    seller: AccountId,
    lines: Vec<PricedLine<'_>>,
    chosen: Chosen<'_>,
    units: u64,
) -> Option<Part> {
    let currency = purchase.signed_total.currency;
    let region = purchase.delivery.map(|delivery| &delivery.region);
    let price = price_of(&lines);
    let mut total = Money::zero(currency);
    let mut taxed = Vec::with_capacity(lines.len());
    for line in lines {
        let (tax, cost) = with_tax(market, line.left(), region, line.tax_class)?;
        total = total.checked_add(cost).ok()?;
        let PricedLine { discounts, listing, listing_version, locations, price, quantity, .. } = line;
        taxed.push(Line {
            discounts,
            listing,
            listing_version,
            locations,
            price,
            quantity,
            tax,
            total: cost,
        });
    }
    let shipping = match chosen {
        None => None,
        Some((method, rate, version)) => {
            let minor = i64::try_from(shipping_minor(&rate, price, units)).ok();
            let price = Money::new(minor.filter(|minor| *minor <= Money::MINOR_MAX)?, currency);
            let (tax, cost) = with_tax(market, price, region, Some(&shipping_class()))?;
            total = total.checked_add(cost).ok()?;
            Some(Quote { method: method.clone(), price, rate, tax, total: cost, version })
        }
    };
    let of_shipping = shipping.iter().flat_map(|shipping| &shipping.tax);
    let taxes = taxed.iter().flat_map(|line| &line.tax).chain(of_shipping);
    let tax_minor: i64 = taxes.map(|tax| tax.amount.minor).sum();
    let untaxed = Money::new(total.minor - tax_minor, currency);
    let fee = fees::quote(market.fee_policy(), untaxed);
    Some(Part { seller, lines: taxed, shipping, total, fee, release: None })
}

/// Gives the tax of a price and what is paid with it; none where that is larger than can be kept.
fn with_tax(
    market: &Market,
    price: Money,
    region: Option<&Region>,
    class: Option<&TaxClass>,
) -> Option<(Option<Tax>, Money)> {
    let tax = region.and_then(|region| market.taxes.on(price, region, class));
    let on_top = tax.as_ref().filter(|tax| !tax.inclusive).map(|tax| tax.amount);
    let total = on_top.map_or(Ok(price), |tax| price.checked_add(tax)).ok()?;
    Some((tax, total))
}

impl PricedLine<'_> {
    /// Gives the price when discounts are taken off.
    fn left(&self) -> Money {
        let off: i64 = self.discounts.iter().map(|discount| discount.amount.minor).sum();
        Money::new(self.full.minor - off, self.full.currency)
    }
}
