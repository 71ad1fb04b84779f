//! What the platform takes of an order, computed anew.

use events::ids::OrderId;
use events::market::FeePolicy;
use events::{Event, Money, Position};

use super::{Books, Invariant, OrderBook};

impl Books {
    /// Computes the fee on what was released so far. What was taken before an order was changed is not given back, and no more is
    /// taken of a release than it is.
    pub(super) fn fee_falls_due(&mut self, event: &Event) {
        let id = match event {
            Event::EscrowReleased(event) => event.order,
            Event::EscrowSettled(event) => event.order,
            _ => return,
        };
        let Some(order) = self.orders.get_mut(&id) else { return };
        let went = i128::from(order.released + order.fees);
        let untaxed = i128::from(order.total.minor) - i128::from(order.tax_minor);
        let due = if untaxed == 0 { 0 } else { rounded(i128::from(order.fee_minor) * went, untaxed) };
        order.fee_due = due.max(order.fee_due).min(order.fee_due + went - order.went);
        order.went = went;
    }

    /// Checks, when an order is closed, what was taken of it.
    pub(super) fn check_fee(&mut self, position: Position, id: OrderId, order: &OrderBook) {
        let due = order.fee_due;
        self.check(Invariant::I14, position, due == i128::from(order.fees), || {
            format!(
                "of order {id} {} minor units were released, and {} taken as a fee instead of {due}",
                order.released + order.fees,
                order.fees
            )
        });
    }
}

pub(super) fn fee_by_terms(policy: &FeePolicy, total: Money) -> i128 {
    let share = rounded(i128::from(total.minor) * i128::from(policy.bps()), 10_000);
    let fee = (share + i128::from(policy.fixed_minor())).max(i128::from(policy.min_minor()));
    let fee = policy.max_minor().map_or(fee, |max| fee.min(i128::from(max)));
    fee.min(i128::from(total.minor))
}

/// Divides, halves going away from zero; both are above zero. Written here anew on purpose, as is the fee.
pub(super) fn rounded(dividend: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    if 2 * rest >= divisor { quotient + 1 } else { quotient }
}
