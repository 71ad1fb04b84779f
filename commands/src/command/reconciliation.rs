//! What can be asked about a provider's file and about what differs between it and the ledger.

use std::borrow::Cow;

use events::ids::AccountId;
use events::reconciliation::{Difference, MovementKind, Total};
use events::{Hash, Position, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{REASON_LENGTH_MAX, REFERENCE_LENGTH_MAX, Text};

/// Most breaks that one report names: with longest references they fit into a command.
pub const BREAKS_PER_REPORT_MAX: usize = 40;
/// Most currencies of one report.
pub const CURRENCIES_PER_REPORT_MAX: usize = 40;

/// Says what comparing a provider's file with the ledger has found. Given by an operator, once for each file and period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportReconciliation {
    /// What differs: the first ones, oldest first.
    pub breaks: UpTo<FoundBreak, BREAKS_PER_REPORT_MAX>,
    /// Up to which position of the log the ledger was looked at.
    pub compared_to: Position,
    /// The SHA-256 of the file.
    pub file: Hash,
    /// Since when, inclusive.
    pub from: Timestamp,
    /// How many movements are at the edge of the period, or not settled.
    pub in_flight: u32,
    /// How many movements are the same at both.
    pub matched: u32,
    /// The provider's account.
    pub provider: AccountId,
    /// What moved, by currency.
    pub totals: UpTo<Total, CURRENCIES_PER_REPORT_MAX>,
    /// How many breaks there are beyond those that are named.
    pub unlisted: u32,
    /// Until when, exclusive.
    pub until: Timestamp,
}

/// One thing about which the provider and the ledger differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoundBreak {
    /// When it moved: by the provider where it knows of it, otherwise by the ledger.
    pub at: Timestamp,
    /// How they differ.
    pub difference: Difference,
    /// What the money was for.
    pub kind: MovementKind,
    /// Where the ledger's part of it stands in the log; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The provider's reference.
    pub reference: Text<REFERENCE_LENGTH_MAX>,
}

/// Says that a break is dealt with. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveBreak {
    /// The break's number.
    pub number: u64,
    /// What it was and what was done, in words.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// A list of so many at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UpTo<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> UpTo<T, MAX> {
    /// Gives what is in it.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for UpTo<T, MAX> {
    type Error = String;
    fn try_from(list: Vec<T>) -> Result<Self, String> {
        if list.len() > MAX {
            return Err(format!("there may be {MAX} at most, not {}", list.len()));
        }
        Ok(UpTo(list))
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for UpTo<T, MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UpTo::try_from(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for UpTo<T, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("UpTo{MAX}{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "maxItems": MAX, "items": generator.subschema_for::<T>()})
    }
}
