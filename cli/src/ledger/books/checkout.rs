//! What orders cost by the facts they were priced with: taxes, rates of delivery and promotions, computed anew.

use std::collections::{BTreeMap, BTreeSet};

use events::ids::{AccountId, ListingId, PromotionId};
use events::order::{Line, LinePrice, Placed};
use events::promotion::{Benefit, Created, Discount, PaidBy};
use events::shipping::{Quote, RateSet};
use events::tax::{Set, Tax};
use events::{Bps, Money};

use super::rounded;

/// The facts that orders are priced with.
#[derive(Debug, Default)]
pub(super) struct Checkout {
    taxes: BTreeMap<u64, Set>,
    rates: BTreeMap<(AccountId, u32), RateSet>,
    promotions: BTreeMap<PromotionId, Created>,
    /// Uses of promotions, of all accounts together and of each.
    uses: BTreeMap<(PromotionId, Option<AccountId>), i64>,
}

impl Checkout {
    pub(super) fn tax_set(&mut self, event: &Set) {
        self.taxes.insert(event.version, event.clone());
    }

    pub(super) fn rate_set(&mut self, event: &RateSet) {
        self.rates.insert((event.seller, event.version), event.clone());
    }

    pub(super) fn created(&mut self, event: &Created) {
        self.promotions.insert(event.promotion, event.clone());
    }

    /// Counts a use, and says if that is one too many.
    pub(super) fn use_up(&mut self, promotion: PromotionId, buyer: AccountId) -> Option<String> {
        let Some(created) = self.promotions.get(&promotion) else {
            return Some(format!("there is no promotion {promotion}"));
        };
        let limits = [(None, created.uses), (Some(buyer), created.uses_per_account)];
        let mut wrong = None;
        for (of, limit) in limits {
            let uses = self.uses.entry((promotion, of)).or_default();
            *uses += 1;
            if limit.is_some_and(|limit| *uses > i64::from(limit)) {
                wrong =
                    Some(format!("promotion {promotion} may be used {limit:?} times, and is {uses} times"));
            }
        }
        wrong
    }

    /// Takes a use back.
    pub(super) fn give_back(&mut self, promotion: PromotionId, buyer: AccountId) {
        for of in [None, Some(buyer)] {
            *self.uses.entry((promotion, of)).or_default() -= 1;
        }
    }

    /// Says what of an order's price is wrong, if anything is.
    pub(super) fn wrong_price(&self, placed: &Placed) -> Option<String> {
        let shipping = placed.shipping.as_ref();
        let lines: i128 = placed.lines.iter().map(|line| i128::from(line.total.minor)).sum();
        let sum = lines + shipping.map_or(0, |shipping| i128::from(shipping.total.minor));
        if sum != i128::from(placed.total.minor) {
            return Some(format!(
                "its lines and its delivery cost {sum} minor units, the order {}",
                placed.total
            ));
        }
        let of_lines = placed.lines.iter().find_map(|line| {
            self.wrong_line(placed.seller, line).map(|wrong| format!("listing {}: {wrong}", line.listing))
        });
        let of_shipping = || shipping.and_then(|shipping| self.wrong_shipping(placed, shipping));
        of_lines.or_else(of_shipping).or_else(|| self.wrong_amounts(placed))
    }

    /// Says what of a line's price is wrong, if anything is.
    pub(super) fn wrong_line(&self, seller: AccountId, line: &Line) -> Option<String> {
        let by_seller = line.discounts.iter().filter(|discount| discount.paid_by == PaidBy::Seller);
        let off: i128 = by_seller.map(|discount| i128::from(discount.amount.minor)).sum();
        let full = match line.price {
            LinePrice::Unit(price) => i128::from(price.minor) * i128::from(line.quantity.get()),
            // What the quote said stands inside the command, and was compared when that was decided again.
            // What was paid for returned units is looked at where they are.
            LinePrice::Quote | LinePrice::Exchange => {
                i128::from(line.total.minor) - on_top(line.tax.as_ref()) + off
            }
        };
        if !line.discounts.is_sorted_by_key(|discount| discount.paid_by == PaidBy::Platform) {
            return Some("something is taken off for the seller behind what the platform pays".to_owned());
        }
        let mut left = full;
        for discount in &line.discounts {
            if let Some(wrong) = self.wrong_discount(seller, line.listing, discount, left) {
                return Some(wrong);
            }
            left -= i128::from(discount.amount.minor);
        }
        if left < 1 {
            return Some(format!("{} minor units are taken off {full}", full - left));
        }
        // What the platform pays lowers neither the tax nor what the seller gets.
        self.wrong_total(full - off, line.tax.as_ref(), line.total)
    }

    fn wrong_discount(
        &self,
        seller: AccountId,
        listing: ListingId,
        discount: &Discount,
        left: i128,
    ) -> Option<String> {
        let Some(created) = self.promotions.get(&discount.promotion) else {
            return Some(format!("there is no promotion {}", discount.promotion));
        };
        let is_part = created.listings.is_empty() || created.listings.contains(&listing);
        let seller = Some(seller).filter(|_| discount.paid_by == PaidBy::Seller);
        if created.seller != seller || !is_part {
            return Some(format!("it is no part of promotion {}", discount.promotion));
        }
        let off = i128::from(discount.amount.minor);
        let is_right = match created.gives {
            Benefit::Percent(bps) => off == share(left, bps).min(left - 1),
            Benefit::Amount(_) => off >= 1,
        };
        (!is_right).then(|| {
            format!("promotion {} gives something else than {}", discount.promotion, discount.amount)
        })
    }

    /// Says which promotion of an amount gave more than that.
    fn wrong_amounts(&self, placed: &Placed) -> Option<String> {
        let discounts = || placed.lines.iter().flat_map(|line| &line.discounts);
        let used: BTreeSet<PromotionId> = discounts().map(|discount| discount.promotion).collect();
        used.into_iter().find_map(|promotion| {
            let Some(Created { gives: Benefit::Amount(amount), .. }) = self.promotions.get(&promotion) else {
                return None;
            };
            let of = discounts().filter(|discount| discount.promotion == promotion);
            let off: i128 = of.map(|discount| i128::from(discount.amount.minor)).sum();
            (off > i128::from(amount.minor))
                .then(|| format!("promotion {promotion} gives {off} minor units, and not {amount}"))
        })
    }

    fn wrong_shipping(&self, placed: &Placed, quote: &Quote) -> Option<String> {
        let set = self.rates.get(&(placed.seller, quote.version));
        if set.is_none_or(|set| (&set.method, set.rate) != (&quote.method, quote.rate)) {
            return Some(format!("its seller has no rate {} of version {}", quote.method, quote.version));
        }
        let units: i128 = placed.lines.iter().map(|line| i128::from(line.quantity.get())).sum();
        let goods = |line: &Line| i128::from(line.total.minor) - on_top(line.tax.as_ref());
        let goods: i128 = placed.lines.iter().map(goods).sum();
        let is_free = quote.rate.free_from().is_some_and(|least| goods >= i128::from(least.minor));
        let per_unit = quote.rate.per_unit().map_or(0, |each| i128::from(each.minor));
        let price = if is_free { 0 } else { i128::from(quote.rate.flat().minor) + per_unit * units };
        if price != i128::from(quote.price.minor) {
            return Some(format!(
                "its delivery costs {price} minor units by its rate, and not {}",
                quote.price
            ));
        }
        self.wrong_total(price, quote.tax.as_ref(), quote.total)
    }

    fn wrong_total(&self, price: i128, tax: Option<&Tax>, total: Money) -> Option<String> {
        if price + on_top(tax) != i128::from(total.minor) {
            return Some(format!("{price} minor units and taxes are not {total}"));
        }
        let tax = tax?;
        let set = self.taxes.get(&tax.version);
        let is_fact = set.is_some_and(|set| {
            (set.bps, set.inclusive, &set.region, &set.tax_class)
                == (tax.bps, tax.inclusive, &tax.region, &tax.tax_class)
        });
        if !is_fact {
            return Some(format!("there is no such tax rule of version {}", tax.version));
        }
        let whole = i128::from(Bps::WHOLE) + if tax.inclusive { i128::from(tax.bps.get()) } else { 0 };
        let due = rounded(price * i128::from(tax.bps.get()), whole);
        (due != i128::from(tax.amount.minor))
            .then(|| format!("the tax on {price} minor units is {due}, and not {}", tax.amount))
    }
}

fn share(minor: i128, bps: Bps) -> i128 {
    rounded(minor * i128::from(bps.get()), i128::from(Bps::WHOLE))
}

fn on_top(tax: Option<&Tax>) -> i128 {
    tax.filter(|tax| !tax.inclusive).map_or(0, |tax| i128::from(tax.amount.minor))
}
