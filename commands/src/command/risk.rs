//! Bodies of commands about risk.

use events::ids::OrderId;
use events::risk::Label;
use events::risk::rules::{RuleSet, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{REASON_LENGTH_MAX, Text};

/// Says how purchases are judged from here on; it takes the place of what was said before. Given by one operator, it is a proposal; it
/// is in force when another one has given the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRiskRules {
    /// All of it.
    pub rules: RuleSet,
}

/// Takes the review of an order: for 15 minutes nobody else decides it. Given by an operator, again to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimReview {
    /// The order.
    pub order: OrderId,
}

/// Decides the review of an order: it goes on where it stood, or is cancelled and paid back. Given by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideReview {
    /// The order.
    pub order: OrderId,
    /// What is decided.
    pub verdict: Verdict,
}

/// Says what an order turned out to be, open or closed; the last word counts. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelOrder {
    /// What it was.
    pub label: Label,
    /// Why, in words for other operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Text<REASON_LENGTH_MAX>>,
    /// The order.
    pub order: OrderId,
}
