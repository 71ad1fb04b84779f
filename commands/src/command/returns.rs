//! What can be asked about returns.

use events::Money;
use events::ids::{ListingId, OrderId};
use events::location::Location;
use events::order::ShipmentNumber;
pub use events::returns::ReturnDecision;
use events::returns::{ReceivedUnits, ReturnNumber, ReturnReason};
use events::tax::Region;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LineQuantity, REASON_LENGTH_MAX, REFERENCE_LENGTH_MAX, Text};

/// Asks to send delivered units back. Given by the order's buyer, as long as the market takes them back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestReturn {
    /// Wants other units in their place, instead of their money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// Which units; absent: all of the shipment that can be returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<LineQuantity>>,
    /// More, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Text<REASON_LENGTH_MAX>>,
    /// The order.
    pub order: OrderId,
    /// Why.
    pub reason: ReturnReason,
    /// The shipment that they came in, counted from 1.
    pub shipment: ShipmentNumber,
}

/// Other units in the place of those that are returned: as many, of the same listings or of variants of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// What is wanted in the place of what; a listing that is not named is replaced by more of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instead: Vec<Substitute>,
    /// Where it goes to; needed where there are taxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// What a buyer wants in the place of a listing that he returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Substitute {
    /// What is returned.
    pub of: ListingId,
    /// What is wanted.
    pub with: ListingId,
}

/// Agrees that units are sent back. Given by the order's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveReturn {
    /// Which of the order's returns, counted from 1.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
    /// Takes them back for their money, where other units were wanted in their place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refund_only: bool,
}

/// Does not want units back; the buyer may ask an operator. Given by the order's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectReturn {
    /// Which of the order's returns, counted from 1.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
    /// Why.
    pub reason: Text<REASON_LENGTH_MAX>,
}

/// Asks an operator to decide about what the seller said of a return. Given by the order's buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppealReturn {
    /// Why.
    pub note: Text<REASON_LENGTH_MAX>,
    /// Which of the order's returns, counted from 1.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
}

/// Decides about a return whose buyer asked for it. Given by an operator; where it is about more than the market's limit, two of them
/// have to give the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideReturn {
    /// How.
    pub decision: ReturnDecision,
    /// Why, in words for buyer and seller.
    pub note: Text<REASON_LENGTH_MAX>,
    /// Which of the order's returns, counted from 1.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
}

/// Says that the units of a return are on their way. Given by the order's buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendReturn {
    /// Who carries them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Text<REFERENCE_LENGTH_MAX>>,
    /// Which of the order's returns, counted from 1.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
    /// The carrier's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Text<REFERENCE_LENGTH_MAX>>,
}

/// Says how the units of a return arrived, and whether a part of their money is to be kept for that. Given by the order's seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiveReturn {
    /// What of their money he wants to keep: at most what was paid for units that are not intact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduction: Option<Money>,
    /// How the units of each line arrived; absent: all of them intact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<ReceivedUnits>>,
    /// Where they came to; absent: to no named location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Why he wants to keep something; needed where he does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Text<REASON_LENGTH_MAX>>,
    /// Which of the order's returns, counted from 1.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
}

/// Gives up a return whose units were not sent yet. Given by the order's buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelReturn {
    /// Which of the order's returns, counted from 1.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The order.
    pub order: OrderId,
}
