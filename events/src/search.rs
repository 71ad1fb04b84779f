//! Facts that tell what is found by which words.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::code;
use crate::ids::ListingId;

/// Longest category, in bytes.
pub const CATEGORY_LENGTH_MAX: usize = 96;

/// A seller said what a listing is, for those who look for it. It takes the place of all that was said so before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Described {
    /// What more there is to tell by name, such as its colour: 1 to 8 attributes, names of 1 to 32 characters, values of 1 to 64;
    /// absent: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Where it belongs; absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// What there is to tell of it, 1 to 2,000 characters; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The listing.
    pub listing: ListingId,
    /// Words it is also found by, at most 16 of 1 to 32 characters; absent: none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
}

/// An operator said which words mean the same. It takes the place of all that was said so before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SynonymsSet {
    /// Groups of words of which each stands for every other: at most 500 of 2 to 8 words of 1 to 40 characters.
    pub groups: Vec<BTreeSet<String>>,
}

code! {
    /// Where a listing belongs, from the wide to the narrow: `kitchen/tea/green`.
    Category: "Category", "category", must be "1 to 96 of a-z, 0-9, - and /, with no / at its ends or beside another",
    pattern "^(?=.{1,96}$)[a-z0-9-]+(/[a-z0-9-]+)*$",
    description "1 to 96 of a-z, 0-9 and -, from the wide to the narrow with / between",
    fits |text| {
        text.len() <= CATEGORY_LENGTH_MAX
            && text.split('/').all(|part| {
                !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            })
    }
}

impl Category {
    /// Gives the category itself and those around it, from the narrow to the wide.
    pub fn and_wider(&self) -> impl Iterator<Item = &str> {
        let ends = std::iter::once(self.as_str().len());
        ends.chain(self.as_str().rmatch_indices('/').map(|(at, _)| at)).map(|end| &self.as_str()[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_paths_of_plain_words() {
        for good in ["tea", "kitchen/tea", "a-1/b/c", &"x".repeat(96)] {
            assert!(good.parse::<Category>().is_ok(), "{good}");
        }
        for bad in ["", "/", "tea/", "/tea", "a//b", "Tea", "a b", "ü", &"x".repeat(97)] {
            assert!(bad.parse::<Category>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_category_is_within_wider_ones() {
        let tea: Category = "kitchen/tea/green".parse().expect("it is one");
        assert_eq!(tea.and_wider().collect::<Vec<_>>(), ["kitchen/tea/green", "kitchen/tea", "kitchen"]);
    }
}
