//! Where an order stands: on four axes, each of which says what it knows and what it waits for, and in one word that is made
//! of them. An order group stands where its orders stand together.

use events::escrow::FreezeReason;
use events::order::CancelledBy;
use events::order::hold::HoldReason;
use events::rejection::OrderState;
use events::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Escrow, Frozen, Hold, Line, Order, Shipment, ShipmentState};

/// Where an order stands, one axis for each question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Axes {
    /// How far it is on its way from checkout to its end.
    pub order: OrderAxis,
    /// Where its units are.
    pub fulfilment: Fulfilment,
    /// What the buyer paid, and what of that he has back.
    pub payment: PaymentAxis,
    /// What its money waits for.
    pub escrow: EscrowAxis,
}

/// How far an order is on its way from checkout to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderAxis {
    /// Operators stopped it.
    OnHold {
        /// Why.
        reason: HoldReason,
        /// Since when.
        since: Timestamp,
    },
    /// It waits for a payment through a provider.
    AwaitingPayment {
        /// Until when a provider has to agree.
        expires_at: Timestamp,
    },
    /// It waits for its seller to accept it.
    AwaitingSeller {
        /// Until when.
        accept_by: Timestamp,
    },
    /// A provider holds the money, which is charged when the goods leave.
    Authorized {
        /// When the market charges or cancels it, unless the seller has said that they do.
        capture_by: Timestamp,
    },
    /// It waits to be shipped.
    Confirmed {
        /// Until when.
        ship_by: Timestamp,
    },
    /// Some of its units are shipped or delivered.
    Processing,
    /// All units that were not cancelled arrived.
    Fulfilled,
    /// Nothing of it is left but that it may be returned.
    Returnable {
        /// Until when.
        until: Timestamp,
    },
    /// Nothing of it is left to be shipped, delivered or paid.
    Completed {
        /// Since when.
        closed_at: Timestamp,
    },
    /// Something was shipped, and the buyer has all the money back.
    Refunded {
        /// Since when.
        closed_at: Timestamp,
    },
    /// All its units were cancelled.
    Cancelled {
        /// By whom the last ones were.
        by: CancelledBy,
        /// When.
        closed_at: Timestamp,
    },
}

/// Where the units of an order are, those that were cancelled left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fulfilment {
    /// None of them is shipped.
    Unfulfilled,
    /// Some are shipped, none delivered.
    PartiallyShipped {
        /// How many are shipped.
        shipped: u64,
        /// Of how many.
        of: u64,
    },
    /// All are shipped, none delivered.
    Shipped,
    /// Some are delivered.
    PartiallyDelivered {
        /// How many are delivered.
        delivered: u64,
        /// Of how many.
        of: u64,
    },
    /// All are delivered.
    Delivered,
    /// All were delivered, and some came back.
    PartiallyReturned {
        /// How many came back.
        returned: u64,
        /// Of how many.
        of: u64,
    },
    /// All came back.
    Returned,
    /// There are none: all were cancelled.
    Cancelled,
}

/// What a buyer paid, and what of that he has back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentAxis {
    /// Not all is paid yet.
    Pending,
    /// All is paid.
    Captured {
        /// How much.
        amount: Money,
    },
    /// A part was paid back.
    PartiallyRefunded {
        /// How much was paid.
        captured: Money,
        /// How much of it was paid back.
        refunded: Money,
    },
    /// All was paid back.
    Refunded {
        /// How much.
        amount: Money,
    },
    /// The buyer's bank disputes some of it, and has not decided.
    Disputed {
        /// How much.
        amount: Money,
    },
    /// The buyer's bank gave some of it back, or all.
    ChargedBack {
        /// How much was paid.
        captured: Money,
        /// How much of it the bank gave back.
        amount: Money,
    },
}

/// What the money of an order waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscrowAxis {
    /// Not all is held yet.
    Created,
    /// Some of it is frozen.
    Disputed {
        /// When the first of it goes back to the buyer, unless somebody decides earlier.
        due: Timestamp,
        /// How much is frozen.
        frozen: Money,
        /// How much is held beside that.
        remaining: Money,
    },
    /// Some of it is frozen, since its units are to be returned.
    Returning {
        /// How much is frozen.
        frozen: Money,
        /// How much is held beside that.
        remaining: Money,
    },
    /// It is held while nothing is on its way.
    Funded {
        /// How much is held.
        remaining: Money,
    },
    /// Units are on their way.
    InDelivery {
        /// When the first shipment counts as delivered.
        delivery_due: Timestamp,
        /// How much is held.
        remaining: Money,
    },
    /// All units that were shipped arrived, and some are inspected.
    Inspection {
        /// When the first money is released.
        inspection_ends: Timestamp,
        /// How much is held.
        remaining: Money,
    },
    /// All of it went to the seller and the platform.
    Released {
        /// How much.
        amount: Money,
    },
    /// All of it went back.
    Refunded {
        /// How much.
        amount: Money,
    },
    /// A part went to the seller and the platform, the rest went back.
    Split {
        /// How much was released.
        released: Money,
        /// How much went back.
        refunded: Money,
    },
}

/// What the axes are made of, of one order or of several together.
pub(super) struct Known<'a> {
    lines: Vec<&'a Line>,
    shipments: Vec<&'a Shipment>,
    escrow: Escrow,
    pay_by: Option<Timestamp>,
    capture_by: Option<Timestamp>,
    accept_by: Option<Timestamp>,
    ship_by: Timestamp,
    cancelled_by: Option<CancelledBy>,
    closed_at: Option<Timestamp>,
    closed_as: Option<OrderState>,
    returnable_until: Option<Timestamp>,
    hold: Option<Hold>,
    /// What banks dispute, and what they gave back.
    charged: (i64, i64),
}

impl Order {
    /// Gives until when it waits for a payment through a provider, if it does.
    pub(super) fn pay_by(&self) -> Option<Timestamp> {
        let awaited = self.payment.filter(|payment| !payment.is_paid && self.closed_at.is_none())?;
        Some(awaited.expires_at)
    }

    /// Gives when the market charges or cancels it by itself, if a provider holds what it is charged when it leaves.
    pub(super) fn capture_by(&self) -> Option<Timestamp> {
        self.payment.filter(|_| self.closed_at.is_none())?.capture_by
    }
}

impl<'a> Known<'a> {
    /// Takes what is known of one order.
    pub(super) fn of(order: &'a Order) -> Known<'a> {
        Known {
            lines: order.lines.iter().collect(),
            shipments: order.shipments.iter().collect(),
            escrow: order.escrow,
            pay_by: order.pay_by(),
            capture_by: order.capture_by(),
            accept_by: order.accept_by,
            ship_by: order.ship_by,
            cancelled_by: order.cancelled_by,
            closed_at: order.closed_at,
            closed_as: order.closed_as,
            returnable_until: order.returnable_until(),
            hold: order.hold,
            charged: order.charged(),
        }
    }

    /// Takes what is known of orders together: what comes first of all they wait for, and their end when all have ended.
    /// `escrow` is the sum of theirs. None, if there are none.
    pub(super) fn of_all(orders: &'a [Order], escrow: Escrow) -> Option<Known<'a>> {
        let open = || orders.iter().filter(|order| order.closed_at.is_none());
        let ends: Option<Vec<Timestamp>> = orders.iter().map(|order| order.closed_at).collect();
        Some(Known {
            lines: orders.iter().flat_map(|order| &order.lines).collect(),
            shipments: orders.iter().flat_map(|order| &order.shipments).collect(),
            escrow,
            pay_by: orders.iter().filter_map(Order::pay_by).min(),
            capture_by: orders.iter().filter_map(Order::capture_by).min(),
            accept_by: open().filter_map(|order| order.accept_by).min(),
            ship_by: open().chain(orders.first()).map(|order| order.ship_by).min()?,
            cancelled_by: orders.iter().rev().find_map(|order| order.cancelled_by),
            closed_at: ends.and_then(|ends| ends.into_iter().max()),
            closed_as: closed_together(orders),
            returnable_until: returnable_together(orders),
            hold: orders.iter().find_map(|order| order.hold),
            charged: orders.iter().map(Order::charged).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1)),
        })
    }

    fn fulfilment(&self) -> Fulfilment {
        let sum = |units: fn(&Line) -> u32| self.lines.iter().map(|line| u64::from(units(line))).sum::<u64>();
        let of = sum(|line| line.quantity.get()) - sum(|line| line.cancelled);
        let (shipped, delivered) = (sum(|line| line.shipped), sum(|line| line.delivered));
        match (of, shipped, delivered) {
            (0, _, _) => Fulfilment::Cancelled,
            (_, 0, _) => Fulfilment::Unfulfilled,
            (of, _, delivered) if delivered == of => match sum(|line| line.returned) {
                0 => Fulfilment::Delivered,
                returned if returned == of => Fulfilment::Returned,
                returned => Fulfilment::PartiallyReturned { returned, of },
            },
            (of, _, delivered @ 1..) => Fulfilment::PartiallyDelivered { delivered, of },
            (of, shipped, _) if shipped == of => Fulfilment::Shipped,
            (of, shipped, _) => Fulfilment::PartiallyShipped { shipped, of },
        }
    }

    fn order(&self, fulfilment: Fulfilment) -> OrderAxis {
        if let Some(Hold { reason, since, .. }) = self.hold {
            return OrderAxis::OnHold { reason, since };
        }
        match (self.closed_at, self.cancelled_by, fulfilment) {
            (Some(closed_at), Some(by), Fulfilment::Cancelled) => OrderAxis::Cancelled { by, closed_at },
            (Some(closed_at), ..) if self.closed_as == Some(OrderState::Refunded) => {
                OrderAxis::Refunded { closed_at }
            }
            (Some(closed_at), ..) => OrderAxis::Completed { closed_at },
            (None, _, Fulfilment::Unfulfilled) => match (self.capture_by, self.pay_by, self.accept_by) {
                (None, Some(expires_at), _) => OrderAxis::AwaitingPayment { expires_at },
                (_, _, Some(accept_by)) => OrderAxis::AwaitingSeller { accept_by },
                (Some(capture_by), _, None) => OrderAxis::Authorized { capture_by },
                (None, None, None) => OrderAxis::Confirmed { ship_by: self.ship_by },
            },
            (None, _, _) if let Some(until) = self.returnable_until => OrderAxis::Returnable { until },
            (
                None,
                _,
                Fulfilment::Delivered | Fulfilment::Returned | Fulfilment::PartiallyReturned { .. },
            ) => OrderAxis::Fulfilled,
            (None, ..) => OrderAxis::Processing,
        }
    }

    fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.escrow.currency)
    }

    fn payment(&self) -> PaymentAxis {
        // The buyer's payment: what the platform paid is none of his.
        let Escrow { held, refunded, subsidy, subsidy_returned, returned, subsidy_back, .. } = self.escrow;
        let back = refunded - subsidy_returned + returned - subsidy_back;
        let (captured, refunded) = (self.money(held - subsidy), self.money(back));
        match (captured.minor, refunded.minor) {
            (0, _) => PaymentAxis::Pending,
            _ if self.pay_by.is_some() => PaymentAxis::Pending,
            _ if self.charged.0 > 0 => PaymentAxis::Disputed { amount: self.money(self.charged.0) },
            _ if self.charged.1 > 0 => {
                PaymentAxis::ChargedBack { captured, amount: self.money(self.charged.1) }
            }
            (_, 0) => PaymentAxis::Captured { amount: captured },
            (captured, back) if captured == back => PaymentAxis::Refunded { amount: refunded },
            _ => PaymentAxis::PartiallyRefunded { captured, refunded },
        }
    }

    fn escrow(&self) -> EscrowAxis {
        let Escrow { held, released, refunded, frozen, remaining, .. } = self.escrow;
        let next = |state: ShipmentState, due: fn(&Shipment) -> Option<Timestamp>| {
            let shipments = self.shipments.iter().filter(|shipment| shipment.state == state);
            shipments.filter_map(|shipment| due(shipment)).min()
        };
        let in_delivery = next(ShipmentState::InTransit, |shipment| Some(shipment.delivery_due));
        let inspection = next(ShipmentState::Inspection, |shipment| shipment.inspection_ends);
        let left = self.money(remaining);
        let is_dispute = |frozen: &&Frozen| frozen.reason != FreezeReason::Return;
        let disputed = || self.shipments.iter().filter_map(|shipment| shipment.frozen.as_ref());
        if let Some(due) = disputed().filter(is_dispute).map(|frozen| frozen.due).min() {
            return EscrowAxis::Disputed { due, frozen: self.money(frozen), remaining: left };
        }
        if frozen > 0 {
            return EscrowAxis::Returning { frozen: self.money(frozen), remaining: left };
        }
        match (held, remaining, released, refunded) {
            (0, ..) => EscrowAxis::Created,
            _ if self.pay_by.is_some() => EscrowAxis::Created,
            (_, 0, released, 0) => EscrowAxis::Released { amount: self.money(released) },
            (_, 0, 0, refunded) => EscrowAxis::Refunded { amount: self.money(refunded) },
            (_, 0, released, refunded) => {
                EscrowAxis::Split { released: self.money(released), refunded: self.money(refunded) }
            }
            _ => match (in_delivery, inspection) {
                (Some(delivery_due), _) => EscrowAxis::InDelivery { delivery_due, remaining: left },
                (None, Some(inspection_ends)) => EscrowAxis::Inspection { inspection_ends, remaining: left },
                (None, None) => EscrowAxis::Funded { remaining: left },
            },
        }
    }

    /// Says where it stands on every axis.
    pub(super) fn axes(&self) -> Axes {
        let fulfilment = self.fulfilment();
        let (order, payment, escrow) = (self.order(fulfilment), self.payment(), self.escrow());
        Axes { order, fulfilment, payment, escrow }
    }
}

/// How orders ended together: as one that was paid for, as soon as one of them was; none while one of them has not ended.
fn closed_together(orders: &[Order]) -> Option<OrderState> {
    let ends: Option<Vec<OrderState>> = orders.iter().map(|order| order.closed_as).collect();
    let ends = ends?;
    [OrderState::Completed, OrderState::Refunded, OrderState::Cancelled]
        .into_iter()
        .find(|end| ends.contains(end))
}

/// Until when something of orders may be returned of which nothing else is left; none if something of one is.
fn returnable_together(orders: &[Order]) -> Option<Timestamp> {
    let is_done = |order: &Order| order.closed_at.is_some() || order.returnable_until().is_some();
    let until = orders.iter().filter_map(Order::returnable_until).max();
    until.filter(|_| orders.iter().all(is_done))
}

/// Where an order stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Paid into escrow, waiting for the seller to accept it.
    AwaitingSeller,
    /// Paid into escrow, waiting for the seller to ship it.
    Placed,
    /// Some units are with the carrier.
    PartiallyShipped,
    /// All units are with the carrier.
    Shipped,
    /// Some units arrived.
    PartiallyDelivered,
    /// All units arrived; the buyer inspects.
    Delivered,
    /// The seller has the money of what was not cancelled. Units may still be returned, where the market takes them back.
    Completed,
    /// All units were cancelled; the buyer has the money back.
    Cancelled,
    /// Waiting for a payment through a provider.
    AwaitingPayment,
    /// Something was shipped, and the buyer has the money back.
    Refunded,
    /// Operators stopped it.
    OnHold,
    /// Money of it is frozen, or the buyer's bank disputes its payment.
    Disputed,
    /// It has ended, and the buyer's bank gave him money of it back.
    ChargedBack,
    /// All units arrived, and some came back.
    PartiallyReturned,
    /// All units came back.
    Returned,
    /// A provider holds the money; the seller makes the goods ready, and it is charged when they leave.
    Authorized,
}

impl Axes {
    /// Makes one word of the axes. What stops the order goes before what ended it, that before where its units are, and that
    /// before what it waits for.
    pub(super) const fn display(&self) -> OrderStatus {
        match (self.order, self.fulfilment) {
            (OrderAxis::OnHold { .. }, _) => OrderStatus::OnHold,
            _ if matches!(self.escrow, EscrowAxis::Disputed { .. }) => OrderStatus::Disputed,
            _ if matches!(self.payment, PaymentAxis::Disputed { .. }) => OrderStatus::Disputed,
            (OrderAxis::Cancelled { .. } | OrderAxis::Refunded { .. } | OrderAxis::Completed { .. }, _)
                if matches!(self.payment, PaymentAxis::ChargedBack { .. }) =>
            {
                OrderStatus::ChargedBack
            }
            (OrderAxis::Cancelled { .. }, _) | (_, Fulfilment::Cancelled) => OrderStatus::Cancelled,
            (OrderAxis::Refunded { .. }, _) => OrderStatus::Refunded,
            (_, Fulfilment::Returned) => OrderStatus::Returned,
            (_, Fulfilment::PartiallyReturned { .. }) => OrderStatus::PartiallyReturned,
            (OrderAxis::Completed { .. } | OrderAxis::Returnable { .. }, _) => OrderStatus::Completed,
            (_, Fulfilment::Delivered) => OrderStatus::Delivered,
            (_, Fulfilment::PartiallyDelivered { .. }) => OrderStatus::PartiallyDelivered,
            (_, Fulfilment::Shipped) => OrderStatus::Shipped,
            (_, Fulfilment::PartiallyShipped { .. }) => OrderStatus::PartiallyShipped,
            (OrderAxis::AwaitingPayment { .. }, Fulfilment::Unfulfilled) => OrderStatus::AwaitingPayment,
            (OrderAxis::AwaitingSeller { .. }, Fulfilment::Unfulfilled) => OrderStatus::AwaitingSeller,
            (OrderAxis::Authorized { .. }, Fulfilment::Unfulfilled) => OrderStatus::Authorized,
            (_, Fulfilment::Unfulfilled) => OrderStatus::Placed,
        }
    }
}

#[cfg(test)]
mod tests;
