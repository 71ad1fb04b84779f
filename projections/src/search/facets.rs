//! How many results each value would leave that can be filtered by.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use events::ids::AccountId;

use super::columns::{Columns, Numbers};
use super::index::{FacetNumber, Labels};
use super::rank::Verdict;

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
}

/// Counts results by what they can be filtered by.
#[derive(Default)]
pub(super) struct Counter {
    /// By the number of the label.
    labels: Vec<u64>,
    /// By the place of the seller.
    sellers: Vec<u64>,
}

impl Counter {
    /// Takes a listing in that passes all filters, or all but those of one facet: then it counts in that one only.
    pub(super) fn take(
        &mut self,
        verdict: Verdict,
        numbers: &Numbers,
        labels: &[u32],
        facets: &[FacetNumber],
    ) {
        match verdict {
            Verdict::Out => {}
            Verdict::OutBySeller => bump(&mut self.sellers, numbers.seller),
            Verdict::OutBy(facet) => {
                let of_facet = labels.iter().filter(|label| facets.get(**label as usize) == Some(&facet));
                of_facet.for_each(|label| bump(&mut self.labels, *label));
            }
            Verdict::In => {
                bump(&mut self.sellers, numbers.seller);
                labels.iter().for_each(|label| bump(&mut self.labels, *label));
            }
        }
    }

    /// Tells the most frequent values.
    pub(super) fn tell(self, columns: &Columns, labels: &RwLock<Labels>) -> Facets {
        let mut facets = Facets::default();
        let mut attributes: BTreeMap<String, Vec<FacetValue<String>>> = BTreeMap::new();
        let known = labels.read().unwrap_or_else(PoisonError::into_inner);
        for (label, count) in counted(self.labels) {
            let Some(name) = known.name_of(label) else { continue };
            let mut parts = name.split('\u{1f}');
            match (parts.next(), parts.next(), parts.next()) {
                (Some("c"), Some(value), None) => {
                    facets.categories.push(FacetValue { value: value.to_owned(), count })
                }
                (Some("t"), Some(value), None) => {
                    facets.tags.push(FacetValue { value: value.to_owned(), count })
                }
                (Some("a"), Some(name), Some(value)) => {
                    let value = FacetValue { value: value.to_owned(), count };
                    attributes.entry(name.to_owned()).or_default().push(value);
                }
                _ => {}
            }
        }
        drop(known);
        for (place, count) in counted(self.sellers) {
            facets.sellers.extend(columns.seller_at(place).map(|value| FacetValue { value, count }));
        }
        most_frequent(&mut facets.categories);
        most_frequent(&mut facets.tags);
        most_frequent(&mut facets.sellers);
        let of_all = |values: &[FacetValue<String>]| values.iter().map(|value| value.count).sum::<u64>();
        let mut by_count: Vec<_> = attributes.into_iter().collect();
        by_count.sort_by_key(|(_, values)| std::cmp::Reverse(of_all(values)));
        by_count.truncate(FACET_ATTRIBUTES_MAX);
        by_count.iter_mut().for_each(|(_, values)| most_frequent(values));
        facets.attributes = by_count.into_iter().collect();
        facets
    }
}

fn bump(counts: &mut Vec<u64>, at: u32) {
    let at = at as usize;
    if counts.len() <= at {
        counts.resize(at + 1, 0);
    }
    counts[at] += 1;
}

fn counted(counts: Vec<u64>) -> impl Iterator<Item = (u32, u64)> {
    (0..).zip(counts).filter(|(_, count)| *count > 0)
}

fn most_frequent<T: Ord>(values: &mut Vec<FacetValue<T>>) {
    values.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.value.cmp(&other.value)));
    values.truncate(FACET_VALUES_MAX);
}
