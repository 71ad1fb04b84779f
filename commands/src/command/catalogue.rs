//! What can be asked about listings and their stock.

use std::borrow::Cow;
use std::collections::BTreeMap;

use events::escrow::rule::ReleaseRule;
use events::ids::{AccountId, ListingId};
use events::listing::{Limits, TaxClass};
use events::location::Location;
use events::stock::AdjustmentReason;
use events::{Money, Quantity, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{REASON_LENGTH_MAX, TITLE_LENGTH_MAX, Text};

/// Most units of one kind that a listing can have in stock.
pub const STOCK_MAX: u64 = 1_000_000_000_000;
/// Most attributes of a variant.
pub const ATTRIBUTES_MAX: usize = 8;
/// Longest name of an attribute, in characters.
pub const ATTRIBUTE_NAME_LENGTH_MAX: usize = 32;
/// Longest value of an attribute, in characters.
pub const ATTRIBUTE_VALUE_LENGTH_MAX: usize = 64;

/// Offers something for sale. Given by a seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateListing {
    /// Whether nothing of it is taken back after it was delivered, where the market offers returns; absent: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub final_sale: bool,
    /// How many units an order may have of it; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The listing.
    pub listing: ListingId,
    /// Price of one unit.
    pub price: Money,
    /// Whether only accounts that an operator has cleared may buy it; absent: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
    /// How it is taxed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<TaxClass>,
    /// What it is.
    pub title: Text<TITLE_LENGTH_MAX>,
    /// The listing it is a variant of, and what sets it apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<AskedVariant>,
    /// What sets its money free besides what the market asks for; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseRule>,
}

impl CreateListing {
    /// Offers something that anybody may buy, in any number, and that is no variant.
    pub fn new(listing: ListingId, price: Money, title: Text<TITLE_LENGTH_MAX>) -> Self {
        CreateListing {
            final_sale: false,
            limits: None,
            listing,
            price,
            restricted: false,
            tax_class: None,
            title,
            variant: None,
            release: None,
        }
    }
}

/// Makes a listing a variant of another: the same thing in red, or larger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedVariant {
    /// What sets it apart, by name.
    pub attributes: Attributes,
    /// The listing it is a variant of: one of the same seller, and itself no variant.
    pub of: ListingId,
}

/// What sets a variant apart: 1 to 8 names, each with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Gives values by name.
    pub fn by_name(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl TryFrom<BTreeMap<String, String>> for Attributes {
    type Error = String;
    fn try_from(attributes: BTreeMap<String, String>) -> Result<Self, String> {
        if !(1..=ATTRIBUTES_MAX).contains(&attributes.len()) {
            return Err(format!("a variant has 1 to {ATTRIBUTES_MAX} attributes"));
        }
        for (name, value) in &attributes {
            Text::<ATTRIBUTE_NAME_LENGTH_MAX>::try_from(name.clone())?;
            Text::<ATTRIBUTE_VALUE_LENGTH_MAX>::try_from(value.clone())?;
        }
        Ok(Attributes(attributes))
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Attributes::try_from(BTreeMap::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Attributes {
    fn schema_name() -> Cow<'static, str> {
        "Attributes".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "values by name",
            "minProperties": 1,
            "maxProperties": ATTRIBUTES_MAX,
            "propertyNames": generator.subschema_for::<Text<ATTRIBUTE_NAME_LENGTH_MAX>>(),
            "additionalProperties": generator.subschema_for::<Text<ATTRIBUTE_VALUE_LENGTH_MAX>>(),
        })
    }
}

/// Changes what is offered; what is absent stays as it is. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateListing {
    /// Whether nothing of it is taken back after it was delivered. What was ordered before keeps what it was ordered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_sale: Option<bool>,
    /// How many units an order may have of it; `{}`: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The listing.
    pub listing: ListingId,
    /// Price of one unit, in the currency that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// Whether only accounts that an operator has cleared may buy it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restricted: Option<bool>,
    /// How it is taxed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<TaxClass>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Text<TITLE_LENGTH_MAX>>,
    /// What sets its money free besides what the market asks for; the market's own rule: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseRule>,
}

/// Stops selling something for the time being. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseListing {
    /// The listing.
    pub listing: ListingId,
}

/// Sells something again that was paused. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeListing {
    /// The listing.
    pub listing: ListingId,
}

/// Stops selling something for good. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawListing {
    /// The listing.
    pub listing: ListingId,
}

/// Forbids that something is sold. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockListing {
    /// The listing.
    pub listing: ListingId,
    /// Why.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// Allows again that something is sold. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnblockListing {
    /// The listing.
    pub listing: ListingId,
    /// Why.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// Forbids a seller to sell; open orders go on. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendSeller {
    /// The seller.
    pub account: AccountId,
    /// Why.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// Allows a seller to sell again. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReinstateSeller {
    /// The seller.
    pub account: AccountId,
    /// Why.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// Clears a buyer for restricted goods. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantClearance {
    /// The buyer.
    pub account: AccountId,
    /// Why: what was seen of him.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// Takes a buyer's clearance for restricted goods away. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeClearance {
    /// The buyer.
    pub account: AccountId,
    /// Why.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// Says that units arrived in stock. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiveStock {
    /// The listing.
    pub listing: ListingId,
    /// Where; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// How many.
    pub quantity: Quantity,
}

/// Says that the stock is another than was written down. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustStock {
    /// Units that came to those on hand, below zero: that left them. What is `written_off` leaves the damaged ones instead.
    pub delta: Delta,
    /// The listing.
    pub listing: ListingId,
    /// Where; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Why. What is `lost` or `written_off` leaves, what is `found` or `returned` comes.
    pub reason: AdjustmentReason,
}

/// Says how many units are kept back from sale. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSafetyStock {
    /// The listing.
    pub listing: ListingId,
    /// Where; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// How many; 0: none.
    pub units: Units,
}

/// Moves units from one location to another, as many at most as no open order waits for where they are. Given by the
/// listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveStock {
    /// From where; absent: from no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Location>,
    /// The listing.
    pub listing: ListingId,
    /// How many.
    pub quantity: Quantity,
    /// Where to; absent: to no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Location>,
}

/// Says how many units may be sold that are not there yet. Given by the listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBackorderLimit {
    /// The listing.
    pub listing: ListingId,
    /// How many; 0: none.
    pub units: Units,
}

/// Says how many units will arrive at a time, in place of what was said about that time and location before. Given by the
/// listing's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectStock {
    /// When, in milliseconds since 1970.
    pub due: Timestamp,
    /// The listing.
    pub listing: ListingId,
    /// Where; absent: at no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// How many; 0: none any more.
    pub quantity: Units,
}

/// A count of units in stock, from none to [`STOCK_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Units(u64);

impl Units {
    /// Gives the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Units {
    type Error = String;
    fn try_from(units: u64) -> Result<Self, String> {
        if units > STOCK_MAX {
            return Err(format!("units in stock must be 0 to {STOCK_MAX}, not {units}"));
        }
        Ok(Units(units))
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Units::try_from(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Units {
    fn schema_name() -> Cow<'static, str> {
        "Units".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 0, "maximum": STOCK_MAX, "description": "How many units"})
    }
}

/// A change of stock: at most [`STOCK_MAX`] units more or less, and never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Delta(i64);

impl Delta {
    /// Gives the number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Delta {
    type Error = String;
    fn try_from(delta: i64) -> Result<Self, String> {
        if delta == 0 || delta.unsigned_abs() > STOCK_MAX {
            return Err(format!(
                "a change of stock must be 1 to {STOCK_MAX} units more or less, not {delta}"
            ));
        }
        Ok(Delta(delta))
    }
}

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Delta::try_from(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Delta {
    fn schema_name() -> Cow<'static, str> {
        "Delta".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let most = i64::try_from(STOCK_MAX).expect("a million million is far below the largest number");
        json_schema!({
            "type": "integer",
            "minimum": -most,
            "maximum": most,
            "not": {"const": 0},
            "description": "How many units more, below zero: fewer",
        })
    }
}
