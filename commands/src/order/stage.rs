//! What a whole order waits for before it is the seller's to ship.

use events::Timestamp;
use events::ids::OrderId;
use events::metadata::{DeadlineStamp, Waiting};
use events::rejection::OrderState;
use serde::{Deserialize, Serialize};

use super::state::Order;
use crate::market::Market;

/// How far an order is, with what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// A provider is to pay.
    AwaitingPayment {
        /// Until when.
        expires_at: Timestamp,
    },
    /// A provider holds what it is to pay, and is charged when the goods are about to leave.
    Authorized {
        /// Until when its seller is to accept or decline it; none: he has accepted it, or need not.
        accept_by: Option<Timestamp>,
    },
    /// Its seller is to accept or decline it.
    AwaitingSeller {
        /// Until when.
        accept_by: Timestamp,
    },
    /// Its units wait for the seller to ship them.
    Confirmed,
}

impl Stage {
    /// Names it; what is the seller's to ship is placed.
    pub(super) const fn state(self) -> OrderState {
        match self {
            Stage::AwaitingPayment { .. } => OrderState::AwaitingPayment,
            Stage::Authorized { accept_by: None } => OrderState::Authorized,
            Stage::AwaitingSeller { .. } | Stage::Authorized { accept_by: Some(_) } => {
                OrderState::AwaitingSeller
            }
            Stage::Confirmed => OrderState::Placed,
        }
    }

    /// Gives where an order is when it is paid, in a market where sellers accept orders and in one where they don't.
    pub(super) fn paid(accept_by: Option<Timestamp>) -> Stage {
        accept_by.map_or(Stage::Confirmed, |accept_by| Stage::AwaitingSeller { accept_by })
    }
}

impl Order {
    /// Gives what the order waits for as long as units of it are left.
    pub(super) const fn deadline(&self, order: OrderId) -> DeadlineStamp {
        match self.stage {
            Stage::AwaitingPayment { expires_at } => {
                DeadlineStamp { due: expires_at, waiting: Waiting::PaymentDue { order } }
            }
            Stage::AwaitingSeller { accept_by } | Stage::Authorized { accept_by: Some(accept_by) } => {
                DeadlineStamp { due: accept_by, waiting: Waiting::AcceptBy { order } }
            }
            Stage::Confirmed | Stage::Authorized { accept_by: None } => {
                DeadlineStamp { due: self.ship_by, waiting: Waiting::ShipBy { order } }
            }
        }
    }

    /// Tells whether the order waits for a provider to agree.
    pub(crate) const fn awaits_payment(&self) -> bool {
        matches!(self.stage, Stage::AwaitingPayment { .. })
    }

    /// Tells whether a provider holds what the order is charged when it leaves.
    pub(crate) const fn is_authorized(&self) -> bool {
        matches!(self.stage, Stage::Authorized { .. })
    }

    /// Tells whether its escrow does not hold yet what it costs.
    pub const fn is_unpaid(&self) -> bool {
        self.awaits_payment() || self.is_authorized()
    }
}

impl Market {
    /// Gives until when an order that is paid now is to be accepted, where sellers accept orders, and shipped.
    pub(super) fn dues(&self, now: Timestamp) -> (Option<Timestamp>, Timestamp) {
        let accept_by = self.deadlines().accept_ms().map(|ms| now.plus_ms(ms));
        (accept_by, accept_by.unwrap_or(now).plus_ms(self.deadlines().ship_by_ms()))
    }

    /// Lets an order enter a stage, and wait for what that one waits for, unless it is on hold.
    pub(crate) fn enter_order(&mut self, id: OrderId, stage: Stage, ship_by: Timestamp) {
        let order = self.orders.known(id);
        let left = order.deadline(id);
        (order.stage, order.ship_by) = (stage, ship_by);
        let entered = order.deadline(id);
        let is_free = order.hold.is_none();
        self.waiting.remove(&left);
        self.waiting.extend(is_free.then_some(entered));
    }
}
