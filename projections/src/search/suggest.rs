//! What a text that is being typed may become.

use std::collections::BTreeMap;

use tantivy::TantivyError;
use tantivy::schema::IndexRecordOption;

use super::columns::View;
use super::index::Snapshot;
use super::matching::{Matched, Wanted, understand};
use super::text::Word;

/// Most suggestions of one kind.
pub const SUGGESTIONS_MAX: usize = 10;
/// Most words of one segment that the last one may become which are looked at, in the order of letters.
const CANDIDATES_MAX: usize = 4_096;
/// Most of those, the ones in the most titles, whose listings are counted.
const COUNTED_MAX: usize = 48;

/// What a text may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The text with its last word completed, folded: without case and accents.
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
    words: &[Word],
    wanted: &[Wanted<'_>],
    limit: usize,
) -> Result<Vec<Completion>, TantivyError> {
    let Some((last, before)) = words.split_last() else { return Ok(Vec::new()) };
    let (_, terms) = understand(snapshot, &wanted[..before.len()])?;
    let mut candidates: BTreeMap<String, u64> = BTreeMap::new();
    for segment in &snapshot.segments {
        let mut stream = segment.title.terms().range().ge(&last.folded).into_stream()?;
        for _ in 0..CANDIDATES_MAX {
            let Some((key, term)) = stream.next() else { break };
            if !key.starts_with(last.folded.as_bytes()) {
                break;
            }
            if let Ok(word) = std::str::from_utf8(key) {
                *candidates.entry(word.to_owned()).or_default() += u64::from(term.doc_freq);
            }
        }
    }
    let mut candidates: Vec<(String, u64)> = candidates.into_iter().collect();
    candidates.sort_by_key(|(_, listings)| std::cmp::Reverse(*listings));
    candidates.truncate(COUNTED_MAX);
    let mut completions: Vec<Completion> = Vec::with_capacity(candidates.len());
    let matched = Matched::of_each(snapshot, &terms)?;
    let start: String = before.iter().map(|word| format!("{} ", word.folded)).collect();
    for (word, _) in candidates {
        let (mut listings, mut orders) = (0, 0);
        for (segment, matched) in snapshot.segments.iter().zip(&matched) {
            let Some(term) = segment.title.terms().get(&word)? else { continue };
            let mut postings =
                segment.title.read_block_postings_from_terminfo(&term, IndexRecordOption::Basic)?;
            while !postings.docs().is_empty() {
                for document in postings.docs() {
                    if matched.has(*document)
                        && segment.is_alive(*document)
                        && let Some(numbers) = view.of_sold(segment.columns.numbers[*document as usize])
                    {
                        listings += 1;
                        orders += numbers.orders;
                    }
                }
                postings.advance();
            }
        }
        if listings > 0 {
            completions.push(Completion { text: format!("{start}{word}"), listings, orders });
        }
    }
    completions.sort_by(|one, other| {
        let by_weight = (other.orders, other.listings).cmp(&(one.orders, one.listings));
        by_weight.then_with(|| one.text.cmp(&other.text))
    });
    completions.truncate(limit);
    Ok(completions)
}
