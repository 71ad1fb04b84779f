//! Forms of events that logs hold and nothing writes any more, each with what it says in the present form. An order was
//! then shipped whole, in one shipment, and paid out or paid back whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CancelledBy, DeliveryProof, ReleaseCondition, ShipmentNumber};
use crate::ids::{AccountId, OrderId};
use crate::ledger::Transfer;
use crate::rejection::OrderState;
use crate::time::Timestamp;

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

impl From<Shipped> for super::Shipped {
    fn from(Shipped { carrier, delivery_due, order, tracking }: Shipped) -> Self {
        let shipment = ShipmentNumber::FIRST;
        Self { carrier, delivery_due, lines: vec![], order, shipment, shipping: None, tracking }
    }
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

impl From<Delivered> for super::Delivered {
    fn from(Delivered { confirmed_by, inspection_ends, order }: Delivered) -> Self {
        let shipment = ShipmentNumber::FIRST;
        Self { confirmed_by, inspection_ends, order, release_due: None, return_by: None, shipment }
    }
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

impl From<Cancelled> for super::Cancelled {
    fn from(Cancelled { by, order, reason }: Cancelled) -> Self {
        Self { by, lines: vec![], order, reason, shipping: None, uncharged: None }
    }
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

impl From<EscrowReleased> for super::EscrowReleased {
    fn from(EscrowReleased { buyer, condition, order, seller, transfers }: EscrowReleased) -> Self {
        let (closed_as, kept_until, remaining) = (Some(OrderState::Completed), None, None);
        let shipment = ShipmentNumber::FIRST;
        let with = vec![];
        Self { buyer, closed_as, condition, kept_until, order, remaining, seller, shipment, transfers, with }
    }
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

impl From<EscrowRefunded> for super::EscrowRefunded {
    fn from(EscrowRefunded { buyer, order, seller, transfer }: EscrowRefunded) -> Self {
        let (closed_as, remaining, transfer) = (Some(OrderState::Cancelled), None, Some(transfer));
        Self { buyer, closed_as, order, remaining, seller, transfer }
    }
}
