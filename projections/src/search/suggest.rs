//! What a text that is being typed may become.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use tantivy::{InvertedIndexReader, TantivyError};

use super::columns::View;
use super::index::Snapshot;
use super::matching::{Matched, Wanted, documents_of, understand};
use super::text::Word;

/// Most suggestions of one kind.
pub const SUGGESTIONS_MAX: usize = 10;
/// Most words of one segment that the last one may become which are looked at, in the order of letters.
const CANDIDATES_MAX: usize = 16_384;
/// Most of those, the ones in the most titles, whose listings are counted.
const COUNTED_MAX: usize = 32;

/// What a text may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The text with its last word completed, that one without case and accents.
    pub text: String,
    /// How many listings have it in their title and can be bought.
    pub listings: u64,
    /// How often they were ordered, together.
    pub orders: u64,
}

/// Finds what the last word may become, so that listings that can be bought have it in their title beside the words before. What
/// is ordered more is first, then what more listings have.
pub(super) fn completions(
    snapshot: &Snapshot,
    view: &View,
    text: &str,
    words: &[Word],
    wanted: &[Wanted<'_>],
    limit: usize,
) -> Result<Vec<Completion>, TantivyError> {
    let Some((last, before)) = words.split_last() else { return Ok(Vec::new()) };
    let (_, terms) = understand(snapshot, &wanted[..before.len()])?;
    let mut candidates: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for segment in &snapshot.segments {
        for Used(Reverse(titles), word) in most_used(&segment.title, &last.folded)? {
            *candidates.entry(word).or_default() += u64::from(titles);
        }
    }
    let mut candidates: Vec<(Vec<u8>, u64)> = candidates.into_iter().collect();
    candidates.sort_by_key(|(_, titles)| Reverse(*titles));
    candidates.truncate(COUNTED_MAX);
    let matched = Matched::of_each(snapshot, &terms)?;
    let mut completions: Vec<Completion> = Vec::with_capacity(candidates.len());
    for (word, _) in candidates {
        let (mut listings, mut orders) = (0, 0);
        for (segment, matched) in snapshot.segments.iter().zip(&matched) {
            let Some(term) = segment.title.terms().get(&word)? else { continue };
            documents_of(&segment.title, &term, |document| {
                let number = segment.columns.numbers[document as usize];
                if matched.has(document)
                    && segment.is_alive(document)
                    && let Some(seller) = view.seller_of(number)
                {
                    listings += 1;
                    orders += view.numbers(number, seller).orders;
                }
            })?;
        }
        if listings > 0
            && let Ok(word) = String::from_utf8(word)
        {
            completions.push(Completion { text: format!("{}{word}", &text[..last.from]), listings, orders });
        }
    }
    completions.sort_by(|one, other| {
        let by_weight = (other.orders, other.listings).cmp(&(one.orders, one.listings));
        by_weight.then_with(|| one.text.cmp(&other.text))
    });
    completions.truncate(limit);
    Ok(completions)
}

/// In how many titles a word is; the highest is in the fewest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Used(Reverse<u32>, Vec<u8>);

/// Gives the words of titles that begin so, those in the most titles.
fn most_used(titles: &InvertedIndexReader, beginning: &str) -> Result<BinaryHeap<Used>, TantivyError> {
    let mut most = BinaryHeap::with_capacity(COUNTED_MAX);
    let mut stream = titles.terms().range().ge(beginning).into_stream()?;
    for _ in 0..CANDIDATES_MAX {
        let Some((word, term)) = stream.next() else { break };
        if !word.starts_with(beginning.as_bytes()) {
            break;
        }
        if most.len() < COUNTED_MAX {
            most.push(Used(Reverse(term.doc_freq), word.to_vec()));
        } else if let Some(mut least) = most.peek_mut()
            && least.0.0 < term.doc_freq
        {
            *least = Used(Reverse(term.doc_freq), word.to_vec());
        }
    }
    Ok(most)
}
