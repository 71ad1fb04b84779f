//! Where an order stands. The axes, where its units are, how it was closed and what stops it, are kept; the one word is made
//! of them.

use events::rejection::OrderState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Line, Order};

/// Where the units of an order are, those that were cancelled left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fulfilment {
    /// None of them is shipped.
    Unfulfilled,
    /// Some are shipped, none delivered.
    PartiallyShipped,
    /// All are shipped, none delivered.
    Shipped,
    /// Some are delivered.
    PartiallyDelivered,
    /// All are delivered.
    Delivered,
    /// There are none: all were cancelled.
    Cancelled,
}

impl Fulfilment {
    pub(super) fn of(lines: &[Line]) -> Fulfilment {
        let sum = |units: fn(&Line) -> u32| lines.iter().map(|line| u64::from(units(line))).sum::<u64>();
        let wanted = sum(|line| line.quantity.get()) - sum(|line| line.cancelled);
        let (shipped, delivered) = (sum(|line| line.shipped), sum(|line| line.delivered));
        match (wanted, shipped, delivered) {
            (0, _, _) => Fulfilment::Cancelled,
            (_, 0, _) => Fulfilment::Unfulfilled,
            (wanted, _, delivered) if delivered == wanted => Fulfilment::Delivered,
            (_, _, 1..) => Fulfilment::PartiallyDelivered,
            (wanted, shipped, _) if shipped == wanted => Fulfilment::Shipped,
            _ => Fulfilment::PartiallyShipped,
        }
    }
}

/// What stops an order, the stronger before the weaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Held,
    Frozen,
    None,
}

impl Stop {
    pub(super) const fn of(order: &Order) -> Stop {
        match (&order.hold, order.escrow.frozen) {
            (Some(_), _) => Stop::Held,
            (None, 0) => Stop::None,
            (None, _) => Stop::Frozen,
        }
    }
}

/// Where an order stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Paid into escrow, waiting for the seller.
    Placed,
    /// Some units are with the carrier.
    PartiallyShipped,
    /// All units are with the carrier.
    Shipped,
    /// Some units arrived.
    PartiallyDelivered,
    /// All units arrived; the buyer inspects.
    Delivered,
    /// The seller has the money of what was not cancelled.
    Completed,
    /// All units were cancelled; the buyer has the money back.
    Cancelled,
    /// Something was shipped, and the buyer has the money back.
    Refunded,
    /// Operators stopped it.
    OnHold,
    /// Money of it is frozen.
    Disputed,
}

impl OrderStatus {
    /// Makes the one word of what stops the order, of how it was closed, which it is when nothing of it is left to ship, to
    /// deliver or in escrow, and of where the units are.
    pub(super) const fn of(stop: Stop, fulfilment: Fulfilment, closed_as: Option<OrderState>) -> OrderStatus {
        match (stop, fulfilment, closed_as) {
            (Stop::Held, ..) => OrderStatus::OnHold,
            (Stop::Frozen, ..) => OrderStatus::Disputed,
            (Stop::None, Fulfilment::Cancelled, _) => OrderStatus::Cancelled,
            (Stop::None, _, Some(OrderState::Refunded)) => OrderStatus::Refunded,
            (Stop::None, _, Some(_)) => OrderStatus::Completed,
            (Stop::None, Fulfilment::Unfulfilled, None) => OrderStatus::Placed,
            (Stop::None, Fulfilment::PartiallyShipped, None) => OrderStatus::PartiallyShipped,
            (Stop::None, Fulfilment::Shipped, None) => OrderStatus::Shipped,
            (Stop::None, Fulfilment::PartiallyDelivered, None) => OrderStatus::PartiallyDelivered,
            (Stop::None, Fulfilment::Delivered, None) => OrderStatus::Delivered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::ids::ListingId;
    use events::{Money, Quantity};
    use uuid::Uuid;

    /// A line of three units.
    fn line(cancelled: u32, shipped: u32, delivered: u32) -> Line {
        Line {
            listing: ListingId::from_uuid(Uuid::nil()),
            listing_version: 1,
            unit_price: None,
            quantity: Quantity::new(3).unwrap(),
            cancelled,
            shipped,
            delivered,
            total: Money::new(3, "USD".parse().unwrap()),
        }
    }

    #[test]
    fn one_word_is_made_of_where_the_units_are() {
        let closed = |is_closed: bool| is_closed.then_some(OrderState::Completed);
        for (lines, is_closed, word) in [
            (vec![line(0, 0, 0)], false, OrderStatus::Placed),
            (vec![line(1, 0, 0), line(3, 0, 0)], false, OrderStatus::Placed),
            (vec![line(0, 1, 0)], false, OrderStatus::PartiallyShipped),
            (vec![line(0, 3, 0), line(0, 0, 0)], false, OrderStatus::PartiallyShipped),
            (vec![line(0, 3, 0)], false, OrderStatus::Shipped),
            (vec![line(1, 2, 0), line(3, 0, 0)], false, OrderStatus::Shipped),
            (vec![line(0, 1, 1)], false, OrderStatus::PartiallyDelivered),
            (vec![line(0, 3, 2)], false, OrderStatus::PartiallyDelivered),
            (vec![line(0, 3, 3)], false, OrderStatus::Delivered),
            (vec![line(2, 1, 1)], false, OrderStatus::Delivered),
            (vec![line(0, 3, 3)], true, OrderStatus::Completed),
            (vec![line(2, 1, 1)], true, OrderStatus::Completed),
            (vec![line(3, 0, 0)], false, OrderStatus::Cancelled),
            (vec![line(3, 0, 0)], true, OrderStatus::Cancelled),
        ] {
            let fulfilment = Fulfilment::of(&lines);
            assert_eq!(OrderStatus::of(Stop::None, fulfilment, closed(is_closed)), word, "{lines:?}");
            assert_eq!(OrderStatus::of(Stop::Held, fulfilment, closed(is_closed)), OrderStatus::OnHold);
            assert_eq!(OrderStatus::of(Stop::Frozen, fulfilment, closed(is_closed)), OrderStatus::Disputed);
        }
        let refunded = Some(OrderState::Refunded);
        assert_eq!(OrderStatus::of(Stop::None, Fulfilment::Shipped, refunded), OrderStatus::Refunded);
    }
}
