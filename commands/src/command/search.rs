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
