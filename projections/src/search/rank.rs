//! Which of the listings that match are shown, and in which order.

use std::collections::BinaryHeap;
use std::sync::{PoisonError, RwLock};

use tantivy::TantivyError;
use tantivy::schema::IndexRecordOption;

use super::columns::{Columns, Numbers, View, code_of};
use super::index::{Label, Labels, Segment, Snapshot};
use super::matching::{EXACT, Match, Wanted, matches};
use super::question::{Filters, Place, Question, Sort};
use super::text::Word;

/// What a title gains that has no other words than those looked for; with others, less.
const WHOLE_TITLE: u32 = 60;
/// What each doubling of a listing's orders gains, and the most that is gained so.
const POPULARITY_STEP: u32 = 4;
const POPULARITY_MAX: u32 = 60;

/// The filters of a question, ready to be asked of each listing.
pub(super) struct Sieve {
    seller: Option<u32>,
    labels: Vec<(String, u32)>,
    currency: Option<u32>,
    price_min: i64,
    price_max: i64,
    in_stock: bool,
}

impl Sieve {
    /// Makes the sieve; none: no listing can pass it.
    pub(super) fn new(filters: &Filters, columns: &Columns, labels: &RwLock<Labels>) -> Option<Sieve> {
        let Filters { seller, category, tag, attributes, currency, price_min, price_max, in_stock } = filters;
        let seller = match seller {
            None => None,
            Some(seller) => Some(columns.place_of(*seller)?),
        };
        let category = category.iter().map(|category| Label::Category(category.as_str()));
        let tag = tag.iter().map(|tag| Label::Tag(tag));
        let attributes = attributes.iter().map(|(name, value)| Label::Attribute(name, value));
        let known = labels.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = category.chain(tag).chain(attributes).map(|label| {
            let name = label.write();
            known.number_of(&name).map(|number| (name, number))
        });
        Some(Sieve {
            seller,
            labels: wanted.collect::<Option<_>>()?,
            currency: currency.map(code_of),
            price_min: price_min.unwrap_or(i64::MIN),
            price_max: price_max.unwrap_or(i64::MAX),
            in_stock: *in_stock,
        })
    }

    fn lets_through(&self, numbers: &Numbers, labels: &[u32]) -> bool {
        self.seller.is_none_or(|seller| seller == numbers.seller)
            && self.currency.is_none_or(|currency| currency == numbers.currency)
            && (self.price_min..=self.price_max).contains(&numbers.price_minor)
            && (!self.in_stock || numbers.available > 0)
            && self.labels.iter().all(|(_, label)| labels.contains(label))
    }
}

/// What a search found.
pub(super) struct Found {
    /// How many listings match.
    pub(super) count: u64,
    /// The best of them behind the page before, one more than a page has, by their numbers.
    pub(super) best: Vec<(Place, u32)>,
}

/// Finds the best listings behind `after`, at most `limit`.
pub(super) fn search(
    snapshot: &Snapshot,
    view: &View,
    sieve: &Sieve,
    question: &Question,
    words: &[Word],
    after: Option<Place>,
    limit: usize,
) -> Result<Found, TantivyError> {
    let sort = question.sort();
    let mut count = 0;
    let mut best = BinaryHeap::with_capacity(limit + 1);
    let word_count = u32::try_from(words.len()).expect("a text has few words");
    let take = |segment: &Segment, Match { document, fit }: Match| {
        let columns = &segment.columns;
        let number = columns.numbers[document as usize];
        let Some(numbers) = view.of_sold(number) else { return Ok(()) };
        if !sieve.lets_through(&numbers, columns.labels(document)) {
            return Ok(());
        }
        count += 1;
        let key = match sort {
            Sort::Relevance => {
                let length = u32::from(columns.lengths[document as usize]);
                let others = length.saturating_sub(word_count);
                let whole = if fit >= EXACT { WHOLE_TITLE / (others + 1) } else { 0 };
                let doublings = numbers.orders.checked_ilog2().map_or(0, |log| log + 1);
                let popularity = (doublings * POPULARITY_STEP).min(POPULARITY_MAX);
                -i64::from(fit + whole + popularity)
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
        each(snapshot, sieve.labels.first().map(|(name, _)| name.as_str()), take)?;
    } else {
        matches(snapshot, &Wanted::all(words), take)?;
    }
    Ok(Found { count, best: best.into_sorted_vec() })
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
