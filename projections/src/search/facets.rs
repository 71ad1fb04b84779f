//! How many results each value would leave that can be filtered by.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use events::Currency;
use events::ids::AccountId;

use super::columns::{Columns, Numbers, View, currency_of};
use super::index::{Borne, FacetName, FacetNumber, Labels};
use super::rank::{Facet, Verdict};

/// Most values of a facet that are told, those with the most results.
pub const FACET_VALUES_MAX: usize = 20;
/// Most attributes whose values are told, those with the most results.
pub const FACET_ATTRIBUTES_MAX: usize = 20;

/// A value that can be filtered by, and how many results that would leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacetValue<T> {
    /// The value.
    pub value: T,
    /// How many results have it. What is filtered by in the same facet does not count against it: so what else could be
    /// chosen is told, too.
    pub count: u64,
}

/// The prices of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceRange {
    /// The currency.
    pub currency: Currency,
    /// How many results are priced in it.
    pub count: u64,
    /// The lowest of their prices, in minor units.
    pub lowest_minor: i64,
    /// The highest of them.
    pub highest_minor: i64,
}

/// What results can be filtered by further, the most frequent values first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facets {
    /// Where they belong; who belongs to a category belongs to those around it.
    pub categories: Vec<FacetValue<String>>,
    /// What they are tagged with.
    pub tags: Vec<FacetValue<String>>,
    /// Who sells them.
    pub sellers: Vec<FacetValue<AccountId>>,
    /// Their attributes by name.
    pub attributes: BTreeMap<String, Vec<FacetValue<String>>>,
    /// What they cost, by currency.
    pub prices: Vec<PriceRange>,
}

/// Counts results by what they can be filtered by. What is done for each result is a few additions; names are looked up at
/// the end, for those that are told.
pub(super) struct Counter {
    /// By the number of the label.
    labels: Vec<u32>,
    /// By the place of the seller.
    sellers: Vec<u32>,
    /// The code of each currency, and what is known of it.
    prices: Vec<Prices>,
}

struct Prices {
    currency: u32,
    count: u32,
    lowest_minor: i64,
    highest_minor: i64,
}

impl Counter {
    /// Begins to count listings of a view whose labels are numbered up to `labels`.
    pub(super) fn new(labels: usize, view: &View) -> Counter {
        Counter { labels: vec![0; labels], sellers: vec![0; view.sellers()], prices: Vec::new() }
    }

    /// Takes a listing in that passes all filters, or all but those of one facet: then it counts in that one only.
    pub(super) fn take(&mut self, verdict: Verdict, numbers: &Numbers, labels: &[Borne]) {
        match verdict {
            Verdict::Out => {}
            Verdict::OutBy(Facet::Price) => self.take_price(numbers),
            Verdict::OutBy(Facet::Seller) => self.sellers[numbers.seller as usize] += 1,
            Verdict::OutBy(Facet::Labels(facet)) => {
                for borne in labels.iter().filter(|borne| borne.facet == facet) {
                    self.labels[borne.label as usize] += 1;
                }
            }
            Verdict::In => {
                self.take_price(numbers);
                self.sellers[numbers.seller as usize] += 1;
                for borne in labels {
                    self.labels[borne.label as usize] += 1;
                }
            }
        }
    }

    fn take_price(&mut self, &Numbers { currency, price_minor, .. }: &Numbers) {
        match self.prices.iter_mut().find(|prices| prices.currency == currency) {
            Some(prices) => {
                prices.count += 1;
                prices.lowest_minor = prices.lowest_minor.min(price_minor);
                prices.highest_minor = prices.highest_minor.max(price_minor);
            }
            None => {
                let (lowest_minor, highest_minor) = (price_minor, price_minor);
                self.prices.push(Prices { currency, count: 1, lowest_minor, highest_minor });
            }
        }
    }

    /// Tells the most frequent values.
    pub(super) fn tell(self, columns: &Columns, labels: &RwLock<Labels>) -> Facets {
        let known = labels.read().unwrap_or_else(PoisonError::into_inner);
        let mut by_facet: HashMap<FacetNumber, Vec<(&str, u32)>> = HashMap::new();
        for (label, count) in counted(&self.labels) {
            let (facet, value) = known.facet_and_value(label);
            by_facet.entry(facet).or_default().push((value, count));
        }
        let mut facets = Facets::default();
        let mut attributes = Vec::new();
        for (facet, values) in by_facet {
            match known.facet(facet) {
                FacetName::Category => facets.categories = texts(values),
                FacetName::Tag => facets.tags = texts(values),
                FacetName::Attribute(name) => {
                    let sum: u64 = values.iter().map(|(_, count)| u64::from(*count)).sum();
                    attributes.push((std::cmp::Reverse(sum), name, values));
                }
            }
        }
        attributes.sort_unstable_by_key(|(sum, name, _)| (*sum, *name));
        attributes.truncate(FACET_ATTRIBUTES_MAX);
        for (_, name, values) in attributes {
            facets.attributes.insert(name.clone(), texts(values));
        }
        drop(known);
        facets.sellers = most_frequent(counted(&self.sellers).collect(), |place| columns.seller_at(*place));
        facets.prices = self.prices.iter().filter_map(Prices::told).collect();
        facets.prices.sort_by_key(|prices| (std::cmp::Reverse(prices.count), prices.currency.to_string()));
        facets
    }
}

impl Prices {
    fn told(&self) -> Option<PriceRange> {
        let &Prices { currency, count, lowest_minor, highest_minor } = self;
        Some(PriceRange {
            currency: currency_of(currency)?,
            count: u64::from(count),
            lowest_minor,
            highest_minor,
        })
    }
}

fn counted(counts: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    (0..).zip(counts.iter().copied()).filter(|(_, count)| *count > 0)
}

fn texts(values: Vec<(&str, u32)>) -> Vec<FacetValue<String>> {
    most_frequent(values, |value| Some((*value).to_owned()))
}

/// Gives the values with the most results, in their order; of those with as many, the lower ones.
fn most_frequent<K: Ord, T>(mut values: Vec<(K, u32)>, name: impl Fn(&K) -> Option<T>) -> Vec<FacetValue<T>> {
    let order = |one: &(K, u32), other: &(K, u32)| (other.1, &one.0).cmp(&(one.1, &other.0));
    if values.len() > FACET_VALUES_MAX {
        values.select_nth_unstable_by(FACET_VALUES_MAX, order);
        values.truncate(FACET_VALUES_MAX);
    }
    values.sort_unstable_by(order);
    let told = |(key, count): (K, u32)| Some(FacetValue { value: name(&key)?, count: u64::from(count) });
    values.into_iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_values_are_told_in_their_order() {
        let counts: Vec<u32> = (0..50).map(|n| if n % 2 == 0 { 0 } else { 1 + n / 10 }).collect();
        let told = most_frequent(counted(&counts).collect(), |place| Some(*place));
        let places: Vec<u32> = told.iter().map(|value| value.value).collect();
        let expected: Vec<u32> =
            (0..5).rev().flat_map(|tens| (0..5).map(move |n| 10 * tens + 2 * n + 1)).take(20).collect();
        assert_eq!(places, expected);
        assert_eq!((told[0].count, told[19].count), (5, 2));
        assert_eq!(most_frequent(vec![(1, 2)], |_| None::<u8>), []);
    }
}
