//! Which listings have the words that are looked for, and how well.
//!
//! Words are found in the terms of each segment, and the listings of all terms of a word are gone through one term after
//! another. How well a listing fits is a sum of small whole numbers and depends on nothing but its own words and the
//! question: so it is the same in every segment, and pages of results hold together.

use std::sync::LazyLock;

use levenshtein_automata::{DFA, Distance, LevenshteinAutomatonBuilder, SINK_STATE};
use tantivy::postings::TermInfo;
use tantivy::schema::IndexRecordOption;
use tantivy::{InvertedIndexReader, TantivyError};
use tantivy_fst::Automaton;

use super::index::{BEGINNING_LETTERS_MAX, Segment, Snapshot};
use super::synonyms::Synonyms;
use super::text::Word;

/// Most terms of one field of one segment that a beginning is completed to; those behind it in the order of letters are not
/// looked at.
const COMPLETIONS_MAX: usize = 512;
/// Most terms of one field of one segment that a word may be misspelled from.
const MISSPELLINGS_MAX: usize = 128;

/// How well a term fits that is the word itself.
pub(super) const EXACT: u16 = 1_000;
/// One that stands for it.
const SYNONYM: u16 = 900;
/// One that begins with the word.
const BEGUN: u16 = 800;
/// One that is a letter away.
const ONE_OFF: u16 = 600;
/// One that begins with something a letter away.
const BEGUN_ONE_OFF: u16 = 500;
/// One that is two letters away.
const TWO_OFF: u16 = 400;
/// What is left of it, in percent, where the term does not stand in the title.
const OUTSIDE_TITLE_PERCENT: u16 = 60;

static ONE: LazyLock<LevenshteinAutomatonBuilder> =
    LazyLock::new(|| LevenshteinAutomatonBuilder::new(1, true));
static TWO: LazyLock<LevenshteinAutomatonBuilder> =
    LazyLock::new(|| LevenshteinAutomatonBuilder::new(2, true));

/// How many letters a word of this many may be away from what is meant. Two letters that changed places are one.
pub(super) fn typos_max(letters: usize) -> u8 {
    match letters {
        0..=3 => 0,
        4..=7 => 1,
        _ => 2,
    }
}

/// A word that is looked for.
pub(super) struct Wanted<'a> {
    word: &'a str,
    /// What stands for it.
    synonyms: &'a [String],
    /// Whether it may be the beginning of what is meant: it is the last one.
    may_go_on: bool,
}

impl<'a> Wanted<'a> {
    /// Gives what is looked for by the words of a text.
    pub(super) fn all(words: &'a [Word], synonyms: &'a Synonyms) -> Vec<Wanted<'a>> {
        let last = words.len().saturating_sub(1);
        let wanted = words.iter().enumerate().map(|(at, word)| Wanted {
            word: &word.folded,
            synonyms: synonyms.of(&word.folded),
            may_go_on: at == last,
        });
        wanted.collect()
    }
}

/// What a word was taken for.
pub(super) struct Understood<'a> {
    word: &'a str,
    synonyms: &'a [String],
    may_go_on: bool,
    /// What is near it, and what begins with something near it, if it was taken for misspelled.
    near: Option<DFA>,
    begun_near: Option<DFA>,
}

impl<'a> Understood<'a> {
    /// Takes a word for itself.
    #[cfg(test)]
    pub(super) fn exactly(word: &'a str) -> Self {
        Understood { word, synonyms: &[], may_go_on: false, near: None, begun_near: None }
    }

    /// Tells whether a folded word of a listing is what was looked for.
    pub(super) fn is(&self, folded: &str) -> bool {
        let is_near = |near: &Option<DFA>| {
            near.as_ref().is_some_and(|near| matches!(near.eval(folded), Distance::Exact(_)))
        };
        folded == self.word
            || (self.may_go_on && folded.starts_with(self.word))
            || self.synonyms.iter().any(|synonym| synonym == folded)
            || is_near(&self.near)
            || is_near(&self.begun_near)
    }
}

/// The terms of a word in one segment, and how well each fits.
#[derive(Default)]
struct Terms {
    title: Vec<(TermInfo, u16)>,
    body: Vec<(TermInfo, u16)>,
    beginning: Vec<(TermInfo, u16)>,
}

impl Terms {
    fn listings(&self) -> u64 {
        let all = self.title.iter().chain(&self.body).chain(&self.beginning);
        all.map(|(term, _)| u64::from(term.doc_freq)).sum()
    }
}

/// A document that has all words, and how well it fits: up to [`EXACT`].
pub(super) struct Match {
    pub(super) document: u32,
    pub(super) fit: u16,
}

/// Finds what each word stands for, and its terms in each segment.
pub(super) fn understand<'a>(
    snapshot: &Snapshot,
    wanted: &[Wanted<'a>],
) -> Result<(Vec<Understood<'a>>, Vec<WordTerms>), TantivyError> {
    let words: Result<Vec<_>, TantivyError> = wanted.iter().map(|word| terms_of(snapshot, word)).collect();
    Ok(words?.into_iter().unzip())
}

/// The terms of a word in each segment.
pub(super) struct WordTerms(Vec<Terms>);

impl WordTerms {
    fn listings(&self) -> u64 {
        self.0.iter().map(Terms::listings).sum()
    }
}

/// Finds the documents of each segment that have all words, for each segment in its turn.
pub(super) fn matches(
    snapshot: &Snapshot,
    words: &[WordTerms],
    mut found: impl FnMut(&Segment, Match),
) -> Result<(), TantivyError> {
    // The rarest first: the words behind it only look at what is left.
    let mut words: Vec<&WordTerms> = words.iter().collect();
    words.sort_by_cached_key(|word| word.listings());
    let count = u16::try_from(words.len()).expect("a text has few words");
    for (at, segment) in snapshot.segments.iter().enumerate() {
        let tally = Tally::of(segment, words.iter().map(|word| &word.0[at]))?;
        for document in tally.documents {
            let fit = tally.of_each[document as usize].fits / count;
            if segment.is_alive(document) {
                found(segment, Match { document, fit });
            }
        }
    }
    Ok(())
}

/// The documents of a segment that have all of some words.
pub(super) enum Matched {
    /// There are no words.
    All,
    /// Those with so many words.
    Having(Vec<Having>, u8),
}

impl Matched {
    /// Finds them in each segment.
    pub(super) fn of_each(snapshot: &Snapshot, words: &[WordTerms]) -> Result<Vec<Matched>, TantivyError> {
        let segments = snapshot.segments.iter().enumerate().map(|(at, segment)| {
            if words.is_empty() {
                return Ok(Matched::All);
            }
            let tally = Tally::of(segment, words.iter().map(|word| &word.0[at]))?;
            Ok(Matched::Having(tally.of_each, tally.taken))
        });
        segments.collect()
    }

    /// Tells whether a document has them.
    pub(super) fn has(&self, document: u32) -> bool {
        match self {
            Matched::All => true,
            Matched::Having(of_each, all) => of_each[document as usize].words == *all,
        }
    }
}

/// Finds the terms of a word in each segment. A word that no listing has is taken for misspelled.
fn terms_of<'a>(
    snapshot: &Snapshot,
    wanted: &Wanted<'a>,
) -> Result<(Understood<'a>, WordTerms), TantivyError> {
    let Wanted { word, synonyms, may_go_on } = *wanted;
    let mut understood = Understood { word, synonyms, may_go_on, near: None, begun_near: None };
    let each = snapshot.segments.iter();
    let spelled: Result<Vec<Terms>, TantivyError> = each.map(|segment| spelled(segment, wanted)).collect();
    let spelled = WordTerms(spelled?);
    let letters = word.chars().count();
    if spelled.listings() > 0 || typos_max(letters) == 0 {
        return Ok((understood, spelled));
    }
    let near = match typos_max(letters) {
        1 => ONE.build_dfa(word),
        _ => TWO.build_dfa(word),
    };
    let begun_near = may_go_on.then(|| ONE.build_prefix_dfa(word));
    let each = snapshot.segments.iter().map(|segment| {
        let mut terms = Terms::default();
        for (index, terms) in [(&segment.title, &mut terms.title), (&segment.body, &mut terms.body)] {
            misspelled(index, &near, terms, |distance| if distance < 2 { ONE_OFF } else { TWO_OFF })?;
            if let Some(begun) = &begun_near {
                misspelled(index, begun, terms, |_| BEGUN_ONE_OFF)?;
            }
        }
        Ok::<_, TantivyError>(terms)
    });
    let misspelled = WordTerms(each.collect::<Result<_, _>>()?);
    (understood.near, understood.begun_near) = (Some(near), begun_near);
    Ok((understood, misspelled))
}

/// Finds the terms that are the word, or begin with it.
fn spelled(
    segment: &Segment,
    Wanted { word, synonyms, may_go_on }: &Wanted<'_>,
) -> Result<Terms, TantivyError> {
    let mut terms = Terms::default();
    let is_short = word.chars().count() <= BEGINNING_LETTERS_MAX;
    for (index, terms) in [(&segment.title, &mut terms.title), (&segment.body, &mut terms.body)] {
        terms.extend(index.terms().get(word)?.map(|term| (term, EXACT)));
        for synonym in *synonyms {
            terms.extend(index.terms().get(synonym)?.map(|term| (term, SYNONYM)));
        }
        if !*may_go_on || is_short {
            continue;
        }
        let mut stream = index.terms().range().gt(word).into_stream()?;
        for _ in 0..COMPLETIONS_MAX {
            match stream.next() {
                Some((key, term)) if key.starts_with(word.as_bytes()) => terms.push((term.clone(), BEGUN)),
                _ => break,
            }
        }
    }
    if *may_go_on && is_short {
        let term = segment.beginning.terms().get(word)?;
        terms.beginning.extend(term.map(|term| (term, BEGUN)));
    }
    Ok(terms)
}

/// Goes through the documents that a term stands in, those that were replaced among them.
pub(super) fn documents_of(
    index: &InvertedIndexReader,
    term: &TermInfo,
    mut take: impl FnMut(u32),
) -> Result<(), TantivyError> {
    let mut postings = index.read_block_postings_from_terminfo(term, IndexRecordOption::Basic)?;
    while !postings.docs().is_empty() {
        postings.docs().iter().copied().for_each(&mut take);
        postings.advance();
    }
    Ok(())
}

/// Finds the terms that the word may have been misspelled from.
fn misspelled(
    index: &InvertedIndexReader,
    near: &DFA,
    terms: &mut Vec<(TermInfo, u16)>,
    fit: impl Fn(u8) -> u16,
) -> Result<(), TantivyError> {
    let mut stream = index.terms().search(Near(near)).into_stream()?;
    for _ in 0..MISSPELLINGS_MAX {
        let Some((key, term)) = stream.next() else { break };
        if let Distance::Exact(distance) = near.eval(key) {
            terms.push((term.clone(), fit(distance)));
        }
    }
    Ok(())
}

/// Walks the terms that are near a word.
struct Near<'a>(&'a DFA);

impl Automaton for Near<'_> {
    type State = u32;

    fn start(&self) -> u32 {
        self.0.initial_state()
    }

    fn is_match(&self, state: &u32) -> bool {
        matches!(self.0.distance(*state), Distance::Exact(_))
    }

    fn can_match(&self, state: &u32) -> bool {
        *state != SINK_STATE
    }

    fn accept(&self, state: &u32, byte: u8) -> u32 {
        self.0.transition(*state, byte)
    }
}

/// What is known of a document.
#[derive(Clone, Copy, Default)]
pub(super) struct Having {
    /// How well the words before this one fit, together. Few words fit, each by [`EXACT`] at most.
    fits: u16,
    /// How well this word fits best.
    best: u16,
    /// How many of the words so far it has.
    words: u8,
}

/// Counts, for each document of a segment, how many words it has and how well they fit.
struct Tally {
    of_each: Vec<Having>,
    /// Those that have all words so far, in no order.
    documents: Vec<u32>,
    taken: u8,
}

impl Tally {
    /// Counts the words of a segment's documents.
    fn of<'a>(segment: &Segment, words: impl Iterator<Item = &'a Terms>) -> Result<Tally, TantivyError> {
        let of_each = vec![Having::default(); segment.documents as usize];
        let mut tally = Tally { of_each, documents: Vec::new(), taken: 0 };
        for terms in words {
            if tally.taken == 0 {
                let most = terms.listings().min(u64::from(segment.documents));
                tally.documents.reserve(usize::try_from(most).unwrap_or_default());
            }
            tally.take(segment, terms)?;
        }
        Ok(tally)
    }

    /// Takes in which documents have the next word.
    fn take(&mut self, segment: &Segment, terms: &Terms) -> Result<(), TantivyError> {
        let outside = |fit: u16| fit * OUTSIDE_TITLE_PERCENT / 100;
        for (term, fit) in &terms.title {
            self.take_term(&segment.title, term, *fit)?;
        }
        for (term, fit) in &terms.body {
            self.take_term(&segment.body, term, outside(*fit))?;
        }
        // It does not say where the word stands that begins so.
        for (term, fit) in &terms.beginning {
            self.take_term(&segment.beginning, term, *fit)?;
        }
        self.taken += 1;
        let Tally { of_each, documents, taken } = self;
        documents.retain(|document| {
            let having = &mut of_each[*document as usize];
            let has_all = having.words == *taken;
            if has_all {
                having.fits += having.best;
            }
            has_all
        });
        Ok(())
    }

    fn take_term(
        &mut self,
        index: &InvertedIndexReader,
        term: &TermInfo,
        fit: u16,
    ) -> Result<(), TantivyError> {
        let Tally { of_each, documents, taken } = self;
        documents_of(index, term, |document| {
            let having = &mut of_each[document as usize];
            if having.words == *taken {
                having.words += 1;
                having.best = fit;
                if *taken == 0 {
                    documents.push(document);
                }
            } else if having.words == *taken + 1 {
                having.best = having.best.max(fit);
            }
        })
    }
}
