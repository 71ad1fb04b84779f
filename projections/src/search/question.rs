//! What can be looked for, and in which order it is shown.

use std::collections::BTreeMap;

use events::ids::AccountId;
use events::search::Category;
use events::{Currency, Hash};
use serde::{Deserialize, Serialize};

/// Longest text that is looked for, in characters.
pub const TEXT_LENGTH_MAX: usize = 200;
/// Most words of it.
pub const WORDS_MAX: usize = 10;
/// Most listings in one page of results.
pub const HITS_PER_PAGE_MAX: usize = 50;
/// Most attributes that are filtered by at once.
pub const ATTRIBUTE_FILTERS_MAX: usize = 8;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Words that every result has, at most [`TEXT_LENGTH_MAX`] characters and [`WORDS_MAX`] words; empty: everything.
    pub text: String,
    /// What every result is.
    pub filters: Filters,
    /// In which order; none: by relevance where there are words, else the newest first.
    pub sort: Option<Sort>,
    /// The last result of the page before; none: the first page.
    pub after: Option<Cursor>,
    /// How many results at most.
    pub limit: usize,
    /// Whose taste moves what fits about as well, where the order is by relevance; none: nobody's.
    pub taste_of: Option<AccountId>,
    /// Whether to count what the results can be filtered by further.
    pub facets: bool,
}

impl Question {
    /// Asks for everything, the newest first.
    pub fn everything() -> Self {
        Question {
            text: String::new(),
            filters: Filters::default(),
            sort: None,
            after: None,
            limit: HITS_PER_PAGE_MAX,
            taste_of: None,
            facets: false,
        }
    }
}

/// What every result is; what is absent does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Filters {
    /// Of this seller.
    pub seller: Option<AccountId>,
    /// Of this category or one within it.
    pub category: Option<Category>,
    /// With this tag.
    pub tag: Option<String>,
    /// With these attributes, its own or those that set a variant apart.
    pub attributes: BTreeMap<String, String>,
    /// Priced in this currency.
    pub currency: Option<Currency>,
    /// At this price or above, in minor units of `currency`.
    pub price_min: Option<i64>,
    /// At this price or below, in minor units of `currency`.
    pub price_max: Option<i64>,
    /// With units that can be ordered now.
    pub in_stock: bool,
}

/// The order of results. Where two are equal, the newer is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// What fits the words best.
    Relevance,
    /// The cheapest, of one currency.
    Price,
    /// The dearest, of one currency.
    PriceDesc,
    /// The newest.
    Newest,
    /// The most often ordered.
    Popular,
}

/// Where a page of results ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// What was asked; another question has other pages.
    question: [u8; 8],
    /// The last result.
    place: Place,
}

/// Where a result stands: by its key and, among equals, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) key: i64,
    /// Counts down, so that the newer listing is the lower.
    pub(super) age: u32,
}

/// Bytes of a cursor.
const CURSOR_BYTES: usize = 20;

impl Cursor {
    pub(super) fn new(question: &Question, place: Place) -> Self {
        Cursor { question: question.fingerprint(), place }
    }

    /// Gives the place that the next page begins behind; none: it is another question's.
    pub(super) fn place_in(self, question: &Question) -> Option<Place> {
        (self.question == question.fingerprint()).then_some(self.place)
    }

    /// Writes it.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CURSOR_BYTES);
        bytes.extend_from_slice(&self.question);
        bytes.extend_from_slice(&self.place.key.to_be_bytes());
        bytes.extend_from_slice(&self.place.age.to_be_bytes());
        bytes
    }

    /// Reads it; none: it is no cursor.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; CURSOR_BYTES] = bytes.try_into().ok()?;
        let (question, rest) = bytes.split_first_chunk::<8>()?;
        let (key, age) = rest.split_first_chunk::<8>()?;
        let age = u32::from_be_bytes(age.try_into().ok()?);
        Some(Cursor { question: *question, place: Place { key: i64::from_be_bytes(*key), age } })
    }
}

impl Question {
    pub(super) fn sort(&self) -> Sort {
        let usual = if self.text.trim().is_empty() { Sort::Newest } else { Sort::Relevance };
        self.sort.unwrap_or(usual)
    }

    /// Gives whose taste moves what is found; none: nobody's.
    pub(super) fn taste(&self) -> Option<AccountId> {
        self.taste_of.filter(|_| self.sort() == Sort::Relevance)
    }

    /// Tells one question from another, whichever page of it is asked for.
    fn fingerprint(&self) -> [u8; 8] {
        let text = (&self.text, &self.filters, self.sort(), self.taste());
        let bytes = serde_json::to_vec(&text).expect("words, ids and numbers can be written");
        let hash = Hash::of(&bytes);
        *hash.as_bytes().first_chunk().expect("a hash has more bytes than that")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_one_question_whatever_its_page_is() {
        let question = Question { text: "tea".into(), ..Question::everything() };
        let place = Place { key: -7, age: 9 };
        let cursor = Cursor::new(&question, place);
        let read = Cursor::from_bytes(&cursor.to_bytes()).expect("it is one");
        let next = Question { after: Some(read), limit: 3, ..question.clone() };
        assert_eq!(read.place_in(&next), Some(place));
        let explicit = Question { sort: Some(Sort::Relevance), ..question.clone() };
        assert_eq!(read.place_in(&explicit), Some(place));
        let filters = Filters { in_stock: true, ..Filters::default() };
        for other in [
            Question { text: "pot".into(), ..question.clone() },
            Question { sort: Some(Sort::Newest), ..question.clone() },
            Question { filters, ..question },
        ] {
            assert_eq!(read.place_in(&other), None);
        }
        assert_eq!(Cursor::from_bytes(&[0; CURSOR_BYTES - 1]), None);
        assert_eq!(Cursor::from_bytes(&[0; CURSOR_BYTES + 1]), None);
    }
}
