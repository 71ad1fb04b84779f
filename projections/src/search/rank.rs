//! Which of the listings that match are shown, and in which order.

use std::collections::BinaryHeap;

use tantivy::TantivyError;

use super::columns::{Columns, Numbers, View, code_of};
use super::facets::Counter;
use super::index::{Borne, FacetNumber, Label, Labels, Segment, Snapshot};
use super::matching::{EXACT, Match, WordTerms, documents_of, matches};
use super::question::{Filters, Place, Question, Sort};
use super::taste::{GAIN_MAX, Taste};

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
}

/// A label that every result bears. No number, no facet: no listing bears it, or any of its kind.
struct WantedLabel {
    name: String,
    number: Option<u32>,
    facet: Option<FacetNumber>,
}

/// What a filter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Facet {
    /// The price or its currency.
    Price,
    Seller,
    Labels(FacetNumber),
}

/// What becomes of a listing at the filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes.
    In,
    /// Another value of this facet is asked for, and nothing else is against it.
    OutBy(Facet),
    /// It does not pass.
    Out,
}

impl Verdict {
    fn and_out_by(self, facet: Facet) -> Verdict {
        match self {
            Verdict::In => Verdict::OutBy(facet),
            Verdict::OutBy(_) | Verdict::Out => Verdict::Out,
        }
    }
}

impl Sieve {
    pub(super) fn new(filters: &Filters, columns: &Columns, labels: &Labels) -> Sieve {
        let Filters { seller, category, tag, attributes, currency, price_min, price_max, in_stock } = filters;
        let category = category.iter().map(|category| Label::Category(category.as_str()));
        let tag = tag.iter().map(|tag| Label::Tag(tag));
        let attributes = attributes.iter().map(|(name, value)| Label::Attribute(name, value));
        let wanted = category.chain(tag).chain(attributes).map(|label| WantedLabel {
            name: label.write(),
            number: labels.find(label).map(|borne| borne.label),
            facet: labels.facet_of(label),
        });
        Sieve {
            seller: seller.map(|seller| columns.place_of(seller)),
            labels: wanted.collect(),
            currency: currency.map(code_of),
            price_min: price_min.unwrap_or(i64::MIN),
            price_max: price_max.unwrap_or(i64::MAX),
            in_stock: *in_stock,
        }
    }

    /// Tells whether every listing passes.
    fn is_open(&self) -> bool {
        let Sieve { seller, labels, currency, price_min, price_max, in_stock } = self;
        seller.is_none()
            && labels.is_empty()
            && currency.is_none()
            && (*price_min, *price_max) == (i64::MIN, i64::MAX)
            && !in_stock
    }

    fn judge(&self, numbers: &Numbers, labels: &[Borne]) -> Verdict {
        if self.in_stock && numbers.available == 0 {
            return Verdict::Out;
        }
        let mut verdict = Verdict::In;
        let is_priced_so = self.currency.is_none_or(|currency| currency == numbers.currency)
            && (self.price_min..=self.price_max).contains(&numbers.price_minor);
        if !is_priced_so {
            verdict = verdict.and_out_by(Facet::Price);
        }
        if self.seller.is_some_and(|seller| seller != Some(numbers.seller)) {
            verdict = verdict.and_out_by(Facet::Seller);
        }
        for wanted in &self.labels {
            if wanted.number.is_some_and(|number| labels.iter().any(|borne| borne.label == number)) {
                continue;
            }
            verdict = wanted.facet.map_or(Verdict::Out, |facet| verdict.and_out_by(Facet::Labels(facet)));
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

/// How well a listing's words fit those looked for.
#[derive(Default)]
struct Fit {
    fit: u16,
    /// How many words its title has.
    title_length: u8,
}

/// The best results so far, at most so many.
struct Best {
    limit: usize,
    /// The worst of them first.
    heap: BinaryHeap<(Place, u32)>,
}

impl Best {
    /// Tells whether no listing with this key, or a higher one, is among the best.
    fn are_all_below(&self, key: i64) -> bool {
        self.heap.len() == self.limit && self.heap.peek().is_some_and(|(worst, _)| worst.key < key)
    }

    fn take(&mut self, place: Place, number: u32) {
        if self.heap.len() < self.limit {
            self.heap.push((place, number));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && place < worst.0
        {
            *worst = (place, number);
        }
    }
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
    let mut best = Best { limit, heap: BinaryHeap::with_capacity(limit) };
    let word_count = u32::try_from(words.len()).expect("a text has few words");
    // Facets count what one filter keeps out, too, so all must be looked at.
    let label = sieve.labels.first().map(|label| label.name.as_str()).filter(|_| counter.is_none());
    // Nobody asks for words or labels, so the index need not be asked. In the order of memory this is a fraction of the work.
    let is_without_index =
        words.is_empty() && sieve.labels.is_empty() && counter.is_none() && question.taste().is_none();
    // A listing that can't be among the best however often it was ordered is counted, and no more is asked of it.
    let may_be_only_counted = sort == Sort::Relevance && sieve.is_open() && counter.is_none();
    let mut consider = |number: u32, Fit { fit, title_length }: Fit, labels: &[Borne]| {
        let Some(seller) = view.seller_of(number) else { return };
        let highest = u32::from(fit) + WHOLE_TITLE + POPULARITY_MAX + GAIN_MAX;
        if may_be_only_counted && best.are_all_below(-i64::from(highest)) {
            count += 1;
            return;
        }
        let numbers = view.numbers(number, seller);
        let verdict = sieve.judge(&numbers, labels);
        if let Some(counter) = &mut counter {
            counter.take(verdict, &numbers, labels);
        }
        if verdict != Verdict::In {
            return;
        }
        count += 1;
        let key = match sort {
            Sort::Relevance => {
                let others = u32::from(title_length).saturating_sub(word_count);
                let fits = relevance(fit, others, numbers.orders);
                -i64::from(fits + taste.gain(&numbers, labels))
            }
            Sort::Price => numbers.price_minor,
            Sort::PriceDesc => -numbers.price_minor,
            Sort::Newest => 0,
            Sort::Popular => i64::try_from(numbers.orders).map_or(i64::MIN, |orders| -orders),
        };
        let place = Place { key, age: u32::MAX - number };
        if after.is_none_or(|after| place > after) {
            best.take(place, number);
        }
    };
    let take = |segment: &Segment, Match { document, fit }: Match| {
        let columns = &segment.columns;
        let title_length = columns.lengths[document as usize];
        let number = columns.numbers[document as usize];
        consider(number, Fit { fit, title_length }, columns.labels(document));
    };
    if is_without_index {
        (0..view.listings()).for_each(|number| consider(number, Fit::default(), &[]));
    } else if words.is_empty() {
        each(snapshot, label, take)?;
    } else {
        matches(snapshot, words, take)?;
    }
    Ok(Found { count, best: best.heap.into_sorted_vec() })
}

/// Gives how well a listing fits that has its words so well, so many others in its title, and was ordered so often.
fn relevance(fit: u16, others: u32, orders: u64) -> u32 {
    let whole = if fit >= EXACT { WHOLE_TITLE / (others + 1) } else { 0 };
    let doublings = orders.checked_ilog2().map_or(0, |log| log + 1);
    u32::from(fit) + whole + (doublings * POPULARITY_STEP).min(POPULARITY_MAX)
}

/// Goes through all listings, or those that bear a label.
fn each(
    snapshot: &Snapshot,
    label: Option<&str>,
    mut take: impl FnMut(&Segment, Match),
) -> Result<(), TantivyError> {
    for segment in &snapshot.segments {
        let mut take = |document: u32| {
            if segment.is_alive(document) {
                take(segment, Match { document, fit: 0 });
            }
        };
        let Some(label) = label else {
            (0..segment.documents).for_each(&mut take);
            continue;
        };
        let Some(term) = segment.label.terms().get(label)? else { continue };
        documents_of(&segment.label, &term, take)?;
    }
    Ok(())
}
