//! What is taxed where, and how much.

use std::collections::BTreeMap;

use events::listing::TaxClass;
use events::order::Rounding;
use events::tax::{Region, Set, Tax};
use events::{Bps, Event, Money, Rejection};
use serde::{Deserialize, Serialize};

use crate::command::SetTax;
use crate::market::Market;

/// Most tax rules of a market.
pub const TAX_RULES_MAX: usize = 10_000;

/// Gives the class that deliveries are taxed as.
pub(crate) fn shipping_class() -> TaxClass {
    "shipping".parse().expect("it has the form of a class")
}

/// A rule, by the region and the class it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxRule {
    /// The rate.
    pub bps: Bps,
    /// Whether prices hold the tax already.
    pub is_inclusive: bool,
    /// Of which change of the market's rules it is.
    pub version: u64,
}

/// All tax rules.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Taxes {
    /// By region, then by class; none: for all classes without a rule of their own.
    rules: BTreeMap<Region, BTreeMap<Option<TaxClass>, TaxRule>>,
    count: usize,
    version: u64,
}

impl Taxes {
    /// Tells whether nothing is taxed anywhere.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Finds the rule for what is delivered to a region: that of the region itself before that of its country, and in each
    /// that of the class before that of everything.
    pub fn rule(
        &self,
        region: &Region,
        class: Option<&TaxClass>,
    ) -> Option<(Region, Option<TaxClass>, TaxRule)> {
        let places = [Some(region.clone()), region.country()];
        places.into_iter().flatten().find_map(|place| {
            let rules = self.rules.get(&place)?;
            let classes = [class, None];
            let (class, rule) = classes.into_iter().find_map(|class| rules.get_key_value(&class.cloned()))?;
            Some((place, class.clone(), *rule))
        })
    }

    pub(crate) fn set(&mut self, event: &Set) {
        let Set { bps, inclusive, region, tax_class, version } = event;
        let rule = TaxRule { bps: *bps, is_inclusive: *inclusive, version: *version };
        if self.rules.entry(region.clone()).or_default().insert(tax_class.clone(), rule).is_none() {
            self.count += 1;
        }
        self.version = *version;
    }

    /// Computes the tax on `price`, which discounts are taken off of; none where there is no rule.
    pub(crate) fn on(&self, price: Money, region: &Region, class: Option<&TaxClass>) -> Option<Tax> {
        let (region, tax_class, TaxRule { bps, is_inclusive, version }) = self.rule(region, class)?;
        let amount = Money::new(tax_minor(price.minor, bps, is_inclusive), price.currency);
        let rounding = Rounding::HalfAwayFromZero;
        Some(Tax { amount, bps, inclusive: is_inclusive, region, rounding, tax_class, version })
    }
}

/// Computes the tax in a price, or on it, that is not below zero: rounded, halves away from zero.
fn tax_minor(price: i64, bps: Bps, is_inclusive: bool) -> i64 {
    let (price, share, whole) = (i128::from(price), i128::from(bps.get()), i128::from(Bps::WHOLE));
    let whole = if is_inclusive { whole + share } else { whole };
    // 53 bits times 10,000 fits 128 bits by far.
    let tax = (2 * price * share + whole) / (2 * whole);
    i64::try_from(tax).expect("a tax is no more than the price, which fits")
}

pub(crate) fn decide_set(market: &Market, command: &SetTax) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetTax { bps, inclusive, region, tax_class } = command;
    let taxes = &market.taxes;
    match taxes.rules.get(region).and_then(|rules| rules.get(tax_class)) {
        Some(known) if (known.bps, known.is_inclusive) == (*bps, *inclusive) => return Ok(vec![]),
        None if taxes.count >= TAX_RULES_MAX => {
            return Err(vec![Rejection::TooManyTaxRules { max: TAX_RULES_MAX as u32 }]);
        }
        Some(_) | None => {}
    }
    let (region, tax_class) = (region.clone(), tax_class.clone());
    let version = taxes.version + 1;
    Ok(vec![Set { bps: *bps, inclusive: *inclusive, region, tax_class, version }.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn taxes_are_what_one_computes_by_hand() {
        for (price, bps, is_inclusive, tax) in [
            (1000, 1900, false, 190),
            (1190, 1900, true, 190),
            (1000, 1900, true, 160), // 159.66…
            (999, 725, false, 72),   // 72.4275
            (100, 50, false, 1),     // 0.5 goes away from zero
            (99, 50, false, 0),
            (1, 10_000, true, 1), // 0.5
            (1000, 0, false, 0),
            (Money::MINOR_MAX, 10_000, false, Money::MINOR_MAX),
        ] {
            let bps = Bps::new(bps).unwrap();
            assert_eq!(tax_minor(price, bps, is_inclusive), tax, "{price} {bps:?} {is_inclusive}");
        }
    }

    proptest! {
        #[test]
        fn a_tax_is_never_negative_nor_more_than_the_price(
            price in 0..=Money::MINOR_MAX, bps in 0..=Bps::WHOLE, is_inclusive: bool,
        ) {
            let tax = tax_minor(price, Bps::new(bps).unwrap(), is_inclusive);
            prop_assert!((0..=price).contains(&tax));
        }
    }
}
