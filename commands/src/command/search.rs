//! What can be asked about what is found by which words.

use std::borrow::Cow;
use std::collections::BTreeSet;

use events::ids::ListingId;
use events::search::Category;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Attributes, Text};

/// Longest description of a listing, in characters.
pub const DESCRIPTION_LENGTH_MAX: usize = 2_000;
/// Most tags of a listing.
pub const TAGS_MAX: usize = 16;
/// Longest tag, in characters.
pub const TAG_LENGTH_MAX: usize = 32;

/// Most groups of words that mean the same.
pub const SYNONYM_GROUPS_MAX: usize = 500;
/// Most words of such a group.
pub const SYNONYMS_MAX: usize = 8;
/// Longest of such words, in characters.
pub const SYNONYM_LENGTH_MAX: usize = 40;

/// Says what a listing is, for those who look for it, in place of all that was said so before. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribeListing {
    /// What more there is to tell by name, such as its colour; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Where it belongs; absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// What there is to tell of it; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<DESCRIPTION_LENGTH_MAX>>,
    /// The listing.
    pub listing: ListingId,
    /// Words it is also found by; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
}

/// Says which words mean the same to who looks for something, in place of all that was said so before. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSynonyms {
    /// Groups of words of which each stands for every other; none: no word stands for another.
    #[schemars(length(max = SYNONYM_GROUPS_MAX))]
    #[serde(deserialize_with = "few_groups")]
    pub groups: Vec<SynonymGroup>,
}

fn few_groups<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<SynonymGroup>, D::Error> {
    let groups = Vec::deserialize(deserializer)?;
    if groups.len() > SYNONYM_GROUPS_MAX {
        return Err(serde::de::Error::custom(format!(
            "there are at most {SYNONYM_GROUPS_MAX} groups of words"
        )));
    }
    Ok(groups)
}

/// Words that mean the same: 2 to 8, each once and in the order of their code points, without spaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SynonymGroup(BTreeSet<String>);

impl SynonymGroup {
    /// Gives the words.
    pub fn words(&self) -> &BTreeSet<String> {
        &self.0
    }
}

impl TryFrom<BTreeSet<String>> for SynonymGroup {
    type Error = String;
    fn try_from(words: BTreeSet<String>) -> Result<Self, String> {
        if !(2..=SYNONYMS_MAX).contains(&words.len()) {
            return Err(format!("2 to {SYNONYMS_MAX} words mean the same"));
        }
        for word in &words {
            Text::<SYNONYM_LENGTH_MAX>::try_from(word.clone())?;
            if !word.chars().all(char::is_alphanumeric) {
                return Err("a word has letters and digits only".to_owned());
            }
        }
        Ok(SynonymGroup(words))
    }
}

impl<'de> Deserialize<'de> for SynonymGroup {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SynonymGroup::try_from(BTreeSet::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for SynonymGroup {
    fn schema_name() -> Cow<'static, str> {
        "SynonymGroup".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "description": "words of letters and digits, each once and in the order of their code points",
            "minItems": 2,
            "maxItems": SYNONYMS_MAX,
            "uniqueItems": true,
            "items": generator.subschema_for::<Text<SYNONYM_LENGTH_MAX>>(),
        })
    }
}

/// Words that a listing is also found by: 1 to 16, each once and in the order of their code points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tags(BTreeSet<String>);

impl Tags {
    /// Gives the words.
    pub fn words(&self) -> &BTreeSet<String> {
        &self.0
    }
}

impl TryFrom<BTreeSet<String>> for Tags {
    type Error = String;
    fn try_from(tags: BTreeSet<String>) -> Result<Self, String> {
        if !(1..=TAGS_MAX).contains(&tags.len()) {
            return Err(format!("a listing has 1 to {TAGS_MAX} tags"));
        }
        for tag in &tags {
            Text::<TAG_LENGTH_MAX>::try_from(tag.clone())?;
        }
        Ok(Tags(tags))
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Tags::try_from(BTreeSet::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Tags {
    fn schema_name() -> Cow<'static, str> {
        "Tags".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "description": "words, each once and in the order of their code points",
            "minItems": 1,
            "maxItems": TAGS_MAX,
            "uniqueItems": true,
            "items": generator.subschema_for::<Text<TAG_LENGTH_MAX>>(),
        })
    }
}
