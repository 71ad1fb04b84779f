//! Which of the listings that match are shown, and in which order.

use std::collections::BinaryHeap;
use std::sync::{Arc, PoisonError, RwLock};

use tantivy::TantivyError;
use tantivy::schema::IndexRecordOption;

use super::columns::{Columns, Numbers, View, code_of};
use super::facets::Counter;
use super::index::{FacetNumber, Label, Labels, Segment, Snapshot};
use super::matching::{EXACT, Match, WordTerms, matches};
use super::question::{Filters, Place, Question, Sort};
use super::taste::Taste;

/// What a title gains that has no other words than those looked for; with others, less.
const WHOLE_TITLE: u32 = 60;
/// What each doubling of a listing's orders gains, and the most that is gained so.
const POPULARITY_STEP: u32 = 4;
const POPULARITY_MAX: u32 = 60;

/// The filters of a question, ready to be asked of each listing.
pub(super) struct Sieve {
    /// The seller's place, if one is asked for; inside, none: he sells nothing.
    seller: Option<Option<u32>>,
    labels: Vec<WantedLabel>,
    currency: Option<u32>,
    price_min: i64,
    price_max: i64,
    in_stock: bool,
    /// The facet of each label.
    pub(super) facets: Arc<Vec<FacetNumber>>,
}

/// A label that every result bears. No number, no facet: no listing bears it, or any of its kind.
struct WantedLabel {
    name: String,
    number: Option<u32>,
    facet: Option<FacetNumber>,
}

/// What becomes of a listing at the filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes.
    In,
    /// Another seller's is asked for, and nothing else is against it.
    OutBySeller,
    /// Another value of this facet is asked for, and nothing else is against it.
    OutBy(FacetNumber),
    /// It does not pass.
    Out,
}

impl Sieve {
    pub(super) fn new(filters: &Filters, columns: &Columns, labels: &RwLock<Labels>) -> Sieve {
        let Filters { seller, category, tag, attributes, currency, price_min, price_max, in_stock } = filters;
        let category = category.iter().map(|category| Label::Category(category.as_str()));
        let tag = tag.iter().map(|tag| Label::Tag(tag));
        let attributes = attributes.iter().map(|(name, value)| Label::Attribute(name, value));
        let known = labels.read().unwrap_or_else(PoisonError::into_inner);
        let labels = category.chain(tag).chain(attributes).map(|label| {
            let name = label.write();
            WantedLabel { number: known.number_of(&name), facet: known.facet_of(&name), name }
        });
        Sieve {
            seller: seller.map(|seller| columns.place_of(seller)),
            labels: labels.collect(),
            currency: currency.map(code_of),
            price_min: price_min.unwrap_or(i64::MIN),
            price_max: price_max.unwrap_or(i64::MAX),
            in_stock: *in_stock,
            facets: known.facets(),
        }
    }

    fn judge(&self, numbers: &Numbers, labels: &[u32]) -> Verdict {
        let fits = self.currency.is_none_or(|currency| currency == numbers.currency)
            && (self.price_min..=self.price_max).contains(&numbers.price_minor)
            && (!self.in_stock || numbers.available > 0);
        if !fits {
            return Verdict::Out;
        }
        let mut verdict = match self.seller {
            Some(seller) if seller != Some(numbers.seller) => Verdict::OutBySeller,
            _ => Verdict::In,
        };
        for WantedLabel { number, facet, .. } in &self.labels {
            if number.is_some_and(|number| labels.contains(&number)) {
                continue;
            }
            verdict = match (verdict, facet) {
                (Verdict::In, Some(facet)) => Verdict::OutBy(*facet),
                _ => return Verdict::Out,
            };
        }
        verdict
    }
}

/// What a search found.
pub(super) struct Found {
    /// How many listings match.
    pub(super) count: u64,
    /// The best of them behind the page before, one more than a page has, by their numbers.
    pub(super) best: Vec<(Place, u32)>,
}

/// Finds the best listings behind `after`, at most `limit`, and counts them by facet for whoever asks.
pub(super) fn search(
    (snapshot, view): (&Snapshot, &View),
    (sieve, taste): (&Sieve, &Taste),
    question: &Question,
    words: &[WordTerms],
    (after, limit): (Option<Place>, usize),
    mut counter: Option<&mut Counter>,
) -> Result<Found, TantivyError> {
    let sort = question.sort();
    let mut count = 0;
    let mut best = BinaryHeap::with_capacity(limit + 1);
    let word_count = u32::try_from(words.len()).expect("a text has few words");
    // Facets count what one filter keeps out, too, so all must be looked at.
    let label = sieve.labels.first().map(|label| label.name.as_str()).filter(|_| counter.is_none());
    let take = |segment: &Segment, Match { document, fit }: Match| {
        let columns = &segment.columns;
        let number = columns.numbers[document as usize];
        let Some(numbers) = view.of_sold(number) else { return Ok(()) };
        let labels = columns.labels(document);
        let verdict = sieve.judge(&numbers, labels);
        if let Some(counter) = &mut counter {
            counter.take(verdict, &numbers, labels, &sieve.facets);
        }
        if verdict != Verdict::In {
            return Ok(());
        }
        count += 1;
        let key = match sort {
            Sort::Relevance => {
                let length = u32::from(columns.lengths[document as usize]);
                let fits = relevance(fit, length.saturating_sub(word_count), numbers.orders);
                -i64::from(fits + taste.gain(&numbers, labels))
            }
            Sort::Price => numbers.price_minor,
            Sort::PriceDesc => -numbers.price_minor,
            Sort::Newest => 0,
            Sort::Popular => i64::try_from(numbers.orders).map_or(i64::MIN, |orders| -orders),
        };
        let place = Place { key, age: u32::MAX - number };
        if after.is_none_or(|after| place > after) {
            best.push((place, number));
            if best.len() > limit {
                best.pop();
            }
        }
        Ok(())
    };
    if words.is_empty() {
        each(snapshot, label, take)?;
    } else {
        matches(snapshot, words, take)?;
    }
    Ok(Found { count, best: best.into_sorted_vec() })
}

/// Gives how well a listing fits that has its words so well, so many others in its title, and was ordered so often.
fn relevance(fit: u32, others: u32, orders: u64) -> u32 {
    let whole = if fit >= EXACT { WHOLE_TITLE / (others + 1) } else { 0 };
    let doublings = orders.checked_ilog2().map_or(0, |log| log + 1);
    fit + whole + (doublings * POPULARITY_STEP).min(POPULARITY_MAX)
}

/// Goes through all listings, or those that bear a label.
fn each(
    snapshot: &Snapshot,
    label: Option<&str>,
    mut take: impl FnMut(&Segment, Match) -> Result<(), TantivyError>,
) -> Result<(), TantivyError> {
    for segment in &snapshot.segments {
        let mut take = |document: u32| match segment.is_alive(document) {
            true => take(segment, Match { document, fit: 0 }),
            false => Ok(()),
        };
        let Some(label) = label else {
            (0..segment.documents).try_for_each(&mut take)?;
            continue;
        };
        let Some(term) = segment.label.terms().get(label)? else { continue };
        let mut postings =
            segment.label.read_block_postings_from_terminfo(&term, IndexRecordOption::Basic)?;
        while !postings.docs().is_empty() {
            postings.docs().iter().copied().try_for_each(&mut take)?;
            postings.advance();
        }
    }
    Ok(())
}
