//! What can be asked about holds and about money in escrow.

use events::Money;
use events::escrow::FreezeReason;
use events::escrow::milestone::Milestone;
use events::ids::OrderId;
use events::order::ShipmentNumber;
use events::order::hold::HoldReason;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{REASON_LENGTH_MAX, Text};

/// Stops an order: nothing of it moves and none of its deadlines passes. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldOrder {
    /// Why, in words for other operators; buyer and seller are not told.
    pub note: Text<REASON_LENGTH_MAX>,
    /// The order.
    pub order: OrderId,
    /// Why, in one word.
    pub reason: HoldReason,
}

/// Asks for an order's hold to be lifted or, given by another operator than the one who asked, agrees to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnholdOrder {
    /// The order.
    pub order: OrderId,
}

/// Has money of a shipment set apart until somebody decides about it. Given by the order's buyer, once for each shipment,
/// or by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeEscrow {
    /// How much; absent: all of the shipment's money that is in escrow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// More, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Text<REASON_LENGTH_MAX>>,
    /// The order.
    pub order: OrderId,
    /// Why.
    pub reason: FreezeReason,
    /// Which of its shipments, counted from 1.
    pub shipment: ShipmentNumber,
}

/// Gives frozen money back to the escrow: the shipment goes on where it stood. Given by the buyer who had it frozen, or by
/// an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnfreezeEscrow {
    /// The order.
    pub order: OrderId,
    /// Which of its shipments, counted from 1.
    pub shipment: ShipmentNumber,
}

/// Gives the word of an operator that the rule of an order's escrow asks for. Given by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEscrow {
    /// The order.
    pub order: OrderId,
    /// Which of its shipments, counted from 1.
    pub shipment: ShipmentNumber,
}

/// Signs a milestone of a shipment that the rule of its escrow asks for. Given by the order's buyer, from the moment the shipment
/// is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignMilestone {
    /// Which one.
    pub milestone: Milestone,
    /// The order.
    pub order: OrderId,
    /// Which of its shipments, counted from 1.
    pub shipment: ShipmentNumber,
}

/// Clears an order of risk, where the rule of its escrow asks for that. Given by an operator, at any time until its money is
/// released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClearRisk {
    /// Why, in words for other operators; buyer and seller are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Text<REASON_LENGTH_MAX>>,
    /// The order.
    pub order: OrderId,
}

/// Decides about the frozen money of a shipment, all of it. Given by an operator; above the market's limit, the same
/// decision of a second one carries it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleEscrow {
    /// Why.
    pub note: Text<REASON_LENGTH_MAX>,
    /// The order.
    pub order: OrderId,
    /// Which of its shipments, counted from 1.
    pub shipment: ShipmentNumber,
    /// What the buyer gets back.
    pub to_buyer: Money,
    /// What is released: the seller's part with the platform's.
    pub to_seller: Money,
}
