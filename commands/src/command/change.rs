//! What can be asked about changes of an order.

use std::borrow::Cow;

use events::ids::{ChangeId, ListingId, OrderId};
use events::tax::Region;
use events::{Money, Quantity};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{LINES_MAX, QUOTES_MAX, REASON_LENGTH_MAX, Text};
use crate::refusal::Refusal;

/// Proposes to change what of an order is not shipped yet. Given by the order's buyer or its seller; it applies when the other
/// side accepts it. The change's id is derived from the account and the command's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposeChange {
    /// What is to be changed, each listing once: 1 to 100 lines. What is not named stays as it is.
    #[schemars(length(min = 1, max = LINES_MAX))]
    pub lines: Vec<ChangedLine>,
    /// The most that the buyer pays more than before. He signs it where the change makes the order dearer: with his proposal,
    /// or when he accepts the seller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_difference: Option<Money>,
    /// The order.
    pub order: OrderId,
    /// Why; the other side reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<REASON_LENGTH_MAX>>,
    /// Where the order is delivered, as it was said when it was placed: needed where something is taxed and units are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// How many units of a listing an order is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedLine {
    /// The listing, one of the order's or another of the same seller.
    pub listing: ListingId,
    /// How many units, with those that are shipped and without those that are cancelled; 0: none.
    pub quantity: UnitCount,
    /// A quote for the units that are added instead of the listing's price: a compact JWS signed by the seller. At most 16
    /// lines have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}

/// A count of units, from none to as many as a line may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UnitCount(u32);

impl UnitCount {
    /// Gives the number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for UnitCount {
    type Error = String;
    fn try_from(units: u32) -> Result<Self, String> {
        if units > Quantity::MAX {
            return Err(format!("a line may have 0 to {} units, not {units}", Quantity::MAX));
        }
        Ok(UnitCount(units))
    }
}

impl<'de> Deserialize<'de> for UnitCount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UnitCount::try_from(u32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for UnitCount {
    fn schema_name() -> Cow<'static, str> {
        "UnitCount".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = "How many units of a line";
        json_schema!({"type": "integer", "minimum": 0, "maximum": Quantity::MAX, "description": description})
    }
}

/// Accepts the open change of an order: it applies at the price that it was proposed with. Given by the side that has not
/// proposed it, before it lapses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptChange {
    /// The change.
    pub change: ChangeId,
    /// The most that the buyer pays more than before; he signs it where the change makes the order dearer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_difference: Option<Money>,
    /// The order.
    pub order: OrderId,
}

/// Declines the open change of an order. Given by the side that has not proposed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclineChange {
    /// The change.
    pub change: ChangeId,
    /// The order.
    pub order: OrderId,
    /// Why; the other side reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<REASON_LENGTH_MAX>>,
}

/// Withdraws the open change of an order. Given by the side that has proposed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawChange {
    /// The change.
    pub change: ChangeId,
    /// The order.
    pub order: OrderId,
}

impl ProposeChange {
    /// Checks how much work the change is, before any of it is done.
    pub(crate) fn check_size(&self) -> Result<(), Refusal> {
        let lines = self.lines.len();
        let quotes = self.lines.iter().filter(|line| line.quote.is_some()).count();
        let rule = if lines > LINES_MAX {
            format!("`lines` may be {LINES_MAX}, these are {lines}: make it several changes")
        } else if quotes > QUOTES_MAX {
            format!("{QUOTES_MAX} lines may have a quote, {quotes} have one: make it several changes")
        } else {
            return Ok(());
        };
        Err(Refusal::BodyInvalid { rule })
    }
}
