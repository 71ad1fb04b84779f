//! Facts of orders that operators stop.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, OrderId};
use crate::metadata::DeadlineStamp;

/// An operator stopped an order: nothing of it moves and none of its deadlines passes until the hold is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// Who stopped it.
    pub by: AccountId,
    /// Why, in words for other operators; 1 to 200 characters.
    pub note: String,
    /// The order.
    pub order: OrderId,
    /// Why, in one word.
    pub reason: HoldReason,
}

/// Why an order is on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Somebody looks at whether it is a fraud.
    RiskReview,
    /// A law or an authority wants it.
    Compliance,
    /// An operator wants it, for what the note says.
    Operator,
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HoldReason::RiskReview => "risk review",
            HoldReason::Compliance => "compliance",
            HoldReason::Operator => "operator",
        })
    }
}

/// An operator asked for an order's hold to be lifted; another one has to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnholdRequested {
    /// Who asked.
    pub by: AccountId,
    /// The order.
    pub order: OrderId,
}

/// A second operator agreed, and the order goes on where it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unheld {
    /// Who agreed.
    pub agreed_by: AccountId,
    /// The order's deadlines as they are from now on: each has the time left that it had when the hold began.
    pub deadlines: Vec<DeadlineStamp>,
    /// The order.
    pub order: OrderId,
    /// Who asked.
    pub requested_by: AccountId,
}
