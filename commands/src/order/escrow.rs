//! What of an order's money goes where, and when the order is closed.

use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{
    End, EscrowRefunded, EscrowReleased, LineUnits, ReleaseCondition, ShipmentNumber, ShippingCharge,
};
use events::rejection::OrderState;
use events::{Event, Money, Position};

use super::ship::sums;
use super::state::{Escrow, Order, Shipment, ShipmentState};
use crate::fees;
use crate::market::Market;

impl Market {
    pub(crate) fn escrow_released(&mut self, event: &EscrowReleased, position: Position) {
        let EscrowReleased { order: id, shipment, .. } = *event;
        let order = self.orders.known(id);
        for transfer in &event.transfers {
            self.ledger.post(transfer);
            let sum = match transfer.to {
                LedgerAccount::PlatformFees => &mut order.escrow.fees,
                LedgerAccount::PlatformTax => &mut order.escrow.taxes,
                _ => &mut order.escrow.released,
            };
            *sum += transfer.amount.minor;
        }
        let accepted = order.shipment(shipment);
        let ShipmentState::Inspection { inspection_ends } = accepted.state else {
            panic!("only a shipment that arrived is paid: {:?}", accepted.state);
        };
        accepted.state = ShipmentState::Accepted;
        self.waiting.remove(&DeadlineStamp {
            due: inspection_ends,
            waiting: Waiting::InspectionEnds { order: id, shipment },
        });
        self.close(event.order, event.closed_as, position);
    }

    pub(crate) fn escrow_refunded(&mut self, event: &EscrowRefunded, position: Position) {
        let order = self.orders.known(event.order);
        if let Some(transfer) = &event.transfer {
            self.ledger.post(transfer);
            order.escrow.refunded += transfer.amount.minor;
        }
        self.close(event.order, event.closed_as, position);
    }

    fn close(&mut self, id: OrderId, closed_as: Option<OrderState>, position: Position) {
        let Some(state) = closed_as else { return };
        let order = self.orders.known(id);
        let Order { buyer, seller, .. } = *order;
        let payment = order.card.as_ref().map(|card| card.payment);
        if state == OrderState::Cancelled
            && let Some(extras) = order.extras.take()
        {
            extras.promotions.iter().for_each(|promotion| self.promotions.give_back(*promotion, buyer));
        }
        let forgotten = self.orders.close(End { order: id, buyer, seller, state }, position);
        self.forget(forgotten);
        if let Some(payment) = payment {
            let forgotten = self.payments.let_go(payment, id);
            self.forget(forgotten);
        }
    }
}

/// The money of an order while a decision about it is made: each event sees what those before it moved.
pub(super) struct Settlement<'a> {
    id: OrderId,
    order: &'a Order,
    escrow: Escrow,
    shipments_open: usize,
    units_left: u64,
}

impl<'a> Settlement<'a> {
    pub(super) fn of(id: OrderId, order: &'a Order) -> Settlement<'a> {
        let (shipments_open, units_left) = (order.shipments_open(), order.units_left());
        Settlement { id, order, escrow: order.escrow, shipments_open, units_left }
    }

    /// Pays what a shipment's units cost: to the platform the taxes, and its fee on all that was released so far without
    /// taxes, less what it had before; to the seller the rest.
    pub(super) fn release(&mut self, shipment: ShipmentNumber, condition: ReleaseCondition) -> Event {
        let Order { buyer, seller, fee_minor, total, .. } = *self.order;
        let Shipment { amount_minor, tax_minor, .. } = self.order.shipments[shipment.index()];
        let net_minor = amount_minor - tax_minor;
        let released = self.escrow.released + self.escrow.fees + net_minor;
        let fee = fees::part(fee_minor, released, total.minor - self.order.tax_minor()) - self.escrow.fees;
        self.escrow.fees += fee;
        self.escrow.released += net_minor - fee;
        self.escrow.taxes += tax_minor;
        self.shipments_open -= 1;
        let payees = [
            (LedgerAccount::SellerAvailable(seller), net_minor - fee),
            (LedgerAccount::PlatformFees, fee),
            (LedgerAccount::PlatformTax, tax_minor),
        ];
        let transfers = payees.into_iter().filter_map(|(to, minor)| self.transfer(to, minor)).collect();
        let (closed_as, remaining) = (self.closed_as(), self.remaining());
        EscrowReleased { buyer, closed_as, condition, order: self.id, remaining, seller, shipment, transfers }
            .into()
    }

    /// Pays back what was paid of units, and perhaps of their delivery, that are cancelled by the same decision.
    pub(super) fn refund(&mut self, lines: &[LineUnits], shipping: Option<&ShippingCharge>) -> Event {
        self.units_left -= lines.iter().map(|line| u64::from(line.quantity.get())).sum::<u64>();
        // An order that waits for its payment is cancelled as a whole, and only the wallet has paid of it.
        let is_unpaid = self.order.awaits_payment();
        self.pay_back(if is_unpaid { self.escrow.remaining() } else { sums(lines, shipping).0 })
    }

    /// Pays back a part of what is held.
    pub(super) fn pay_back(&mut self, minor: i64) -> Event {
        let Order { buyer, seller, .. } = *self.order;
        self.escrow.refunded += minor;
        let transfer = self.transfer(LedgerAccount::Wallet(buyer), minor);
        let (closed_as, remaining) = (self.closed_as(), self.remaining());
        EscrowRefunded { buyer, closed_as, order: self.id, remaining, seller, transfer }.into()
    }

    fn transfer(&self, to: LedgerAccount, minor: i64) -> Option<Transfer> {
        let amount = Money::new(minor, self.order.total.currency);
        amount.is_positive().then_some(Transfer { amount, from: LedgerAccount::Escrow(self.id), to })
    }

    fn remaining(&self) -> Option<Money> {
        let remaining = Money::new(self.escrow.remaining(), self.order.total.currency);
        remaining.is_positive().then_some(remaining)
    }

    fn closed_as(&self) -> Option<OrderState> {
        let is_settled = self.shipments_open == 0 && self.units_left == 0;
        let was_shipped = !self.order.shipments.is_empty();
        is_settled.then_some(if was_shipped { OrderState::Completed } else { OrderState::Cancelled })
    }
}
