//! What a purchase costs: for each seller among its lines the prices, what promotions take off them, the delivery, taxes on
//! both, and what of that the platform pays. Here, and nowhere else, it is computed; what comes of it stands in
//! `order.placed` with all it was computed from.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use events::escrow::rule::{ReleaseRule, ReleaseTerms};
use events::ids::{AccountId, PromotionId};
use events::listing::TaxClass;
use events::order::{FeeQuote, Line, LinePrice};
use events::promotion::{CouponCode, Discount, PaidBy};
use events::rejection::{CouponProblem, ReleaseRejection};
use events::shipping::{Method, Quote, Rate};
use events::tax::{Region, Tax};
use events::{Bps, Currency, Money, Rejection, Timestamp};

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
    /// What of that the platform pays; the buyer pays the rest.
    pub(crate) subsidy: Money,
    /// What the platform would take of it.
    pub(crate) fee: FeeQuote,
    /// By which terms its money is released, where its listings ask for more than the market does.
    pub(crate) release: Option<ReleaseTerms>,
}

impl Part {
    /// Gives what the buyer pays.
    pub(crate) fn payable(&self) -> Money {
        Money::new(self.total.minor - self.subsidy.minor, self.total.currency)
    }
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
    let mut platform = Platform::of(market, purchase);
    for (seller, mut lines) in by_seller {
        if is_whole {
            discount(market, purchase, seller, &mut lines, now, reasons);
            platform.discount(purchase, &mut lines, now);
        }
        let units: u64 = lines.iter().map(|line| u64::from(line.quantity.get())).sum();
        let chosen = choose(market, purchase, seller, (price_of(&lines), units), reasons);
        let release = release(market, seller, &lines, reasons);
        match part(market, purchase, seller, lines, chosen, units) {
            Some(part) => parts.push(Part { release, ..part }),
            None => reasons.push(Rejection::AmountOverflow),
        }
    }
    if is_whole {
        reasons.extend(platform.coupon_reason(purchase));
    }
    let is_whole = is_whole && reasons.len() == before;
    (parts, is_whole)
}

/// Sums what the buyer pays of parts; none where that is larger than can be kept.
pub(crate) fn sum(parts: &[Part], currency: Currency) -> Option<Money> {
    parts.iter().try_fold(Money::zero(currency), |sum, part| sum.checked_add(part.payable()).ok())
}

/// Checks that the platform can pay its part of a purchase: its money comes from outside, as a provider's does.
pub(crate) fn check_subsidies(market: &Market, parts: &[Part]) -> Result<(), Rejection> {
    let mut sum: Option<Money> = None;
    for subsidy in parts.iter().map(|part| part.subsidy).filter(Money::is_positive) {
        let more = sum.map_or(Ok(subsidy), |sum| sum.checked_add(subsidy));
        sum = Some(more.map_err(|_| Rejection::AmountOverflow)?);
    }
    sum.map_or(Ok(()), |sum| market.ledger.check_inflow(sum))
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
            Some((_, known)) if known.seller.is_some_and(|seller| !by_seller.contains_key(&seller)) => {
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
    let buyer = purchase.buyer;
    let usable = |known: &Promotion| known.check_time(now).is_ok() && known.check_uses(buyer, 0).is_ok();
    take_best(market.promotions.of(Some(seller)).filter(|(_, known)| usable(known)), lines);
    let Some(coupon) = purchase.coupon else { return };
    let known = market.promotions.with_code(coupon).filter(|(_, known)| known.seller == Some(seller));
    if let Some((id, known)) = known
        && let Err(reason) = take_coupon(coupon, (id, known), (buyer, 0), lines, now)
    {
        reasons.push(reason);
    }
}

/// The platform's promotions while a purchase is priced: each order of it may have them.
struct Platform<'a> {
    market: &'a Market,
    /// The buyer's coupon, if it is the platform's.
    coupon: Option<(PromotionId, &'a Promotion)>,
    /// Uses by the orders so far.
    used: BTreeMap<PromotionId, u32>,
    /// Why the coupon gave nothing at the first order where it did not.
    problem: Option<Rejection>,
}

impl<'a> Platform<'a> {
    fn of(market: &'a Market, purchase: &Purchase<'_>) -> Platform<'a> {
        let coupon = purchase.coupon.and_then(|coupon| market.promotions.with_code(coupon));
        let coupon = coupon.filter(|(_, known)| known.paid_by() == PaidBy::Platform);
        Platform { market, coupon, used: BTreeMap::new(), problem: None }
    }

    fn used(&self, promotion: PromotionId) -> u32 {
        self.used.get(&promotion).copied().unwrap_or(0)
    }

    /// Takes the best of the platform's promotions that needs no code off what is left of the lines of one order, and then the
    /// buyer's coupon, if it is the platform's.
    fn discount(&mut self, purchase: &Purchase<'_>, lines: &mut [PricedLine<'_>], now: Timestamp) {
        let buyer = purchase.buyer;
        let usable = |id: PromotionId, known: &Promotion| {
            known.check_time(now).is_ok() && known.check_uses(buyer, self.used(id)).is_ok()
        };
        let best = take_best(self.market.promotions.of(None).filter(|(id, known)| usable(*id, known)), lines);
        best.into_iter().for_each(|id| *self.used.entry(id).or_default() += 1);
        let Some((coupon, found)) = purchase.coupon.zip(self.coupon) else { return };
        let (id, _) = found;
        match take_coupon(coupon, found, (buyer, self.used(id)), lines, now) {
            Ok(()) => *self.used.entry(id).or_default() += 1,
            Err(reason) => drop(self.problem.get_or_insert(reason)),
        }
    }

    /// Says why the buyer's coupon gave nothing, if it is the platform's and no order had it.
    fn coupon_reason(self, purchase: &Purchase<'_>) -> Option<Rejection> {
        let (id, _) = purchase.coupon.and(self.coupon)?;
        self.problem.filter(|_| !self.used.contains_key(&id))
    }
}

fn offers(lines: &[PricedLine<'_>]) -> Vec<Offer> {
    let offers = lines.iter().map(|line| Offer {
        listing: line.listing,
        price_minor: line.full.minor,
        left_minor: line.full.minor - line.off(|_| true),
        is_fixed: line.price == LinePrice::Quote,
    });
    offers.collect()
}

/// Takes the one of some promotions off lines that needs no code and gives most, and gives it. Of two that give the same, the
/// older one.
fn take_best<'a>(
    promotions: impl Iterator<Item = (PromotionId, &'a Promotion)>,
    lines: &mut [PricedLine<'_>],
) -> Option<PromotionId> {
    let mut automatic = promotions.filter(|(_, known)| known.code.is_none()).peekable();
    automatic.peek()?;
    let (left, currency) = (offers(lines), lines.first()?.full.currency);
    let given = automatic.filter_map(|(id, known)| Some((known.off(&left, currency).ok()?, id, known)));
    let sum = |off: &[i64]| off.iter().map(|minor| i128::from(*minor)).sum::<i128>();
    let (off, id, known) = given.max_by_key(|(off, id, _)| (sum(off), Reverse(*id)))?;
    take_off(lines, &off, id, known.paid_by());
    Some(id)
}

/// Takes a coupon off lines, for a buyer who has used it in so many orders before that are not counted yet.
fn take_coupon(
    coupon: &CouponCode,
    (id, known): (PromotionId, &Promotion),
    (buyer, before): (AccountId, u32),
    lines: &mut [PricedLine<'_>],
    now: Timestamp,
) -> Result<(), Rejection> {
    let coupon = || coupon.clone();
    let exhausted = |by_account| Rejection::CouponExhausted { by_account, coupon: coupon() };
    known.check_uses(buyer, before).map_err(exhausted)?;
    let currency = lines.first().map(|line| line.full.currency);
    let currency = currency.expect("a seller is among the lines since he has one");
    let off = known.check_time(now).and_then(|()| known.off(&offers(lines), currency));
    let off = off.map_err(|problem| Rejection::CouponInvalid { coupon: coupon(), problem })?;
    take_off(lines, &off, id, known.paid_by());
    Ok(())
}

fn take_off(lines: &mut [PricedLine<'_>], off: &[i64], promotion: PromotionId, paid_by: PaidBy) {
    for (line, minor) in lines.iter_mut().zip(off).filter(|(_, minor)| **minor > 0) {
        let amount = Money::new(*minor, line.full.currency);
        line.discounts.push(Discount { amount, paid_by, promotion });
    }
}

/// Sums what lines cost when the sellers' discounts are taken off, in minor units.
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
pub(crate) fn release(
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
        reasons.push(ReleaseRejection::TooManyReleaseRules { seller }.into());
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
    let subsidy_minor = lines.iter().map(|line| line.off(|paid_by| paid_by == PaidBy::Platform)).sum();
    let mut total = Money::zero(currency);
    let mut taxed = Vec::with_capacity(lines.len());
    for line in lines {
        let line = line.taxed(market, region)?;
        total = total.checked_add(line.total).ok()?;
        taxed.push(line);
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
    let subsidy = Money::new(subsidy_minor, currency);
    Some(Part { seller, lines: taxed, shipping, total, subsidy, fee, release: None })
}

/// Gives the tax of a price and what is paid with it; none where that is larger than can be kept.
pub(crate) fn with_tax(
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

/// Gives the highest price that costs no more than `paid` with its tax; none where no price does.
pub(crate) fn most_with_tax(
    market: &Market,
    paid: Money,
    region: Option<&Region>,
    class: Option<&TaxClass>,
) -> Option<Money> {
    let (tax, _) = with_tax(market, paid, region, class)?;
    let bps = tax.filter(|tax| !tax.inclusive).map_or(0, |tax| i64::from(tax.bps.get()));
    let whole = i64::from(Bps::WHOLE);
    let about = i128::from(paid.minor) * i128::from(whole) / i128::from(whole + bps);
    let about = i64::try_from(about).expect("a part of an amount fits");
    // The tax is rounded.
    (about - 1..=about + 1).rev().map(|minor| Money::new(minor, paid.currency)).find(|price| {
        let cost = with_tax(market, *price, region, class);
        price.is_positive() && cost.is_some_and(|(_, cost)| cost.minor <= paid.minor)
    })
}

impl PricedLine<'_> {
    /// Puts its tax on it; none where what it costs then is larger than can be kept.
    pub(crate) fn taxed(self, market: &Market, region: Option<&Region>) -> Option<Line> {
        let (tax, total) = with_tax(market, self.left(), region, self.tax_class)?;
        let PricedLine { discounts, is_final, listing, listing_version, locations, price, quantity, .. } =
            self;
        let final_sale = is_final;
        Some(Line { discounts, final_sale, listing, listing_version, locations, price, quantity, tax, total })
    }

    /// Gives what its seller sells it for: the price when his discounts are taken off. What the platform pays is in it.
    fn left(&self) -> Money {
        Money::new(self.full.minor - self.off(|paid_by| paid_by == PaidBy::Seller), self.full.currency)
    }

    /// Sums what is taken off of it and paid by somebody, in minor units.
    fn off(&self, counts: impl Fn(PaidBy) -> bool) -> i64 {
        let discounts = self.discounts.iter().filter(|discount| counts(discount.paid_by));
        discounts.map(|discount| discount.amount.minor).sum()
    }
}
