//! Facts of orders and of the escrows that hold their money.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::ids::{AccountId, CartId, ListingId, OrderId};
use crate::ledger::Transfer;
use crate::money::{Money, Quantity};
use crate::time::Timestamp;

/// A buyer placed an order with one seller; its stock is reserved from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placed {
    /// Who buys.
    pub buyer: AccountId,
    /// The cart it came from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cart: Option<CartId>,
    /// What the platform will take when the escrow is released.
    pub fee: FeeQuote,
    /// What is bought; 1 to 100 lines.
    pub lines: Vec<Line>,
    /// The order.
    pub order: OrderId,
    /// Who sells.
    pub seller: AccountId,
    /// When it is cancelled and paid back unless it was shipped.
    pub ship_by: Timestamp,
    /// Sum of the lines.
    pub total: Money,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// What is bought.
    pub listing: ListingId,
    /// The version of the listing that was priced.
    pub listing_version: u32,
    /// Where the total comes from.
    pub price: LinePrice,
    /// How many units.
    pub quantity: Quantity,
    /// What the line costs.
    pub total: Money,
}

/// Where a line's total comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinePrice {
    /// The listing's price of one unit, times the quantity.
    Unit(Money),
    /// A quote for the whole line, a compact JWS signed by the seller; it stands inside the buyer's command.
    Quote,
}

/// What the platform takes, as it was computed when the order was placed; never computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeeQuote {
    /// The fee.
    pub amount: Money,
    /// The share it was computed with, in hundredths of a percent.
    pub bps: u32,
    /// The fixed part it was computed with, in minor units.
    pub fixed_minor: i64,
    /// How it was rounded.
    pub rounding: Rounding,
}

/// How a share of an amount was rounded to minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Halves go away from zero.
    HalfAwayFromZero,
}

/// The buyer's money was put into the order's escrow, in the same commit as the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowHeld {
    /// The order.
    pub order: OrderId,
    /// From the buyer's wallet to the escrow.
    pub transfer: Transfer,
}

/// The seller handed the goods to a carrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shipped {
    /// Who carries it, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// When it counts as delivered unless somebody said so earlier.
    pub delivery_due: Timestamp,
    /// The order.
    pub order: OrderId,
    /// The carrier's number, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
}

/// The goods arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivered {
    /// How it is known.
    pub confirmed_by: DeliveryProof,
    /// When the escrow is released unless the buyer confirms earlier.
    pub inspection_ends: Timestamp,
    /// The order.
    pub order: OrderId,
}

/// How a delivery is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryProof {
    /// The buyer says so; the escrow is released in the same commit.
    Buyer,
    /// The carrier says so; the inspection begins.
    Carrier,
    /// Nobody said anything until the deadline; the inspection begins.
    TransitElapsed,
}

/// The order ended before it was shipped; its stock is free again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    /// Who ended it.
    pub by: CancelledBy,
    /// The order.
    pub order: OrderId,
    /// Why, in the words of who did it; up to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Who ended an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelledBy {
    /// An account in this role.
    Account(Role),
    /// The deadline to ship.
    ShipDeadline,
}

/// The escrow was paid to the seller, less the platform's fee. The order is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowReleased {
    /// Who bought.
    pub buyer: AccountId,
    /// What set it free.
    pub condition: ReleaseCondition,
    /// The order.
    pub order: OrderId,
    /// Who sold.
    pub seller: AccountId,
    /// From the escrow to the seller, and to the platform where there is a fee.
    pub transfers: Vec<Transfer>,
}

/// What set an escrow free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseCondition {
    /// The buyer confirmed the delivery.
    BuyerConfirmed,
    /// The time to inspect is over.
    InspectionElapsed,
}

/// The escrow was paid back to the buyer. The order is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowRefunded {
    /// Who bought.
    pub buyer: AccountId,
    /// The order.
    pub order: OrderId,
    /// Who sold.
    pub seller: AccountId,
    /// From the escrow to the buyer's wallet.
    pub transfer: Transfer,
}
